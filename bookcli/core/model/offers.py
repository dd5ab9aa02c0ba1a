"""Whole visits that would fit: the places for several tests of one patient that keep them the shortest.

What must stay true: nothing here decides. It is arithmetic on what was free when somebody looked, it looks at a bounded
number of ways, and the kernel judges whatever is chosen.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from .. import clock
from .slots import Slot
from .text import fold

MOST_STEPS = 60_000
"""Places that are tried for one question before the best of what was found is the answer."""

Span = tuple[datetime, datetime]
_NOTHING = timedelta(0)
_FASTING = re.compile(
    r"nothing to eat|not eat|no food|fasting|fasted|empty stomach|nuchtern|nichts essen|nichts gegessen|a jeun"
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What of a test matters for its place in a visit; `interval` lies between two of the same test."""

    duration: timedelta
    before: timedelta = _NOTHING
    after: timedelta = _NOTHING
    interval: timedelta = _NOTHING
    fasting: bool = False


@dataclass(frozen=True, slots=True)
class Engaged:
    """When the patient is somewhere else, and for which test."""

    test: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Order:
    """How the tests follow one another: `gap` between them at least, `given` exactly as they were named."""

    gap: timedelta = _NOTHING
    given: bool = False


AS_SHORT_AS_CAN_BE = Order()


@dataclass(frozen=True, slots=True)
class Offer:
    """A whole visit at one site on one day: where each test starts, in order of time. It is no promise."""

    parts: tuple[Slot, ...]

    @property
    def start(self) -> datetime:
        """When the first test begins."""
        return self.parts[0].start

    @property
    def end(self) -> datetime:
        """When the last test ends."""
        return self.parts[-1].end

    @property
    def stay_minutes(self) -> int:
        """How long the patient is there."""
        return round((self.end - self.start) / timedelta(minutes=1))

    @property
    def takes(self) -> list[tuple[str, int]]:
        """(test, slot) of each part, as a visit is asked for."""
        return [(part.test, part.slot_id) for part in self.parts]


def wants_fasting(preparation: str) -> bool:
    """Whether the words that are read aloud tell the patient to come without having eaten."""
    return _FASTING.search(fold(preparation)) is not None


def best(
    tests: Sequence[str],
    free: Iterable[Slot],
    rules: Mapping[str, Rules],
    *,
    engaged: Sequence[Engaged] = (),
    order: Order = Order(),
    most: int = 3,
) -> list[Offer]:
    """The `most` visits with the shortest stay, the earliest of equals, best first: one for each start at a site.

    `free` are slots that are free for a test, of any sites and days. Unless the order is given, tests before which
    nothing is eaten come before the others, and else any order may be the shortest.
    """
    at_place: dict[tuple[date, str], dict[str, list[Slot]]] = {}
    for slot in free:
        if is_possible(slot, rules[slot.test], engaged):
            day = clock.to_local(slot.start, slot.zone).date()
            at_place.setdefault((day, slot.site), {}).setdefault(slot.test, []).append(slot)
    found = _Best(most)
    for place in sorted(at_place):
        if at_place[place].keys() >= set(tests):
            _Visit(tuple(tests), at_place[place], rules, order, found).search()
    return [offer for _, _, _, offer in found.ranked]


def is_possible(slot: Slot, rules: Rules, engaged: Sequence[Engaged]) -> bool:
    """Whether the patient is free then and had, or has, the test long enough before or after."""
    for other in engaged:
        if other.start < slot.end and slot.start < other.end:
            return False
        too_near = other.start < slot.start + rules.interval and slot.start - rules.interval < other.end
        if other.test == slot.test and too_near:
            return False
    return True


@dataclass
class _Best:
    """The best visits so far: (stay, start, site, offer), best first."""

    most: int
    ranked: list[tuple[timedelta, datetime, str, Offer]] = field(default_factory=list)
    steps: int = 0

    @property
    def limit(self) -> timedelta:
        """What is not shorter than this is not worth looking at: it would be later, or no better."""
        return self.ranked[-1][0] if len(self.ranked) == self.most else timedelta.max

    def keep(self, parts: tuple[Slot, ...]) -> None:
        """Takes a visit in; what was found earlier wins among equals."""
        offer = Offer(parts)
        self.ranked.append((offer.end - offer.start, offer.start, parts[0].site, offer))
        self.ranked.sort(key=lambda one: one[:3])
        del self.ranked[self.most :]


class _Places:
    """The places of one test on a day, by start, and from each on the one that ends first."""

    def __init__(self, slots: Sequence[Slot]) -> None:
        self.slots = sorted(slots, key=lambda slot: (slot.start, slot.end, slot.resource))
        self.starts = [slot.start for slot in self.slots]
        self.first_end = list(range(len(self.slots)))
        for n in range(len(self.slots) - 2, -1, -1):
            later = self.first_end[n + 1]
            self.first_end[n] = n if self.slots[n].end <= self.slots[later].end else later


class _Visit:
    """The search through one day of one site: branch and bound, each test at the place that ends first."""

    def __init__(
        self,
        tests: tuple[str, ...],
        free: Mapping[str, Sequence[Slot]],
        rules: Mapping[str, Rules],
        order: Order,
        found: _Best,
    ) -> None:
        self.tests, self.rules, self.order, self.found = tests, rules, order, found
        self.places = {test: _Places(free[test]) for test in set(tests)}
        lengths = {test: min(slot.end - slot.start for slot in free[test]) for test in set(tests)}
        everything = (1 << len(tests)) - 1
        self.shortest = [
            sum((lengths[tests[n]] + order.gap for n in range(len(tests)) if left >> n & 1), _NOTHING)
            for left in range(everything + 1)
        ]
        self.left = everything
        self.way: tuple[Slot, ...] = ()

    def search(self) -> None:
        """Every start of the day, the earliest first; of each only the shortest visit is kept."""
        firsts = sorted(
            ((slot, n) for n in self._next(self.left) for slot in self.places[self.tests[n]].slots),
            key=lambda one: (one[0].start, one[0].end),
        )
        at, shortest, ends = None, None, {}  # type: ignore[var-annotated]
        for slot, n in [*firsts, (None, 0)]:
            if slot is None or slot.start != at:
                if shortest is not None:
                    self.found.keep(shortest)
                if slot is None or self.found.steps > MOST_STEPS:
                    return
                at, shortest, ends = slot.start, None, {}
            self.limit = min(self.found.limit, shortest[-1].end - at if shortest else timedelta.max)
            self.way = ()
            self._on(slot, self.left & ~(1 << n), (slot,), ends)
            shortest = self.way or shortest

    def _next(self, left: int) -> list[int]:
        """Which of the tests that are left may come now; of two of the same test the first named."""
        waiting = [n for n in range(len(self.tests)) if left >> n & 1]
        if self.order.given:
            return waiting[:1]
        fasting = [n for n in waiting if self.rules[self.tests[n]].fasting]
        return list({self.tests[n]: n for n in reversed(fasting or waiting)}.values())

    def _on(self, last: Slot, left: int, way: tuple[Slot, ...], ends: dict[tuple[int, str], datetime]) -> None:
        """Goes on after `last`; `ends` are the earliest ends of what was already tried from this start."""
        self.found.steps += 1
        stay = last.end - way[0].start
        if stay + self.shortest[left] >= self.limit or self.found.steps > MOST_STEPS:
            return
        known = ends.get((left, last.resource))
        if known is not None and known <= last.end:
            return
        ends[left, last.resource] = last.end
        if not left:
            self.way, self.limit = way, stay
            return
        following = [(slot, n) for n in self._next(left) if (slot := self._after(way, self.tests[n])) is not None]
        for slot, n in sorted(following, key=lambda one: one[0].end):
            self._on(slot, left & ~(1 << n), (*way, slot), ends)

    def _after(self, way: tuple[Slot, ...], test: str) -> Slot | None:
        """The place of a test that ends first of those that begin when the way so far is over."""
        places = self.places[test]
        n = bisect_left(places.starts, way[-1].end + self.order.gap)
        if n == len(places.slots):
            return None
        slot = places.slots[places.first_end[n]]
        if self._has_room(way, slot):
            return slot
        fitting = [slot for slot in places.slots[n:] if self._has_room(way, slot)]
        return min(fitting, key=lambda slot: slot.end, default=None)

    def _has_room(self, way: tuple[Slot, ...], slot: Slot) -> bool:
        """Whether the buffers of two tests on one resource with one place left do not want it both."""
        rules = self.rules[slot.test]
        for one in way:
            if one.resource == slot.resource and min(one.remaining, slot.remaining) < 2:
                before, after = rules.before, self.rules[one.test].after
                if one.start + self.rules[one.test].duration + after > slot.start or one.end > slot.start - before:
                    return False
                if before and after and one.start + self.rules[one.test].duration + after > slot.start - before:
                    return False
        return True
