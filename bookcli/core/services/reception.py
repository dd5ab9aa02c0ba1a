"""What a dialog at the desk needs in one question: what can be booked where, and a place held while somebody types.

What must stay true: whoever changes their mind gives back the place before they take another one.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from ..adapters import printer
from ..context import Context
from ..errors import OUTAGES, NotFound, Refused, Unavailable
from ..model.appointments import Outcome, already
from ..model.offers import Offer
from ..model.quick_line import Line
from ..model.requests import BookingRequest
from ..model.requests import Place as Where
from ..model.slips import slip
from . import appointments, board, catalog, notifications, offers, patients, quick_line, visits
from .visits import Part

MOST_OFFERS = 5


@dataclass(frozen=True, slots=True)
class Known:
    """Tests by code as (name, words to read aloud), sites by code, and the tests of each resource of the site asked.

    While the database is away only the codes are known.
    """

    tests: dict[str, tuple[str, str]]
    sites: dict[str, str]
    of_resource: dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Whole:
    """All there is about an appointment: its facts, what was done to it and what was sent, the last first."""

    facts: Mapping[str, Any]
    steps: tuple[Mapping[str, Any], ...]
    messages: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Offered:
    """Visits to choose from, and a sentence about what the patient has ahead of the same tests, if anything."""

    offers: tuple[Offer, ...]
    already: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be booked: a patient's number, (test, slot) of each part, a note, and the key of the request."""

    patient: str
    parts: tuple[Part, ...]
    key: uuid.UUID
    note: str = ""

    @property
    def requests(self) -> list[BookingRequest]:
        """One request for each part; the note goes with each."""
        return [replace(one, note=self.note) for one in visits.requests(self.patient, self.parts)]


def known(context: Context, site: str, day: date | None = None) -> Known:
    """What can be booked at a site. Raises Unavailable only when not even the cache knows anything."""
    try:
        tests = {one.code: (one.name, one.preparation) for one in catalog.tests(context)}
        sites = {one.code: one.name for one in catalog.sites(context)}
        performed = {one.code: one.tests for one in catalog.resources(context, site=site)}
    except Unavailable as away:
        if away.code not in OUTAGES:
            raise
        tests = {code: (name, "") for code, name in board.tests(context)}
        shown = board.day(context, site, day)
        performed, sites = {one.code: one.tests for one in shown.columns}, {}
    return Known(tests, sites, performed)


def whole(context: Context, reference: str) -> Whole:
    """All there is about an appointment. The look is audited. Raises NotFound, InvalidInput."""
    facts = appointments.show(context, reference)
    steps = appointments.steps(context, reference)
    return Whole(facts, tuple(steps), tuple(notifications.list_(context, reference=reference)))


def print_slip(context: Context, facts: Mapping[str, Any]) -> None:
    """Prints what the patient takes home. Raises Unavailable `printer-away`."""
    printer.send(context.settings.print_command, slip(facts), context.settings.deadline_seconds)


def hold(context: Context, before: str, wanted: Wanted, seconds: int = appointments.HOLD_SECONDS) -> Outcome:
    """Gives back what is held under `before`, if anything is, and holds what is wanted now. Raises as `hold_visit`."""
    release(context, before)
    return appointments.hold_visit(context, wanted.requests, wanted.key, seconds)


def release(context: Context, reference: str) -> None:
    """Gives back what is held; what is no hold any more is left as it is."""
    if reference:
        with contextlib.suppress(Refused, NotFound):
            appointments.release(context, reference)


def confirm(context: Context, reference: str, note: str) -> Outcome:
    """Books what is held, with a note. Raises Refused `hold-expired`, Unavailable, OutcomeUnknown: ask again."""
    if note:
        with contextlib.suppress(Refused):
            appointments.renew(context, reference, note=note)
    booked = appointments.confirm_visit(context, reference)
    return Outcome("booked", None, booked[0].request_key or uuid.UUID(int=0), tuple(booked))


def book(context: Context, wanted: Wanted) -> Outcome:
    """Books without a hold: booked, refused, pending or unknown, as `appointments.book` and `visit`."""
    requests = wanted.requests
    if len(requests) == 1:
        return appointments.book(context, replace(requests[0], key=wanted.key))
    return appointments.visit(context, requests, wanted.key)


def move(context: Context, reference: str, slot: int, key: uuid.UUID) -> Outcome:
    """Moves an appointment to another slot, under the same reference. Raises as `appointments.reschedule`."""
    return appointments.reschedule(context, reference, BookingRequest(place=Where(slot=slot), key=key))


def elsewhere(context: Context, patient: str, test: str, start: datetime) -> str | None:
    """The reference of what a patient has at the time of a test that would begin at `start`; None when nothing.

    The look is audited. Raises NotFound, Unavailable.
    """
    end = start + offers.rules_of_tests(context, [test])[test].duration
    mine = patients.appointments(context, patient, past=True)
    return next(
        (str(one["reference"]) for one in mine if one["active"] and one["starts_at"] < end and start < one["ends_at"]),
        None,
    )


def offered(
    context: Context, line: Line, patient: str = "", near: tuple[int, datetime] | None = None, before: str = ""
) -> Offered:
    """The best visits for what a line asks for; around a slot and its start, if one was pointed at.

    What is held under `before` is given back first: it is in nobody's way. Raises as `offers.best`.
    """
    release(context, before)
    wish = replace(quick_line.wish(context, line, patient), most=MOST_OFFERS)
    theirs = patients.appointments(context, patient, past=True) if patient else []
    found = offers.around(context, wish, *near, theirs) if near is not None else offers.best(context, wish, theirs)
    return Offered(tuple(found), already(theirs, line.tests))
