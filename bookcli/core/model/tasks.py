"""What is done again and again by workers, as it was last done."""

from __future__ import annotations

from typing import NamedTuple


class LastRun(NamedTuple):
    """A task, how many seconds ago it was last done, on which host, how much of it, and the code of what went wrong."""

    task: str
    age: float
    host: str
    done: int
    problem: str
