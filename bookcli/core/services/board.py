"""The day of a site as a grid, from the database; while that is away from the cache, and said to be so.

What must stay true: a look at the board is no look at a patient; whose appointments a slot has is asked by `who`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from .. import clock
from ..context import Context
from ..db import appointments, availability, board
from ..errors import OUTAGES, NotFound, Unavailable
from ..model.availability import Day, Reading
from ..model.board import Board, Cell, Column, Place
from ..model.slots import Slot
from . import suggestions


def places(context: Context) -> list[Place]:
    """The sites in use, by code; while the database is away those that the cache knows, by their codes alone."""
    try:
        return board.places(context.connection())
    except Unavailable as away:
        known = _known(context)
        if away.code not in OUTAGES or known is None:
            raise
        return [Place(code, code, zone) for code, zone in sorted(known.zones.items())]


def day(context: Context, site: str, day: date | None = None) -> Board:
    """The board of a local day of a site, today's when none is named.

    Raises NotFound for an unknown site, with the nearest codes; Unavailable when neither the database nor the cache
    knows that day.
    """
    try:
        return _read(context, site, day)
    except Unavailable as away:
        if away.code not in OUTAGES:
            raise
        remembered = _remembered(context, site, day)
        if remembered is None:
            raise
        return remembered


def tests(context: Context) -> list[tuple[str, str]]:
    """(code, name) of the tests in use, by code; while the database is away the codes that the cache knows."""
    try:
        return board.tests(context.connection())
    except Unavailable as away:
        known = _known(context)
        if away.code not in OUTAGES or known is None:
            raise
        return [(code, "") for code in sorted(known.tests)]


def who(context: Context, cell: Cell) -> list[dict[str, Any]]:
    """Who is booked or held in a slot: rows of `app.appointment_facts`. The look is audited. Raises NotAllowed."""
    connection = context.connection()
    found = availability.place_of(connection, cell.slot_id)
    if found is None:
        raise NotFound("There is no such slot.", code="slot-unknown")
    from ..db import catalog  # noqa: PLC0415 - SQLAlchemy, after the board is on the screen

    ids = catalog.ids(connection, found[0], found[1])
    assert ids is not None, "the slot was just found there"
    return appointments.during(connection, ids["site_id"], ids["resource_id"], (cell.start, cell.end))


def _read(context: Context, site: str, wanted: date | None) -> Board:
    connection = context.connection()
    place = next((one for one in board.places(connection) if one.code == site), None)
    if place is None:
        suggestions.check_codes(context, sites=[site])
        raise NotFound("There is no such site.", code="site-unknown")
    as_of = availability.clock_of(connection)
    local = wanted or clock.to_local(as_of, place.zone).date()
    return Board(place, local, as_of, tuple(board.columns(connection, site, local)))


def _known(context: Context) -> Any:
    cache = context.slot_cache()
    known = cache.catalog() if cache is not None and not cache.away else None
    return None if known is None else known.catalog


def _remembered(context: Context, site: str, wanted: date | None) -> Board | None:
    """What the cache knows of a day; None when it knows nothing."""
    known, cache = _known(context), context.slot_cache()
    if known is None or cache is None or site not in known.zones:
        return None
    zone = known.zones[site]
    local = wanted or clock.today(zone)
    tests = [code for code, rules in known.tests.items() if site in rules.sites]
    entries = [entry for entry in cache.days([Day(site, test, local) for test in tests]) or () if entry is not None]
    if not entries:
        return None
    oldest = max(entries, key=lambda entry: entry.age)
    columns = _columns([entry.reading for entry in entries])
    return Board(Place(site, site, zone), local, oldest.reading.as_of, columns, oldest.age / 1000, stale=True)


def _columns(readings: Sequence[Reading]) -> tuple[Column, ...]:
    """Resources and their slots, as one test or another sees them: best one that takes a slot and no more."""
    seen: dict[str, dict[int, Slot]] = {}
    tests: dict[str, set[str]] = {}
    for reading in sorted(readings, key=lambda one: not one.alone):
        for slot in reading.slots:
            seen.setdefault(slot.resource, {}).setdefault(slot.slot_id, slot)
            tests.setdefault(slot.resource, set()).add(slot.test)
    return tuple(
        Column(code, code, tuple(sorted(tests[code])), tuple(map(_cell, sorted(slots.values(), key=lambda s: s.start))))
        for code, slots in sorted(seen.items())
    )


def _cell(slot: Slot) -> Cell:
    taken = slot.capacity - slot.remaining
    return Cell(slot.slot_id, slot.resource, slot.start, slot.end, slot.capacity, taken, slot.version, slot.status)
