"""The functions that may be queued. Their arguments are opaque numbers, and what they raise says nothing.

What must stay true: neither an argument nor an error of a job, both of which RQ keeps in Redis, knows a patient.
"""

from __future__ import annotations

import logging

from bookcli.core.context import Context

from . import sending
from .stopping import Stopping

log = logging.getLogger("bookcli.worker")


class JobFailed(Exception):
    """What RQ gets to see of an error: its kind."""


class Ground:
    """What the jobs of this process work with; set before the process that runs them is forked."""

    context: Context | None = None
    stopping = Stopping()


def send(ids: list[int]) -> None:
    """Sends the messages with these numbers that are still to be sent and that nobody else is sending."""
    try:
        context = Ground.context.another() if Ground.context is not None else _own_context()
        with context:
            sending.send(context, ids, Ground.stopping)
    except Exception as problem:  # noqa: BLE001 - an error text may quote a patient
        kind = type(problem).__name__
        log.warning(
            "a batch of %(messages)d messages failed: %(error)s",
            {"event": "batch-failed", "messages": len(ids), "error": kind},
        )
        raise JobFailed(kind) from None


def _own_context() -> Context:
    """For RQ's own tools, which run a job without `worker run`."""
    from bookcli.core.services import notifications  # noqa: PLC0415 - the parent has it otherwise

    context = Context()
    notifications.sign_in_worker(context)
    return context
