"""Closing a machine with people booked on it: where each of them could go, and doing all of it at once.

What must stay true: a plan is a proposal that changes nothing; closing and moving are one transaction of the database,
which judges every move as it judges any booking.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from .. import clock
from ..context import Context
from ..db import kernel
from ..errors import Refused
from ..model import offers as ways
from ..model.appointments import Verdict, sentence
from ..model.requests import BookingRequest, Place
from ..model.slots import Search, Slot
from ..model.text import clean_note
from . import availability, availability_changes, catalog, offers, patients, schedules
from .attempts import after_saving, once

LOOK_AHEAD = timedelta(days=30)
_MOST_SLOTS = 20_000
_MOST_TRIES = 5


@dataclass(frozen=True, slots=True)
class Move:
    """Somebody who is booked there (a row of `app.appointment_facts`) and the nearest place that would do."""

    row: dict[str, Any]
    slot: Slot


@dataclass(frozen=True)
class Plan:
    """What closing [start, end) at a site, or one resource of it, would do: who moves where, and who has no place."""

    site: str
    resource: str
    period: tuple[datetime, datetime]
    moves: list[Move] = field(default_factory=list)
    left: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Done:
    """What was done: the closure, who was moved, and who is booked there still (rows of `app.appointment_facts`)."""

    closure_id: int
    slots: int
    moved: tuple[Verdict, ...]
    left: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class TakenBack:
    """What was taken back: how many slots are open again, and who is back where they were.

    `message_sent`: one of them may have been told already, and is told again.
    """

    slots: int
    back: tuple[Verdict, ...]
    message_sent: bool

    @property
    def sentence(self) -> str:
        """What was taken back, in words."""
        back = f", and {len(self.back)} {'is' if len(self.back) == 1 else 'are'} back" if self.back else ""
        known = " Who may have been told already is told again." if self.message_sent else ""
        return f"Taken back: {self.slots} slots are open again{back}.{known}"


def plan(context: Context, site: str, resource: str, start: datetime, end: datetime) -> Plan:
    """For each who is booked there the nearest free place for the same test at the site, no two on one place.

    Nobody is proposed a time at which they are elsewhere, nor one that the rules of the test forbid. Who has arrived is
    left. Raises NotFound, InvalidInput; Unavailable.
    """
    hit = schedules.affected(context, site, resource, start, end)
    made = Plan(site, resource, (start, end))
    choice = _Choice(context, made, hit)
    for row in hit:
        slot = choice.nearest(row) if row["status"] in ("booked", "pending") else None
        if slot is None:
            made.left.append(row)
        else:
            made.moves.append(Move(row, slot))
    return made


class _Choice:
    """What is free for those who must move, less what was proposed to others."""

    def __init__(self, context: Context, made: Plan, hit: Sequence[dict[str, Any]]) -> None:
        self.context, self.made = context, made
        self.rules = offers.rules_of_tests(context, sorted({row["test"] for row in hit}))
        self.free = {test: self._free(test) for test in self.rules}
        self.engaged = {row["patient"]: self._engaged(row["patient"]) for row in hit}

    def _free(self, test: str) -> list[Slot]:
        """The free places outside of what is closed, from now until some weeks after it."""
        zone = catalog.site(self.context, self.made.site).zone
        days = (clock.today(zone), clock.to_local(self.made.period[1] + LOOK_AHEAD, zone).date())
        found = availability.ask(self.context, Search(test, days, [self.made.site], most=_MOST_SLOTS))
        start, end = self.made.period
        after, before = self.rules[test].after, self.rules[test].before
        return [
            slot
            for slot in found
            if (self.made.resource and slot.resource != self.made.resource)
            or slot.end + after <= start
            or slot.start - before >= end
        ]

    def _engaged(self, patient: str) -> dict[str, ways.Engaged]:
        return {
            row["reference"]: ways.Engaged(row["test"], row["starts_at"], row["ends_at"])
            for row in patients.appointments(self.context, patient, past=True)
            if row["active"]
        }

    def nearest(self, row: dict[str, Any]) -> Slot | None:
        """The nearest place for one of them, taken from what the next may have."""
        engaged = self.engaged[row["patient"]]
        others = [one for reference, one in engaged.items() if reference != row["reference"]]
        rules = self.rules[row["test"]]
        for slot in sorted(self.free[row["test"]], key=lambda slot: abs(slot.start - row["starts_at"])):
            if self._has_room(slot) and ways.is_possible(slot, rules, others):
                engaged[row["reference"]] = ways.Engaged(row["test"], slot.start, slot.end)
                return slot
        return None

    def _has_room(self, slot: Slot) -> bool:
        return sum(self._touch(slot, move.slot) for move in self.made.moves) < slot.remaining

    def _touch(self, one: Slot, other: Slot) -> bool:
        begins, ends = self._busy(one)
        other_begins, other_ends = self._busy(other)
        return one.resource == other.resource and begins < other_ends and other_begins < ends

    def _busy(self, slot: Slot) -> tuple[datetime, datetime]:
        rules = self.rules[slot.test]
        return slot.start - rules.before, slot.end + rules.after


def apply(context: Context, made: Plan, reason: str, *, everybody: bool) -> Done:
    """Closes and moves in one commit; the patients are told of their new time as of any other.

    `everybody`: when one has no place, or loses it meanwhile, nothing is done (Refused `not-everybody`, with how many);
    else whoever cannot be moved stays booked and is named. Raises as `schedules.close`.
    """
    if everybody and made.left:
        raise _not_everybody(len(made.left))
    text = clean_note(reason, label="reason", limit=200)
    for _ in range(_MOST_TRIES):
        answers = _asked(context, made, text, everybody=everybody)
        if not (everybody and any(one.verdict == "again" for one in answers)):
            break
    closed = [one for one in answers if one.verdict == "closed"]
    if not closed:
        raise _not_everybody(sum(one.verdict != "rescheduled" for one in answers))
    moved = tuple(one for one in answers if one.verdict == "rescheduled")
    availability_changes.booked(context, moved)
    availability_changes.period_changed(context, made.site, made.period)
    availability_changes.messages_due(context)
    numbers = closed[0].numbers or {}
    closure_id = int(numbers["closure"])
    with after_saving(f"Closure {closure_id}"):
        left = schedules.affected(context, made.site, made.resource, *made.period)
    return Done(closure_id, int(numbers["slots"]), moved, left)


def closed(context: Context, wanted: Plan, reason: str, but: Collection[int]) -> int | None:
    """For whoever asked to close so and lost the answer: the closure, if it was made; None when it never will be.

    `but`: those that were there before. Raises Unavailable `busy` while that is not decided yet.
    """
    place = schedules.ids_of(context, wanted.site, wanted.resource)
    found = once(lambda: kernel.find_closure(context.connection(), place, wanted.period, reason))
    return None if found in but else found


def take_back(context: Context, closure_id: int) -> TakenBack:
    """Takes back what the same person has closed within ten minutes, and in the same commit whom that has moved.

    Who was changed since stays where they are. Asked once. Raises OutcomeUnknown; Refused `nothing-to-undo`,
    `too-late`, or why one of them cannot go back: then nothing was taken back.
    """
    first, *back = once(lambda: kernel.undo_closing(context.connection(), closure_id))
    if first.verdict != "reopened":
        who = f"{first.reference} cannot go back, and nothing was taken back. " if first.reference else ""
        raise Refused(who + sentence(first.verdict, first.numbers), code=first.verdict)
    numbers = first.numbers or {}
    availability_changes.booked(context, back, left=numbers["were"])
    period = datetime.fromisoformat(numbers["from"]), datetime.fromisoformat(numbers["to"])
    availability_changes.period_changed(context, numbers["site"], period)
    availability_changes.messages_due(context)
    return TakenBack(int(numbers["slots"]), tuple(back), bool(numbers["message_sent"]))


def taken_back(context: Context, closure_id: int) -> str:
    """Takes back as `take_back` does; the sentence about it."""
    return take_back(context, closure_id).sentence


def _asked(context: Context, made: Plan, reason: str, *, everybody: bool) -> list[Verdict]:
    place = schedules.ids_of(context, made.site, made.resource)
    moves = [BookingRequest(moves=one.row["reference"], place=Place(slot=one.slot.slot_id)) for one in made.moves]
    documents = [replace(move, test=one.row["test"]).document() for move, one in zip(moves, made.moves, strict=True)]
    return once(
        lambda: kernel.close_and_move(
            context.connection(), place, made.period, reason, documents, all_or_nothing=everybody
        )
    )


def _not_everybody(many: int) -> Refused:
    return Refused(sentence("not-everybody", {"many": many}), code="not-everybody", details={"many": many})
