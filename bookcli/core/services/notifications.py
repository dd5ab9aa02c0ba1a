"""Messages: those that are due are claimed, leased, written and marked; desks see what became of them.

What must stay true: no process decides by its own clock whose turn a message is, and what is written to a patient is
nowhere but in the message.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from ..context import Context
from ..db import gateway, kernel
from ..db import notifications as queries
from ..errors import InvalidInput, NotFound, Refused
from ..model.messages import KINDS, LANGUAGES, Letter, Outgoing, domain_of, specimen, together
from ..model.references import appointment_id_of
from ..model.staff import SignedIn
from . import suggestions
from .attempts import once, until_known

WORKER, WORKER_NAME = "worker", "bookcli-worker"


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
    if not context.settings.smtp_url:
        raise InvalidInput(
            "There is no mail server to send with.",
            hint="Set BOOKCLI_SMTP_URL and BOOKCLI_MAIL_FROM.",
            code="smtp-missing",
        )
    _ = context.settings.smtp_patience
    # Every template is used once: what is wrong with one is said now, and nobody who is forked reads them again.
    for language in LANGUAGES:
        for kind in KINDS:
            write(context, [specimen(kind, language)])
    once(lambda: queries.claim(context.connection(), 0))


def claim(context: Context, most: int) -> list[int]:
    """Numbers of messages that are due. Raises Unavailable, NotAllowed."""
    return once(lambda: queries.claim(context.connection(), most))


def lease(context: Context, ids: Sequence[int], seconds: int) -> list[tuple[Outgoing, ...]]:
    """The messages that are ours to send for so many seconds, each as the appointments that it is about."""
    # A connection that has rested may be dead. What was leased in an answer that was lost waits for the lease to end.
    return together(until_known(lambda: queries.lease(context.connection(), ids, seconds)))


def mark_sent(context: Context, ids: Sequence[int]) -> None:
    """The mail server has taken the message. Asked until it is known: marking twice is marking once."""
    until_known(lambda: queries.mark_sent(context.connection(), ids))


def mark_failed(
    context: Context, ids: Sequence[int], code: str, *, permanent: bool = False, retry_after: int | None = None
) -> None:
    """The message was not sent; with `retry_after` (seconds) that does not count as an attempt."""
    until_known(lambda: queries.mark_failed(context.connection(), ids, code, permanent, retry_after))


def write(context: Context, rows: Sequence[Outgoing]) -> Letter:
    """The message about these appointments. Raises InvalidInput for a template or a setting that cannot be used."""
    from ..formats import ical, letters  # noqa: PLC0415 - 130 ms, and only for whoever writes

    sender = context.settings.mail_from
    domain = domain_of(sender)
    subject, text = letters.write(rows, context.paths.templates)
    attachments = tuple(ical.invitation(row, sender, subject, text) for row in rows if row.kind != "reminder")
    ids = tuple(row.notification_id for row in rows)
    return Letter(ids, f"<{rows[0].message_id}@{domain}>", sender, rows[0].email, subject, text, attachments)


def preview(context: Context, reference: str, kind: str = "confirmation") -> Letter:
    """The message that would be sent about an appointment; nothing is. Raises NotFound, InvalidInput."""
    if kind not in KINDS:
        raise InvalidInput("There is no such kind of message.", hint="One of " + ", ".join(KINDS), code="kind-unknown")
    appointment_id_of(reference)
    rows = queries.facts(context.connection(), reference, kind)
    if not rows:
        raise NotFound("There is no such appointment.", hint="bookcli agenda", code="reference-unknown")
    return write(context, rows)


def remind(context: Context, within: timedelta, *, site: str = "", dry: bool = False) -> tuple[int, int]:
    """(appointments that begin within that time, reminders that were made, or would be if `dry`). Raises NotFound."""
    if not timedelta(minutes=5) <= within <= timedelta(days=60):
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


def show(context: Context, number: int) -> dict[str, Any]:
    """One of them. Raises NotFound `message-unknown`."""
    found = queries.look(context.connection(), {"id": number}, 1)
    if not found:
        raise _unknown()
    return found[0]


def retry(context: Context, number: int) -> None:
    """Has a message sent now, whatever became of it. Raises NotFound, Refused `sending`."""
    verdict = until_known(lambda: queries.retry(context.connection(), number))
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
