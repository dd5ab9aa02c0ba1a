"""What is done again and again: holds that are over, the audit that is not sealed, requests that desks have copied, the
cache that is kept warm and the slots that are opened ahead.

What must stay true: each of these may be done by any number of workers at once, because the database does it once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from bookcli.core.context import Context
from bookcli.core.errors import BookcliError
from bookcli.core.services import appointments, audit, bugs, cache, pending, schedules, tasks, waitlist

from .stopping import Stopping

log = logging.getLogger("bookcli.worker")


@dataclass(frozen=True, slots=True)
class Task:
    """Something to be done every so many seconds; `work` says how many of whatever it does."""

    name: str
    seconds: float
    work: Callable[[Context], int]


TASKS = (
    Task("holds", 20, appointments.let_holds_expire),
    Task("seal", 5, audit.seal),
    Task("replay", 10, pending.replay_copies),
    Task("offers", 15, waitlist.offer),
    Task("warm", 30, cache.keep_warm),
    Task("publish", 900, schedules.publish_ahead),
)
QUIET = frozenset({"seal", "warm"})
"""What there is always something to do of."""


def run(context: Context, stopping: Stopping, *, step: float = 0.5) -> None:
    """Does everything when it is its time, until it is told to stop."""
    due = dict.fromkeys(TASKS, 0.0)
    while not stopping:
        for task in TASKS:
            if time.monotonic() >= due[task] and not stopping:
                due[task] = time.monotonic() + task.seconds
                do(context, task)
        time.sleep(step)


def do(context: Context, task: Task) -> int:
    """Does a task once; a server that is away is a reason to try again later, not to end."""
    done, code = 0, ""
    try:
        done = task.work(context)
    except BookcliError as problem:
        code = problem.code
        log.info("%(task)s: %(code)s", {"event": "task-put-off", "task": task.name, "code": code})
        if code == "session-expired":
            # Whoever forked this process has a newer one, with which it is started again.
            raise
    except Exception as problem:  # noqa: BLE001 - an edge: a bug in one task stops no other
        code = "bug"
        bugs.keep(problem)
        log.error("%(task)s: a bug, %(error)s", {"event": "bug", "task": task.name, "error": type(problem).__name__})
    if done and task.name not in QUIET:
        log.info("%(task)s: %(done)d", {"event": "task", "task": task.name, "done": done})
    tasks.note(context, task.name, done, code)
    return done
