"""Sends a batch of messages: takes the lease, writes, sends and marks them, one after the other.

What must stay true: a message is marked as sent only after the mail server has taken it, and within a moment: what a
process that is killed had sent and not marked, a few messages at most, is sent once more. One that cannot be sent
stops no other; and nothing is begun under a lease that may end before it is sent and marked.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bookcli.core.context import Context
from bookcli.core.errors import InvalidInput, OutcomeUnknown, Unavailable
from bookcli.core.model.messages import Outgoing
from bookcli.core.services import notifications

from .delivery.carriers import Carriers
from .delivery.problems import NotSent, ServerAway
from .stopping import Stopping

LEASE_SECONDS = 240
LONGEST_AWAY = 60
"""Seconds for which a mark is tried again while the database is away."""
LONGEST_MARK = LONGEST_AWAY + 10
LONGEST_POST = 30
"""Seconds that a text message or a webhook takes at most, with the connection; e-mail says its own."""
MARKED_TOGETHER, MARKED_WITHIN = 8, 0.25
"""Messages, and seconds: whichever is reached first after a message."""
AWAY_SECONDS, AWAY_PAUSE = (30, 60), 1.0
log = logging.getLogger("bookcli.worker")


class Marks:
    """What the mail server has taken and the database does not know yet. Leaving the context writes it down.

    A mark costs as much as a message, so that a few share one; whoever dies before it is written sends those again.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ids: list[int] = []
        self._messages = 0
        self._since = 0.0

    def add(self, ids: Sequence[int]) -> None:
        """One more message was taken."""
        self._since = time.monotonic() if self._messages == 0 else self._since
        self._ids += ids
        self._messages += 1
        if self._messages >= MARKED_TOGETHER or time.monotonic() - self._since >= MARKED_WITHIN:
            self.write()

    def write(self) -> None:
        """Writes down what there is. Raises Unavailable, OutcomeUnknown: then it is sent again when the lease ends."""
        ids, self._ids, self._messages = self._ids, [], 0
        until = time.monotonic() + LONGEST_AWAY
        while ids:
            try:
                notifications.mark_sent(self._context, ids)
                return
            except (Unavailable, OutcomeUnknown) as problem:
                if time.monotonic() > until:
                    raise
                log.warning(
                    "%(messages)d messages were sent and cannot be marked yet: %(code)s",
                    {"event": "not-marked", "messages": len(ids), "code": problem.code},
                )
                time.sleep(AWAY_PAUSE)

    def __enter__(self) -> Marks:
        return self

    def __exit__(self, *_: object) -> None:
        self.write()


def send(context: Context, carriers: Carriers, ids: Sequence[int], stopping: Stopping) -> None:
    """Sends what of these is still to be sent. Raises Unavailable when the database is away: all is tried again."""
    longest = max(2 * context.settings.smtp_patience, LONGEST_POST)
    until = time.monotonic() + LEASE_SECONDS - LONGEST_MARK - longest
    messages = notifications.lease(context, ids, LEASE_SECONDS)
    with Marks(context) as marks:
        for channel in dict.fromkeys(message[0].channel for message in messages):
            of_channel = [message for message in messages if message[0].channel == channel]
            batch = Batch(context, carriers, marks, lambda: bool(stopping) or time.monotonic() > until)
            batch.send(of_channel)


@dataclass(frozen=True, slots=True)
class Batch:
    """Messages that go the same way: when that is blocked, none of them can be sent, and all others can."""

    context: Context
    carriers: Carriers
    marks: Marks
    over: Callable[[], bool]

    def send(self, messages: Sequence[tuple[Outgoing, ...]]) -> None:
        """Sends them one after the other, or gives them back."""
        broken = 0
        for position, message in enumerate(messages):
            if self.over():
                _give_back(self.context, messages[position:], "put-off", 0)
                return
            try:
                _send_one(self.context, self.carriers, message, self.marks)
                broken = 0
            except ServerAway as away:
                broken += 1
                # One message may be what a server breaks at; two in a row are the server.
                if not away.counts or broken == 2:
                    rest = messages[position + away.counts :]
                    _give_back(self.context, rest, away.code, random.randint(*AWAY_SECONDS))
                    return


def _send_one(context: Context, carriers: Carriers, message: tuple[Outgoing, ...], marks: Marks) -> None:
    """Raises ServerAway when it is not known whether more can be sent at the moment."""
    ids = [row.notification_id for row in message]
    try:
        letter = notifications.write(context, message)
        carriers.send(letter)
    except InvalidInput as wrong:
        # A template or a setting: somebody will put it right.
        log.error("message %(message)d cannot be written: %(code)s", _said("not-written", ids[0], wrong.code))
        notifications.mark_failed(context, message, wrong.code)
    except NotSent as problem:
        log.info("message %(message)d was not sent: %(code)s", _said("not-sent", ids[0], problem.code))
        mark = notifications.mark_refused if problem.permanent else notifications.mark_failed
        mark(context, message, problem.code)
    except ServerAway as away:
        if away.stuck:
            log.info("message %(message)d was not sent: %(code)s", _said("not-sent", ids[0], away.code))
            notifications.mark_failed(context, message, away.code)
        if away.tried:
            log.info("message %(message)d may have been sent: %(code)s", _said("perhaps-sent", ids[0], away.code))
            # No telephone knows a message that it has had: what may have been taken is sent once more, not ten times.
            if message[0].channel == "sms" and message[0].attempts >= 2:
                notifications.mark_refused(context, message, away.code, perhaps=True)
            else:
                notifications.mark_failed(context, message, away.code, perhaps=True)
        raise
    else:
        marks.add(ids)
        if letter.channel == "sms":
            # Nobody's telephone knows a message that it has had.
            marks.write()


def _give_back(context: Context, messages: Sequence[tuple[Outgoing, ...]], code: str, seconds: int) -> None:
    rows = [row for message in messages for row in message]
    if rows:
        log.info(
            "%(messages)d messages are put off: %(code)s", {"event": "put-off", "messages": len(rows), "code": code}
        )
        notifications.mark_failed(context, rows, code, retry_after=seconds)


def _said(event: str, message: int, code: str) -> dict[str, object]:
    return {"event": event, "message": message, "code": code}
