"""`bookcli notification`, `message`, `remind` and `metrics`: what patients are told, and what became of it."""

from __future__ import annotations

import importlib
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import InvalidInput
from . import params
from .command import Desk, new_app
from .output import View, plain, write

if TYPE_CHECKING:
    from ..core.model.messages import Letter

_TIMES = ("made_for", "due_at", "sent_at", "failed_at", "cancelled_at")
MESSAGES = View(
    "notifications",
    "id",
    ("id", "reference", "site", "kind", "state", "channel", *_TIMES, "attempts", "reason", "bounced"),
    (
        ("Number", lambda record: plain(record["id"])),
        ("Reference", lambda record: record["reference"]),
        ("Site", lambda record: record["site"]),
        ("Message", lambda record: record["kind"]),
        ("State", lambda record: record["state"]),
        ("When", lambda record: _when(record)),
        ("Tried", lambda record: plain(record["attempts"])),
        ("Why", lambda record: record["reason"] or (record["bounced"] and f"not by {record['bounced']}") or ""),
    ),
)
REMINDED = View("reminders", "made", ("appointments", "made"))
LETTER = View("message", "reference", ("reference", "channel", "recipient", "subject", "text", "html", "attachments"))
Number = Annotated[int, typer.Argument(metavar="NUMBER", min=1, max=2**63 - 1, help="As `notification list` shows it.")]
Kind = Annotated[str, typer.Option("--kind", help="confirmation, change, cancellation, reminder, refusal, offer.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    notification = new_app("Messages to patients, and what became of them.")
    for name, command in (("list", list_), ("show", show), ("retry", retry), ("cancel", cancel)):
        notification.command(name)(command)
    app.add_typer(notification, name="notification")
    message = new_app("What messages say.")
    message.command("preview")(preview)
    message.command("send-test")(send_test)
    app.add_typer(message, name="message")
    app.command("remind")(remind)
    app.command("metrics")(metrics)


def list_(
    desk: Desk,
    state: Annotated[str, typer.Option("--state", help="waiting, sending, sent, failed or cancelled.")] = "",
    reference: Annotated[str, typer.Option("--reference", metavar="REFERENCE", help="Of one appointment.")] = "",
    site: params.Site = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=10000, help="At most so many.")] = 100,
) -> None:
    """List the newest messages. That somebody looked is written down.

    \b
    Examples:
      bookcli notification list --state failed
      bookcli notification list --reference 7F3K-Q2MG
    """
    from ..core.model.messages import STATES  # noqa: PLC0415 - after the words are understood
    from ..core.services import notifications  # noqa: PLC0415 - likewise

    if state and state not in STATES:
        raise InvalidInput("There is no such state.", hint="One of " + ", ".join(STATES), code="state-unknown")
    found = notifications.list_(desk.context, state=state, reference=reference, site=site, most=limit)
    desk.output.show(MESSAGES, [_record(row) for row in found])
    desk.talk.note("" if found else "There is no such message.")


def show(desk: Desk, number: Number) -> None:
    """Show one message.

    \b
    Examples:
      bookcli notification show 17 --json
    """
    from ..core.services import notifications  # noqa: PLC0415 - the driver comes after the words are understood

    desk.output.show(MESSAGES, [_record(notifications.show(desk.context, number))])


def retry(desk: Desk, number: Number) -> None:
    """Have a message sent now, also one that failed, was cancelled or was sent before.

    \b
    Examples:
      bookcli notification retry 17
    """
    from ..core.services import notifications  # noqa: PLC0415 - the driver comes after the words are understood

    notifications.retry(desk.context, number)
    desk.talk.note("It will be sent.")


def cancel(desk: Desk, number: Number) -> None:
    """Have a message not sent.

    \b
    Examples:
      bookcli notification cancel 17
    """
    from ..core.services import notifications  # noqa: PLC0415 - the driver comes after the words are understood

    notifications.stop(desk.context, number)
    desk.talk.note("It will not be sent.")


def preview(
    desk: Desk,
    reference: params.Reference,
    kind: Kind = "confirmation",
    channel: Annotated[
        str, typer.Option("--channel", help="email, sms or webhook; without it as the patient is told.")
    ] = "",
) -> None:
    """Show what a message about an appointment would say. Nothing is sent.

    \b
    Examples:
      bookcli message preview 7F3K-Q2MG
      bookcli message preview 7F3K-Q2MG --kind reminder --channel sms
    """
    from ..core.services import notifications  # noqa: PLC0415 - the driver comes after the words are understood

    letter = notifications.preview(desk.context, reference, kind, channel)
    record = {name: getattr(letter, name) for name in ("channel", "recipient", "subject", "text", "html")}
    record |= {"reference": reference, "attachments": [one.content for one in letter.attachments]}
    desk.output.show(LETTER, [record], sentence=f"{_head(letter)}\n\n{letter.text.rstrip()}")


def send_test(
    desk: Desk,
    channel: Annotated[str, typer.Option("--channel", help="email, sms or webhook.")] = "email",
    kind: Kind = "confirmation",
    language: Annotated[str, typer.Option("--language", help="en or de.")] = "en",
) -> None:
    """Send a message about nobody's appointment to an address of yours: asked for, or read from a line of stdin.

    \b
    Examples:
      bookcli message send-test
      bookcli message send-test --channel sms --language de
    """
    from ..core.services import notifications  # noqa: PLC0415 - only to send
    from . import dialogue  # noqa: PLC0415 - likewise

    address = "" if channel == "webhook" else dialogue.line(desk, "To which address?").strip()
    letter = notifications.trial(desk.context, channel, address, kind=kind, language=language)
    importlib.import_module("worker.trial").send(desk.context, letter)
    desk.talk.note("It was taken.")


def remind(
    desk: Desk,
    within: Annotated[
        str,
        typer.Option("--within", metavar="TIME", help="30m, 24h, 2d before it begins; without it as its test says."),
    ] = "",
    site: params.Site = "",
    dry_run: params.DryRun = False,
) -> None:
    """Make a reminder for every appointment that begins within that time and has none for that time yet.

    Without --within each test's own times count (see `bookcli test edit --remind`); of several that have passed, only
    the last. Run it every few minutes, from as many machines as you like: each appointment gets one.

    \b
    Examples:
      bookcli remind
      bookcli remind --within 24h
      bookcli remind --within 2h --site north --dry-run
    """
    from ..core.model import catalog  # noqa: PLC0415 - the driver comes after the words are understood
    from ..core.services import notifications  # noqa: PLC0415 - likewise

    span = catalog.span(within) if within else None
    found, made = notifications.remind(desk.context, span, site=site, dry=dry_run)
    would = "would be made" if dry_run else "were made"
    record = {"appointments": found, "made": made}
    sentence = f"{made} reminders {would}; {found} appointments begin within {within or 'the times of their tests'}."
    desk.output.show(REMINDED, [record], sentence=sentence)


def metrics(desk: Desk) -> None:
    """Print numbers for Prometheus, in its text format. A worker serves the same: worker run --metrics-port.

    \b
    Examples:
      bookcli metrics
    """
    write(importlib.import_module("worker.metrics").text(desk.context))


def _head(letter: Letter) -> str:
    if letter.channel == "webhook":
        return "To the webhook"
    if letter.channel == "sms":
        from ..core.model.messages import sms_size  # noqa: PLC0415 - only for an answer

        return f"SMS to: {letter.recipient or 'no number'}\n{sms_size(letter.text)}"
    names = ", ".join(one.name for one in letter.attachments)
    return f"To: {letter.recipient or 'no e-mail address'}\nSubject: {letter.subject}\nAttached: {names}"


def _record(row: dict[str, Any]) -> dict[str, Any]:
    from .views import local  # noqa: PLC0415 - only for an answer

    times = {name: local(row[name], row["zone"]) for name in _TIMES}
    return {**row, **times}


def _when(record: Any) -> str:
    moment = next((record[name] for name in ("sent_at", "failed_at", "cancelled_at", "due_at") if record[name]), None)
    return f"{datetime.fromisoformat(moment):%a %-d %b %H:%M}" if moment else ""
