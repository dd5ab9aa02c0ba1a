"""Finds places for several tests of one patient in one day; the kernel alone decides whether they are booked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime

from ..context import Context
from ..errors import InvalidInput, Refused
from ..model.requests import BookingRequest, Place
from ..model.slots import Search, Slot
from . import availability, patients, pending, places

Part = tuple[str, int]
"""A test and the slot in which it starts."""


def requests(patient: str, parts: Sequence[Part]) -> list[BookingRequest]:
    """The requests of a visit, for `appointments.visit`, which makes their keys."""
    return [BookingRequest(patient, test, Place(slot=slot)) for test, slot in parts]


def offers(context: Context, patient: str, tests: Sequence[str], *, site: str = "", on: str = "") -> list[Part]:
    """The first free places of a day for the tests in their order, one after the other, while the patient is free.

    Taking the one that ends first each time finds a way whenever there is one. Raises NotFound, InvalidInput, and
    Refused `no-room-that-day` naming the test that found none.
    """
    if not 1 <= len(tests) <= 20:
        raise InvalidInput("The tests are not said.", hint="Use --take TEST=SLOT, or --tests A+B.", code="visit-size")
    if not on:
        raise InvalidInput("When is not said.", hint="Add --on DAY, or use --take TEST=SLOT.", code="place-missing")
    with pending.nothing_kept("Nothing was kept: with --take TEST=SLOT the request would be."):
        return _first_ways(context, patient, tests, places.day(context, site, on))


def _first_ways(context: Context, patient: str, tests: Sequence[str], where: tuple[str, date]) -> list[Part]:
    code, day = where
    engaged = [(row["starts_at"], row["ends_at"]) for row in patients.appointments(context, patient)]
    parts: list[Part] = []
    after: datetime | None = None
    for test in tests:
        free = availability.ask(context, Search(test, (day, day), [code], most=2000))
        first = min((slot for slot in free if _suits(slot, after, engaged)), key=_ends, default=None)
        if first is None:
            raise _no_room(test)
        parts.append((test, first.slot_id))
        after = first.end
    return parts


def _ends(slot: Slot) -> datetime:
    return slot.end


def _suits(slot: Slot, after: datetime | None, engaged: Sequence[tuple[datetime, datetime]]) -> bool:
    begins_late_enough = after is None or slot.start >= after
    return begins_late_enough and not any(start < slot.end and slot.start < end for start, end in engaged)


def _no_room(test: str) -> Refused:
    return Refused(
        f"No place is left for {test} on that day, after the tests before it.",
        hint="Try another day or another order of the tests.",
        code="no-room-that-day",
        details={"test": test},
    )
