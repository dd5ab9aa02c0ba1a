"""`bookcli pending`: what this desk was asked while the database was away, and what became of it.

What must stay true: an end counts as told only after somebody could read it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core import clock
from . import views
from .command import Desk, new_app
from .output import View

if TYPE_CHECKING:
    from ..core.model.requests import Place
    from ..core.services.pending import Item
    from .output import Record

SECONDS_BESIDE_A_COMMAND = 2.0


def _short(record: Record) -> str:
    return str(record["key"])[:8]


def _age(record: Record) -> str:
    seconds = record["age"]
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if (seconds or 0) >= size:
            return f"{seconds // size} {unit} ago"
    return "" if seconds is None else f"{seconds} s ago"


PENDING = View(
    "pending",
    "key",
    ("key", "outcome", "reason", "kind", "patient", "tests", "place", "references", "asked_at", "age", "asked_by",
     "ended_at", "told"),
    (
        ("Key", _short),
        ("Outcome", lambda record: str(record["outcome"]).upper()),
        ("Reason", lambda record: record["reason"] or ""),
        ("Reference", lambda record: ", ".join(record["references"])),
        ("Patient", lambda record: record["patient"]),
        ("Tests", lambda record: ", ".join(record["tests"])),
        ("Place", lambda record: record["place"]),
        ("Asked", _age),
    ),
)  # fmt: skip

_RequestKey = Annotated[
    str, typer.Argument(metavar="KEY", help="The request key, or its first four characters or more.")
]


def register(app: typer.Typer) -> None:
    """Adds the command group."""
    group = new_app("What was asked while the database was away, and what became of it.")
    group.command("list")(list_)
    group.command("show")(show)
    group.command("drop")(drop)
    group.command("replay")(replay)
    app.add_typer(group, name="pending")


def list_(desk: Desk) -> None:
    """List what waits and what has ended, in the order it was asked. What has ended is listed for a day.

    \b
    Examples:
      bookcli pending list
      bookcli pending list --json
    """
    from ..core.services import pending  # noqa: PLC0415 - the driver comes after the words are understood

    items, zones = pending.items(desk.context), pending.zones(desk.context)
    desk.output.show(PENDING, [_record(item, zones) for item in items])
    pending.mark_told(desk.context, items)
    if not items:
        desk.talk.note("Nothing waits.")


def show(desk: Desk, key: _RequestKey) -> None:
    """Show one request and what became of it.

    \b
    Examples:
      bookcli pending show 5f0c1b1e
    """
    from ..core.services import pending  # noqa: PLC0415 - the driver comes after the words are understood

    item = pending.find(desk.context, key)
    record = _record(item, pending.zones(desk.context))
    lines = [f"{name}: {_text(record[name])}" for name in PENDING.fields if record[name] not in (None, "", [])]
    desk.output.show(PENDING, [record], sentence="\n".join(lines))
    pending.mark_told(desk.context, [item])


def drop(
    desk: Desk, key: _RequestKey, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> None:
    """Forget a request, so that it is never sent, or forget what became of it. No appointment is changed.

    \b
    Examples:
      bookcli pending drop 5f0c1b1e
    """
    from ..core.services import pending  # noqa: PLC0415 - the driver comes after the words are understood

    item = pending.find(desk.context, key)
    warning = " Perhaps it is booked already: nobody would learn it." if item.outcome == "unknown" else ""
    if desk.talk.agree(f"Forget request {str(item.name.key)[:8]} ({item.outcome})?{warning}", yes=yes):
        pending.drop(desk.context, item)
        desk.talk.note("Forgotten.")


def replay(
    desk: Desk,
    anywhere: Annotated[bool, typer.Option("--anywhere", help="Also what was asked of another database.")] = False,
) -> None:
    """Send what waits, in the order it was asked. Any command does so by itself once the database answers.

    \b
    Examples:
      bookcli pending replay
    """
    from ..core.services import pending  # noqa: PLC0415 - the driver comes after the words are understood

    done = pending.replay(desk.context, anywhere=anywhere)
    zones = pending.zones(desk.context)
    desk.output.show(PENDING, [_record(item, zones) for item in done.ended])
    pending.mark_told(desk.context, list(done.ended))
    desk.talk.note(f"{done.waiting} still wait." if done.waiting else "Nothing waits.")
    if done.problem is not None:
        raise done.problem


def after_command(desk: Desk) -> None:
    """After any command: sends what waits if the database was reached, and says in one line what has ended."""
    from ..core.errors import BookcliError  # noqa: PLC0415 - imported with the command

    try:
        _send_and_tell(desk)
    except BookcliError as problem:
        desk.talk.note(problem.message)


def _send_and_tell(desk: Desk) -> None:
    from ..core.services import pending  # noqa: PLC0415 - only when the spool is not empty

    if desk.context.connected:
        pending.replay(desk.context, seconds=SECONDS_BESIDE_A_COMMAND)
    ended = pending.untold(desk.context)
    if ended and not desk.talk.quiet:
        desk.talk.note(told(ended))
        pending.mark_told(desk.context, ended)


def told(ended: Sequence[Item]) -> str:
    """The line about what has ended; it names references and reasons, never a patient."""
    from ..core.services import desk  # noqa: PLC0415 - only when something has ended

    return f"{desk.ended_sentence(ended)}; bookcli pending list"


def _text(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _record(item: Item, zones: Mapping[str, str]) -> dict[str, Any]:
    kept, ended = item.kept, item.ended
    requests = kept.asked.requests if kept else ()
    return {
        "key": str(item.name.key),
        "outcome": item.outcome,
        "reason": ended.reason if ended else None,
        "kind": kept.asked.kind if kept else None,
        "patient": requests[0].patient if requests else "",
        "tests": [request.test for request in requests],
        "place": "; ".join(_place(request.place, zones) for request in requests),
        "references": list(ended.references) if ended else [],
        "asked_at": kept.asked_at.isoformat() if kept else None,
        "age": int((clock.now() - kept.asked_at).total_seconds()) if kept else None,
        "asked_by": kept.asked_by if kept else "",
        "ended_at": ended.ended_at.isoformat() if ended else None,
        "told": item.name.state == "told",
    }


def _place(place: Place, zones: Mapping[str, str]) -> str:
    if place.slot is not None:
        return f"slot {place.slot}"
    at = views.local(place.start, zones.get(place.site or "")) or str(place.day)
    return f"{place.site} {at}"
