"""The functions that may be queued. Their arguments are opaque numbers, and what they raise says nothing.

What must stay true: neither an argument nor an error of a job, both of which RQ keeps in Redis, knows a patient.
"""

from __future__ import annotations

import logging
import time

from bookcli.core.context import Context
from bookcli.core.services import notifications

from . import sending
from .delivery.carriers import Carriers
from .stopping import Stopping

SESSION_SECONDS = 12 * 3600
log = logging.getLogger("bookcli.worker")


class JobFailed(Exception):
    """What RQ gets to see of an error: its kind."""


class Ground:
    """What the jobs of this process work with, kept from one to the next; RQ's own tools begin with nothing."""

    context: Context | None = None
    carriers: Carriers | None = None
    signed_in = 0.0
    stopping = Stopping()


def send(ids: list[int]) -> None:
    """Sends the messages with these numbers that are still to be sent and that nobody else is sending."""
    try:
        context, carriers = _ground()
        sending.send(context, carriers, ids, Ground.stopping)
    except Exception as problem:  # noqa: BLE001 - an error text may quote a patient
        let_go()
        kind = type(problem).__name__
        log.warning(
            "a batch of %(messages)d messages failed: %(error)s",
            {"event": "batch-failed", "messages": len(ids), "error": kind},
        )
        raise JobFailed(kind) from None


def begin(context: Context) -> None:
    """From now on the jobs of this process, which has just been forked, work with a context like this one."""
    Ground.context, Ground.carriers, Ground.signed_in = context.another(), None, time.monotonic()


def rest() -> None:
    """Between two jobs: nobody's mail server is kept waiting for long."""
    if Ground.carriers is not None:
        Ground.carriers.rest()


def let_go() -> None:
    """Ends the connections, in whatever state a job left them; the next job makes others."""
    if Ground.carriers is not None:
        Ground.carriers.close()
    if Ground.context is not None:
        Ground.context.close()


def _ground() -> tuple[Context, Carriers]:
    context = Ground.context or Context()
    is_old = time.monotonic() - Ground.signed_in > SESSION_SECONDS
    if Ground.context is None or (context.embedded and is_old):
        notifications.sign_in_worker(context)
        Ground.context, Ground.signed_in = context, time.monotonic()
    if Ground.carriers is None:
        Ground.carriers = Carriers(context)
    return context, Ground.carriers
