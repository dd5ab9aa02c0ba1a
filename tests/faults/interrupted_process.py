"""A `bookcli` that is interrupted by Ctrl-C at a step of its own choice; run with -m.

Arguments: the step, then the words of the command.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from bookcli.cli import output
from bookcli.cli.main import main
from bookcli.core.db import engine, kernel

_PLACES: dict[str, tuple[Any, str, bool]] = {
    "before it connects": (engine, "connect", False),
    "when it has connected": (engine, "connect", True),
    "before it asks": (kernel, "book", False),
    "when it was told": (kernel, "book", True),
    "before it prints": (output.Output, "show", False),
    "when it has printed": (output.Output, "show", True),
    "before the request is on the disk": (os, "rename", False),
    "when the request is on the disk": (os, "rename", True),
}
"""Where a function is, its name, and whether the signal comes after it."""


def interrupt_at(step: str) -> None:
    """From now on the first time that the step is reached is the last."""
    owner, name, after = _PLACES[step]
    whole: Callable[..., Any] = getattr(owner, name)

    def interrupted(*words: Any, **more: Any) -> Any:
        if not after:
            signal.raise_signal(signal.SIGINT)
        answer = whole(*words, **more)
        signal.raise_signal(signal.SIGINT)
        return answer

    setattr(owner, name, interrupted)


if __name__ == "__main__":
    interrupt_at(sys.argv[1])
    sys.exit(main(sys.argv[2:]))
