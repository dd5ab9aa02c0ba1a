"""What is done again and again: holds that are over, the audit that is not sealed, requests that desks have copied.

What must stay true: each of these may be done by any number of workers at once, because the database does it once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from bookcli.core.context import Context
from bookcli.core.errors import BookcliError
from bookcli.core.services import appointments, audit, pending, waitlist

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
)


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
    try:
        done = task.work(context)
    except BookcliError as problem:
        log.info("%s: %s", task.name, problem.code)
        return 0
    if done and task.name != "seal":
        log.info("%s: %d", task.name, done)
    return done
