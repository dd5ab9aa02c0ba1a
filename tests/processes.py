"""Many real processes that start working at the same moment, each with its own connection.

What must stay true: everybody is connected before anybody begins, every process ends, and what one raised is raised
by `results`. A nursery that has imported everything forks them, so that 64 are ready in a fraction of a second.
"""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

REPOSITORY = Path(__file__).parents[1]
LONGEST = 60
"""Seconds after which a process that is still working is ended by its own alarm."""


class Crowd:
    """The nursery, started on first use. One crowd at a time: `start`, `go`, `results`, or all with `at_once`."""

    def __init__(self) -> None:
        self._nursery: subprocess.Popen[bytes] | None = None
        self._size = 0

    def start(self, work: Callable[..., Any], dsn: str, arguments: Sequence[tuple[Any, ...]]) -> None:
        """One process per entry of `arguments`, which will call work(context, *entry); all are connected on return."""
        self._size = len(arguments)
        self._send((work.__module__, work.__qualname__, dsn, list(arguments)))
        assert self._receive() == "ready"

    def go(self) -> None:
        """Lets them begin."""
        self._send("go")

    def results(self) -> list[Any]:
        """What each returned, in the order of `arguments`."""
        answers = [self._receive() for _ in range(self._size)]
        broken = [answer for kind, answer in answers if kind == "raised"]
        if broken:
            raise AssertionError(f"{len(broken)} of {self._size} processes failed; the first:\n{broken[0]}")
        return [answer for _, answer in answers]

    def at_once(self, work: Callable[..., Any], dsn: str, arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
        """Starts them, lets them go and waits for their results."""
        self.start(work, dsn, arguments)
        self.go()
        return self.results()

    def close(self) -> None:
        """Ends the nursery, and with it whoever still works."""
        if self._nursery is not None:
            with self._nursery as nursery:
                nursery.kill()

    def _send(self, message: Any) -> None:
        if self._nursery is None:
            self._nursery = subprocess.Popen(
                [sys.executable, "-m", "tests.processes"],
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        assert self._nursery.stdin is not None
        pickle.dump(message, self._nursery.stdin)
        self._nursery.stdin.flush()

    def _receive(self) -> Any:
        assert self._nursery is not None and self._nursery.stdout is not None
        return pickle.load(self._nursery.stdout)


def _nursery(orders: BinaryIO, answers: BinaryIO) -> None:
    while True:
        try:
            module, name, dsn, arguments = pickle.load(orders)
        except EOFError:
            return
        work = getattr(importlib.import_module(module), name)
        ready, say_ready = os.pipe()
        may_begin, begin = os.pipe()
        children = [_fork(work, dsn, entry, say_ready, may_begin, begin) for entry in arguments]
        os.close(say_ready)
        os.close(may_begin)
        for _ in children:
            os.read(ready, 1)
        _reply(answers, "ready")
        assert pickle.load(orders) == "go"
        os.close(begin)
        os.close(ready)
        for pid, result in children:
            with os.fdopen(result, "rb") as pipe:
                content = pipe.read()
            os.waitpid(pid, 0)
            _reply(answers, pickle.loads(content) if content else ("raised", "it was killed or took too long"))


def _reply(answers: BinaryIO, message: Any) -> None:
    pickle.dump(message, answers)
    answers.flush()


def _fork(
    work: Callable[..., Any], dsn: str, entry: tuple[Any, ...], say_ready: int, may_begin: int, begin: int
) -> tuple[int, int]:
    result, say = os.pipe()
    pid = os.fork()
    if pid:
        os.close(say)
        return pid, result
    signal.alarm(LONGEST)
    os.close(begin)
    try:
        answer = ("returned", _work(work, dsn, entry, say_ready, may_begin))
    except BaseException:  # noqa: BLE001 - whatever it was, the test must see it
        answer = ("raised", traceback.format_exc())
    os.write(say, pickle.dumps(answer))
    os._exit(0)


def _work(work: Callable[..., Any], dsn: str, entry: tuple[Any, ...], say_ready: int, may_begin: int) -> Any:
    from bookcli.core import clock
    from bookcli.core.config import Settings
    from bookcli.core.context import Context
    from bookcli.core.model.staff import SignedIn
    from tests.clinic import STAFF

    try:
        context = Context(Settings(database_url=dsn))
        context.keep(SignedIn(_token(dsn), STAFF, "manager", clock.now()), on_disk=False)
        context.connection()
    finally:
        os.write(say_ready, b"r")
        os.read(may_begin, 1)  # returns, empty, when the nursery closes the other end
    return work(context, *entry)


def _token(dsn: str) -> str:
    """A session of its own for each process, given by whoever runs the server."""
    from bookcli.core.db import engine, gateway
    from tests.clinic import STAFF
    from tests.servers import login_as_owner

    with engine.connect(login_as_owner(dsn)) as connection:
        return gateway.sign_in_here(connection, STAFF)[0]


if __name__ == "__main__":
    importlib.import_module("bookcli.core.services.appointments")
    _nursery(sys.stdin.buffer, sys.stdout.buffer)
