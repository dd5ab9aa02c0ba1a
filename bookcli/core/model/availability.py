"""What is known about the slots of a site, a test and a local day, when it was read, and which of them are offered.

What must stay true: a day that was read is known whole, so that an empty one is known to be empty, and one that was
not read is unknown, which is neither free nor full. Nothing in here is about a patient.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from operator import attrgetter
from typing import NamedTuple

from .. import clock
from .slots import Slot


class Day(NamedTuple):
    """A local day of a site for one test: what one entry is about."""

    site: str
    test: str
    day: date


@dataclass(frozen=True)
class Reading:
    """The slots of a day, all of them, in the order of the database, as they were at `as_of` of its clock.

    `alone`: the test takes one slot and no more, wherever it starts, so that a booking changes the slot it is in and
    no other of this day.
    """

    as_of: datetime
    zone: str
    alone: bool
    slots: tuple[Slot, ...]

    @cached_property
    def _free(self) -> tuple[list[Slot], list[datetime]]:
        free = [slot for slot in self.slots if slot.status == "free"]
        return free, [slot.start for slot in free]

    def free(self, after: datetime, until: datetime) -> list[Slot]:
        """The free slots that start after one moment and not after the other; the same day is asked again and again."""
        free, starts = self._free
        return free[bisect_right(starts, after) : bisect_right(starts, until)]


def together(readings: Sequence[Reading]) -> Reading:
    """Days as one, by start; sites in the order of `readings`, resources in the order of the database."""
    if len(readings) == 1:
        return readings[0]
    slots = sorted((slot for reading in readings for slot in reading.slots), key=attrgetter("start"))
    return Reading(min(reading.as_of for reading in readings), "", False, tuple(slots))


@dataclass(frozen=True, slots=True)
class Change:
    """What a committed change did to slots of a resource; `touched` has (version, capacity, remaining) where known."""

    site: str
    resource: str
    day: date
    touched: Mapping[int, tuple[int, int, int] | None]


@dataclass(frozen=True, slots=True)
class Rules:
    """How far ahead a test can be booked, and the sites that offer it."""

    lead: timedelta
    window: timedelta
    sites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Catalog:
    """What a search is understood with: the sites in use with their zones, in the database's order, and the tests."""

    as_of: datetime
    zones: Mapping[str, str]
    tests: Mapping[str, Rules]

    def knows(self, test: str, sites: Iterable[str]) -> bool:
        """Whether the test and all of the sites are in use."""
        return test in self.tests and all(site in self.zones for site in sites)

    def wanted(self, test: str, sites: Sequence[str], days: tuple[date, date]) -> list[Day]:
        """The days to look at, site by site: those of the sites that offer the test, and were named if any was."""
        chosen = [site for site in self.zones if site in self.tests[test].sites and (not sites or site in sites)]
        count = (days[1] - days[0]).days + 1
        return [Day(site, test, days[0] + timedelta(days=n)) for site in chosen for n in range(count)]


@dataclass(frozen=True, slots=True)
class Found:
    """The answer to a search. `as_of` is the moment of the oldest reading in it, `age` its seconds since.

    `stale`: older than the cache promises. `away`: because the database does not answer; then the days in `unknown`
    are neither free nor full.
    """

    slots: list[Slot]
    as_of: datetime
    age: float = 0.0
    stale: bool = False
    away: bool = False
    unknown: tuple[Day, ...] = ()


@dataclass(frozen=True, slots=True)
class Offer:
    """Which slots of the days are wanted: `hours` [from, until) at the site; without `rules` those not bookable too."""

    hours: tuple[time, time] | None
    rules: Rules | None
    most: int

    def chosen(self, reading: Reading, now: datetime) -> list[Slot]:
        """What `app.find_slots` of schema.sql answers from the same slots at the same moment, by start.

        A hold that has expired since the reading still counts as taken, until the database is read again: one place
        too few for some seconds.
        """
        if self.rules is None:
            found = list(reading.slots)
        else:
            found = reading.free(now + self.rules.lead, now + self.rules.window)
        if self.hours is not None:
            begin, end = self.hours
            found = [slot for slot in found if begin <= clock.to_local(slot.start, slot.zone).time() < end]
        return found[: self.most]


def by_day(days: Iterable[Day], found: Iterable[Slot]) -> dict[Day, list[Slot]]:
    """The slots of each of the days; a day without any has an empty list."""
    slots: dict[Day, list[Slot]] = {day: [] for day in days}
    for slot in found:
        day = Day(slot.site, slot.test, clock.to_local(slot.start, slot.zone).date())
        if day in slots:
            slots[day].append(slot)
    return slots


def slots_text(slots: Iterable[Slot]) -> str:
    """Slots as JSON: [number, resource, start, end, capacity, remaining, status, version] of each."""
    rows = [
        [s.slot_id, s.resource, _utc(s.start), _utc(s.end), s.capacity, s.remaining, s.status, s.version] for s in slots
    ]
    return json.dumps(rows, separators=(",", ":"))


def slots_of(text: str | bytes, day: Day, zone: str) -> tuple[Slot, ...]:
    """The slots behind `slots_text`; what follows the eighth field of one is not about the slot."""
    at = datetime.fromisoformat
    return tuple(
        Slot(number, day.site, zone, day.test, resource, at(start), at(end), capacity, remaining, status, version)
        for number, resource, start, end, capacity, remaining, status, version, *_ in json.loads(text)
    )


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def catalog_text(catalog: Catalog) -> str:
    """A catalog as JSON, without its moment."""
    tests = {
        code: [rules.lead // timedelta(minutes=1), rules.window // timedelta(days=1), rules.sites]
        for code, rules in catalog.tests.items()
    }
    return json.dumps({"zones": list(catalog.zones.items()), "tests": tests}, separators=(",", ":"))


def catalog_of(text: str | bytes, as_of: datetime) -> Catalog:
    """The catalog behind `catalog_text`."""
    content = json.loads(text)
    tests = {
        code: Rules(timedelta(minutes=lead), timedelta(days=window), tuple(sites))
        for code, (lead, window, sites) in content["tests"].items()
    }
    return Catalog(as_of, dict(content["zones"]), tests)
