"""Messages: those that are due are claimed, leased, written and marked; desks see what became of them.

What must stay true: no process decides by its own clock whose turn a message is, and what is written to a patient is
nowhere but in the message.
"""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from ..config import Settings
from ..context import Context
from ..db import gateway, kernel
from ..db import notifications as queries
from ..errors import InvalidInput, NotFound, Refused
from ..model.catalog import LONGEST_SPAN, SHORTEST_SPAN
from ..model.messages import (
    CHANNELS,
    KINDS,
    LANGUAGES,
    WITHOUT_CALENDAR,
    Letter,
    Outgoing,
    domain_of,
    specimen,
    together,
)
from ..model.references import appointment_id_of
from ..model.staff import SignedIn
from . import suggestions
from .attempts import once, until_known

WORKER, WORKER_NAME = "worker", "bookcli-worker"
MOST_EACH = 150
NO_SENDER = "nobody@sender.invalid"


def sign_in_worker(context: Context) -> None:
    """Makes the context a worker's: with the embedded servers signed in as one, elsewhere the machine is its role."""
    if not context.embedded:
        context.keep(None, on_disk=False)
        return
    connection = context.connection()
    token, expires_at = gateway.sign_in_here(connection, WORKER_NAME, WORKER)
    context.keep(SignedIn(token, WORKER_NAME, WORKER, expires_at), on_disk=False)


def check(context: Context) -> None:
    """Whether there is everything to send with. Raises InvalidInput, Unavailable, NotAllowed."""
    found = ways(context.settings)
    if not found:
        raise InvalidInput(
            "There is no mail server to send with, nor any other way.",
            hint="Set BOOKCLI_SMTP_URL and BOOKCLI_MAIL_FROM.",
            code="smtp-missing",
        )
    _ = context.settings.smtp_patience
    # Every template is used once: what is wrong with one is said now, and nobody who is forked reads them again.
    for channel in found:
        for language in LANGUAGES:
            for kind in KINDS:
                write(context, [specimen(kind, language, channel)])
    if "webhook" in found:
        webhook_key(context)
    once(lambda: queries.claim(context.connection(), 0))


def ways(settings: Settings) -> list[str]:
    """Those of `CHANNELS` that are set up."""
    addresses = (settings.smtp_url, settings.sms_url, settings.webhook_url)
    return [channel for channel, address in zip(CHANNELS, addresses, strict=True) if address]


def webhook_key(context: Context) -> bytes:
    """The key that signs what a webhook is told. Raises InvalidInput."""
    from ..adapters import webhook_secret  # noqa: PLC0415 - only where there is a webhook

    if not context.settings.webhook_secret:
        raise InvalidInput(
            "There is a webhook and no key to sign with.",
            hint="Set BOOKCLI_WEBHOOK_SECRET.",
            code="webhook-secret-missing",
        )
    return webhook_secret.read(Path(context.settings.webhook_secret))


def claim(context: Context, most: int) -> list[int]:
    """Numbers of messages that are due. Raises Unavailable, NotAllowed."""
    return once(lambda: queries.claim(context.connection(), most))


def lease(context: Context, ids: Sequence[int], seconds: int) -> list[tuple[Outgoing, ...]]:
    """The messages that are ours to send for so many seconds, each as the appointments that it is about."""
    found = ways(context.settings)
    # A connection that has rested may be dead. What was leased in an answer that was lost waits for the lease to end.
    return together(until_known(lambda: queries.lease(context.connection(), ids, seconds, found)))


def mark_sent(context: Context, ids: Sequence[int]) -> None:
    """The mail server has taken the message. Asked until it is known: marking twice is marking once."""
    until_known(lambda: queries.mark_sent(context.connection(), ids))


def mark_failed(
    context: Context, rows: Sequence[Outgoing], code: str, *, perhaps: bool = False, retry_after: int | None = None
) -> None:
    """What was leased at one time was not sent, or `perhaps` it was; with `retry_after` (seconds) it was no attempt."""
    until_known(lambda: queries.mark_failed(context.connection(), rows, code, perhaps=perhaps, again_after=retry_after))


def mark_refused(context: Context, rows: Sequence[Outgoing], code: str, *, perhaps: bool = False) -> None:
    """The message will never be taken that way: the patient is told by another, if there is one.

    If `perhaps` it was taken, they are told by no other.
    """
    found = [] if perhaps else ways(context.settings)
    until_known(lambda: queries.mark_failed(context.connection(), rows, code, perhaps=perhaps, ways=found))


def write(context: Context, rows: Sequence[Outgoing], sender: str = "") -> Letter:
    """The message about these appointments, from `sender` or whom the settings name.

    Raises InvalidInput for a template or a setting that cannot be used.
    """
    from ..formats import letters, webhook_json  # noqa: PLC0415 - 130 ms with the next, and only for whoever writes

    first, ids = rows[0], tuple(row.notification_id for row in rows)
    if first.channel == "webhook":
        return Letter("webhook", ids, str(first.message_id), "", webhook_json.write(rows))
    if first.channel == "sms":
        return Letter(
            "sms", ids, str(first.message_id), first.phone, letters.write_short(rows, context.paths.templates)
        )
    from ..formats import ical  # noqa: PLC0415 - as above

    sender = sender or context.settings.mail_from
    message_id = f"<{first.message_id}@{domain_of(sender)}>"
    words = letters.write(rows, context.paths.templates)
    attachments = tuple(
        ical.invitation(row, sender, words.subject, words.text) for row in rows if row.kind not in WITHOUT_CALENDAR
    )
    return Letter("email", ids, message_id, first.email, words.text, sender, words.subject, words.html, attachments)


def preview(context: Context, reference: str, kind: str = "confirmation", channel: str = "") -> Letter:
    """The message that would be sent about an appointment, or would be by that channel; nothing is.

    A sender that is not set yet is no obstacle. Raises NotFound, InvalidInput.
    """
    _check_choice("kind", "kind of message", kind, KINDS)
    _check_choice("channel", "way to send", channel or "email", CHANNELS)
    appointment_id_of(reference)
    rows = queries.facts(context.connection(), reference, kind)
    if not rows:
        raise NotFound("There is no such appointment.", hint="bookcli agenda", code="reference-unknown")
    sender = context.settings.mail_from or NO_SENDER
    return write(context, [dataclasses.replace(row, channel=channel or row.channel) for row in rows], sender)


def trial(context: Context, channel: str, address: str, *, kind: str = "confirmation", language: str = "en") -> Letter:
    """A message about nobody's appointment to somebody's own address, to try a way with. Raises InvalidInput."""
    from ..formats import contacts  # noqa: PLC0415 - only for this

    _check_choice("kind", "kind of message", kind, KINDS)
    _check_choice("channel", "way to send", channel, CHANNELS)
    row = dataclasses.replace(specimen(kind, language, channel), message_id=uuid.uuid4())
    if channel == "email":
        row = dataclasses.replace(row, email=contacts.email(address))
    elif channel == "sms":
        row = dataclasses.replace(row, phone=contacts.phone(address, context.settings.phone_country))
    if channel not in ways(context.settings):
        raise InvalidInput("That way is not set up.", hint=f"Set BOOKCLI_{_SETTING[channel]}.", code="channel-missing")
    if (channel == "email" and not row.email) or (channel == "sms" and not row.phone.startswith("+")):
        raise InvalidInput("An address is needed.", hint=f"{_ADDRESS[channel]}", code="address-missing")
    return write(context, [row])


_SETTING = {"email": "SMTP_URL", "sms": "SMS_URL", "webhook": "WEBHOOK_URL"}
_ADDRESS = {"email": "name@example.org", "sms": "a number with its country, such as +49 30 123456"}


def _check_choice(name: str, what: str, word: str, known: Sequence[str]) -> None:
    if word not in known:
        raise InvalidInput(f"There is no such {what}.", hint="One of " + ", ".join(known), code=f"{name}-unknown")


def remind(context: Context, within: timedelta | None, *, site: str = "", dry: bool = False) -> tuple[int, int]:
    """(appointments that begin within that time, reminders that were made, or would be if `dry`). Raises NotFound.

    None: within one of the times that their test has.
    """
    if within is not None and not SHORTEST_SPAN <= within <= LONGEST_SPAN:
        raise InvalidInput("A reminder is sent between 5 minutes and 60 days ahead.", code="within-invalid")
    if site:
        suggestions.check("site", site, kernel.codes(context.connection(), "site"))
    return until_known(lambda: queries.remind(context.connection(), within, site or None, dry))


def list_(
    context: Context, *, state: str = "", reference: str = "", site: str = "", most: int = 100
) -> list[dict[str, Any]]:
    """The newest messages that fit: the columns of `app.look_at_messages`. The look is audited."""
    if reference:
        appointment_id_of(reference)
    wanted = {"state": state, "reference": reference, "site": site}
    return queries.look(context.connection(), {name: value for name, value in wanted.items() if value}, most)


def to_look_after(context: Context, site: str, state: str = "") -> list[dict[str, Any]]:
    """The messages of a site in one state; without one those that failed, those that wait, then the newest others.

    At most `MOST_EACH` of each kind; the looks are audited.
    """
    first = ("failed", "waiting")
    found = [list_(context, state=one, site=site, most=MOST_EACH) for one in ((state,) if state else (*first, ""))]
    rows = {row["id"]: row for some in found for row in some}.values()
    return sorted(rows, key=lambda row: (first.index(row["state"]) if row["state"] in first else 2, -row["id"]))


def show(context: Context, number: int) -> dict[str, Any]:
    """One of them. Raises NotFound `message-unknown`."""
    found = queries.look(context.connection(), {"id": number}, 1)
    if not found:
        raise _unknown()
    return found[0]


def retry(context: Context, number: int) -> None:
    """Has a message sent now, whatever became of it. Raises NotFound, OutcomeUnknown, Refused `sending`.

    Asked once: when the answer is lost it may be sent already, and a second time would send another one.
    """
    verdict = once(lambda: queries.retry(context.connection(), number))
    if verdict == "message-unknown":
        raise _unknown()
    if verdict != "waiting":
        raise Refused("It is being sent at this moment.", code="sending")


def stop(context: Context, number: int) -> None:
    """Has a message not sent. Raises NotFound, Refused with the state it is in as the code."""
    verdict = until_known(lambda: queries.stop(context.connection(), number))
    if verdict == "message-unknown":
        raise _unknown()
    if verdict != "cancelled":
        raise Refused(f"The message is {verdict}.", code=verdict)


def measures(context: Context) -> list[tuple[str, dict[str, str], float]]:
    """(name, labels, value) of what is counted in the database."""
    return queries.measures(context.connection())


def _unknown() -> NotFound:
    return NotFound("There is no such message.", hint="bookcli notification list", code="message-unknown")
