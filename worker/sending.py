"""Sends a batch of messages: takes the lease, writes, sends, marks, one message after the other.

What must stay true: a message is marked right after the mail server has taken it; one that cannot be sent stops no
other; and nothing is begun under a lease that may end before it is sent.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Callable, Sequence

from bookcli.core.context import Context
from bookcli.core.errors import InvalidInput
from bookcli.core.model.messages import Outgoing
from bookcli.core.services import notifications

from .delivery.carriers import Carriers
from .delivery.problems import NotSent, ServerAway
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
    with contextlib.closing(Carriers(context)) as carriers:
        for channel in dict.fromkeys(message[0].channel for message in messages):
            of_channel = [message for message in messages if message[0].channel == channel]
            _send_each(context, carriers, of_channel, lambda: bool(stopping) or time.monotonic() > until)


def _send_each(
    context: Context, carriers: Carriers, messages: Sequence[tuple[Outgoing, ...]], over: Callable[[], bool]
) -> None:
    """Messages that go the same way: when that is blocked, none of them can be sent, and all others can."""
    for position, message in enumerate(messages):
        if over():
            _give_back(context, messages[position:], "put-off", 0)
            return
        try:
            _send_one(context, carriers, message)
        except ServerAway as away:
            _give_back(context, messages[position + (away.tried is True) :], away.code, random.randint(*AWAY_SECONDS))
            return


def _send_one(context: Context, carriers: Carriers, message: tuple[Outgoing, ...]) -> None:
    """Raises ServerAway when nothing more can be sent at the moment."""
    ids = [row.notification_id for row in message]
    try:
        letter = notifications.write(context, message)
        carriers.send(letter)
    except InvalidInput as wrong:
        # A template or a setting: somebody will put it right.
        log.error("message %d cannot be written: %s", ids[0], wrong.code)
        notifications.mark_failed(context, ids, wrong.code)
    except NotSent as problem:
        log.info("message %d was not sent: %s", ids[0], problem.code)
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
        log.info("%d messages are put off: %s", len(ids), code)
        notifications.mark_failed(context, ids, code, retry_after=seconds)
