"""What workers do by their timetable, and when each of it was last done.

What must stay true: that it cannot be noted keeps nobody from doing it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..context import Context
from ..errors import BookcliError
from ..model.tasks import LastRun

if TYPE_CHECKING:
    from ..adapters.task_log import TaskLog

LONGEST_SILENCE = 300.0
"""Seconds after which workers of which nothing was seen do not run."""


def note(context: Context, task: str, done: int, problem: str = "") -> None:
    """A task was done now, so much of it; `problem` is the code of what stood in the way."""
    with contextlib.suppress(BookcliError), _log(context) as log:
        if log is not None:
            log.note(task, os.uname().nodename, done, problem)


def last_runs(context: Context) -> list[LastRun]:
    """The last run of every task, on whichever machine; none without a Redis. Raises Unavailable when it is away."""
    with _log(context) as log:
        return log.last() if log is not None else []


def unseen(context: Context) -> bool:
    """Whether no worker was seen lately; no when that is not known, for want of a Redis that says so."""
    with contextlib.suppress(BookcliError):
        return bool(context.queue_address) and not any(run.age < LONGEST_SILENCE for run in last_runs(context))
    return False


@contextlib.contextmanager
def _log(context: Context) -> Iterator[TaskLog | None]:
    if not context.queue_address:
        yield None
        return
    from ..adapters import task_log  # noqa: PLC0415 - redis is imported only where there is one

    log = task_log.TaskLog(context.queue_address)
    try:
        yield log
    finally:
        log.close()
