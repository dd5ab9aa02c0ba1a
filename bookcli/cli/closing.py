"""`bookcli schedule close --move`: shows who would go where, does it when somebody agrees, and takes it back."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from ..core.services import closings
from . import views
from .command import Desk
from .output import View


class Asked(NamedTuple):
    """What is to be closed, and whether everybody must have a place."""

    site: str
    resource: str
    period: tuple[datetime, datetime]
    reason: str
    everybody: bool


MOVES = View(
    "moves",
    "reference",
    ("reference", "patient", "test", "from", "to", "slot", "site", "resource", "zone"),
    (
        ("Reference", lambda record: record["reference"]),
        ("Patient", lambda record: record["patient"]),
        ("Test", lambda record: record["test"]),
        ("From", lambda record: f"{views.day(record, 'from')} {views.clock_time(record, 'from')}"),
        ("To", lambda record: f"{views.day(record, 'to')} {views.clock_time(record, 'to')} {record['resource'] or ''}"),
    ),
)


def close(desk: Desk, asked: Asked, *, dry_run: bool, yes: bool) -> None:
    """Shows the plan, asks, closes and moves, and says what was done."""
    plan = closings.plan(desk.context, asked.site, asked.resource, *asked.period)
    records = [_move(one.row, one.slot) for one in plan.moves] + [_move(row, None) for row in plan.left]
    question = f"{len(plan.moves)} appointments move, {len(plan.left)} have no place. Close and move?"
    if dry_run or not yes:
        desk.output.show(MOVES, records, extra={"closure": None, "dry_run": dry_run})
    if dry_run or not desk.talk.agree(question, yes=yes):
        desk.talk.note("Nothing was closed.")
        return
    done = closings.apply(desk.context, plan, asked.reason, everybody=asked.everybody)
    moved = [views.appointment(one) for one in done.moved]
    extra = {"closure": done.closure_id, "slots": done.slots, "left": [views.appointment(row) for row in done.left]}
    said = (
        f"Closed {done.slots} slots, closure {done.closure_id}; moved {len(moved)}, {len(done.left)} stay booked then."
    )
    desk.output.show(views.AFFECTED, moved, extra=extra)
    desk.talk.note(said)


def take_back(desk: Desk, number: int) -> None:
    """Re-opens what the same person has just closed, and brings back whom that has moved; says who that is."""
    done = closings.take_back(desk.context, number)
    extra = {"closure": number, "slots": done.slots, "message_sent": done.message_sent}
    desk.output.show(views.AFFECTED, [views.appointment(one) for one in done.back], extra=extra)
    desk.talk.note(done.sentence)


def _move(row: dict[str, Any], slot: Any) -> dict[str, Any]:
    return {
        "reference": row["reference"],
        "patient": row["patient"],
        "test": row["test"],
        "from": views.local(row["starts_at"], row["zone"]),
        "to": views.local(slot.start, slot.zone) if slot else None,
        "slot": slot.slot_id if slot else None,
        "site": row["site"],
        "resource": slot.resource if slot else None,
        "zone": row["zone"],
    }
