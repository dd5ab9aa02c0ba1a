"""Sends a batch of messages: takes the lease, writes, sends, marks, one message after the other.

What must stay true: a message is marked right after the mail server has taken it; one that cannot be sent stops no
other; and nothing is begun under a lease that may end before it is sent.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Sequence

from bookcli.core.context import Context
from bookcli.core.errors import InvalidInput
from bookcli.core.model.messages import Outgoing
from bookcli.core.services import notifications

from .delivery.email import Mailer, NotSent, ServerAway
from .stopping import Stopping

LEASE_SECONDS = 120
LONGEST_SEND = 50
"""Seconds that one message may take: every step of the exchange with the server has its time-out."""
AWAY_SECONDS = (30, 60)
log = logging.getLogger("bookcli.worker")


def send(context: Context, ids: Sequence[int], stopping: Stopping) -> None:
    """Sends what of these is still to be sent. Raises Unavailable when the database is away: all is tried again."""
    until = time.monotonic() + LEASE_SECONDS - LONGEST_SEND
    messages = notifications.lease(context, ids, LEASE_SECONDS)
    if not messages:
        return
    with contextlib.closing(Mailer(context.settings.smtp_url)) as mailer:
        for position, message in enumerate(messages):
            if stopping or time.monotonic() > until:
                _give_back(context, messages[position:], "put-off", 0)
                return
            try:
                _send_one(context, mailer, message)
            except ServerAway as away:
                _give_back(
                    context, messages[position + (away.tried is True) :], away.code, random.randint(*AWAY_SECONDS)
                )
                return


def _send_one(context: Context, mailer: Mailer, message: tuple[Outgoing, ...]) -> None:
    """Raises ServerAway when nothing more can be sent at the moment."""
    ids = [row.notification_id for row in message]
    try:
        letter = notifications.write(context, message)
        mailer.send(letter)
    except InvalidInput as wrong:
        # A template or a setting: somebody will put it right.
        log.error("message %(message)d cannot be written: %(code)s", _said("not-written", ids[0], wrong.code))
        notifications.mark_failed(context, ids, wrong.code)
    except NotSent as problem:
        log.info("message %(message)d was not sent: %(code)s", _said("not-sent", ids[0], problem.code))
        notifications.mark_failed(context, ids, problem.code, permanent=problem.permanent)
    except ServerAway as away:
        if away.tried:
            notifications.mark_failed(context, ids, away.code)
        raise
    else:
        notifications.mark_sent(context, ids)


def _give_back(context: Context, messages: Sequence[tuple[Outgoing, ...]], code: str, seconds: int) -> None:
    ids = [row.notification_id for message in messages for row in message]
    if ids:
        log.info(
            "%(messages)d messages are put off: %(code)s", {"event": "put-off", "messages": len(ids), "code": code}
        )
        notifications.mark_failed(context, ids, code, retry_after=seconds)


def _said(event: str, message: int, code: str) -> dict[str, object]:
    return {"event": event, "message": message, "code": code}
