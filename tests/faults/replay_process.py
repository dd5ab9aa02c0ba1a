"""A desk that replays its spool and stops before every step until it is told to go on; run with -m, to be killed.

Arguments: the address, the data directory's parent, and what is taken away on purpose: nothing, lock or key.
"""

from __future__ import annotations

import contextlib
import sys
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bookcli.core.adapters import spool
from bookcli.core.config import Settings, paths
from bookcli.core.context import Context
from bookcli.core.services import decisions, pending
from tests.clinic import same_session

STEPS = ("send", "answered", "written", "removed")


def _before(step: str) -> None:
    print(step, flush=True)
    sys.stdin.readline()


def _stopping(function: Any, before: str, after: str = "") -> Any:
    def stopping(*values: Any, **more: Any) -> Any:
        _before(before)
        answer = function(*values, **more)
        if after:
            _before(after)
        return answer

    return stopping


@contextlib.contextmanager
def _never_alone(self: spool.Spool) -> Iterator[bool]:
    yield True


def without_lock() -> None:
    """Several may replay one spool at the same time."""
    spool.Spool.alone = _never_alone  # type: ignore[method-assign]


def without_key() -> None:
    """Every attempt has a key of its own."""
    honest = decisions.send

    def forgetful(context: Context, asked: Any, **more: Any) -> Any:
        requests = tuple(replace(one, key=uuid.uuid4()) for one in asked.requests)
        return honest(context, replace(asked, requests=requests), **more)

    decisions.send = forgetful


def main(dsn: str, home: str, without: str = "nothing") -> None:
    """Stops before `send`, `answered`, `written` and `removed` of each request, and prints how many have ended."""
    if without != "nothing":
        {"lock": without_lock, "key": without_key}[without]()
    decisions.send = _stopping(decisions.send, "send", "answered")
    spool._remove = _stopping_remove(spool._remove)
    with Context(Settings(database_url=dsn), paths({"BOOKCLI_HOME": str(Path(home))})) as context:
        same_session(context)
        print(len(pending.replay(context).ended), flush=True)


def _stopping_remove(remove: Any) -> Any:
    def stopping(folder: int, file: str) -> None:
        if not file.endswith(f".{spool.WAITING}"):
            remove(folder, file)
            return
        _before("written")
        remove(folder, file)
        _before("removed")

    return stopping


if __name__ == "__main__":
    main(*sys.argv[1:])
