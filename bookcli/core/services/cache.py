"""Looks after the availability cache: fill it ahead, show what is in it, make it forget.

What must stay true: without a Redis nothing is started and nobody is told that something was done.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from .. import clock
from ..adapters.slot_cache import SlotCache
from ..adapters.slot_entries import Lease
from ..context import Context
from ..errors import Unavailable
from ..model.availability import Catalog, Day
from . import readings, suggestions

DAYS = 28
_DAYS_AT_ONCE = 28
YOUNG_SECONDS = 900.0
"""How old what is kept ahead may become: it is for the first search of the day, and for when the database is away."""
WARM_SECONDS = 2.0
"""How long one round of keeping warm may take; the next one goes on where it ended."""
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class Kept:
    """One entry: a day of a site and a test, when it was read and how many seconds ago, and whether it is fresh.

    `free` of its `slots` were free.
    """

    site: str
    test: str
    day: date
    as_of: datetime
    age: float
    fresh: bool
    slots: int
    free: int


@dataclass(frozen=True, slots=True)
class State:
    """What is in the cache, and how many searches it answered, of all that were asked."""

    entries: list[Kept]
    hits: int
    searches: int


def warm(context: Context, *, site: str = "", days: int = DAYS, on_progress: Progress = lambda *_: None) -> int:
    """Reads the coming days of every test, no further than it can be booked; how many entries are fresh then.

    Raises NotFound for an unknown site; Unavailable without Redis or without the database.
    """
    cache = _cache(context)
    begun = time.monotonic()
    catalog = readings.catalog(context)
    cache.fill_catalog(cache.lease_catalog(), catalog, time.monotonic() - begun)
    if site and site not in catalog.zones:
        suggestions.check("site", site, list(catalog.zones))
    wanted = _wanted(catalog, site, days)
    kept = 0
    for n, part in enumerate(wanted, start=1):
        kept += _refresh(context, cache, catalog, part)
        on_progress(n * _DAYS_AT_ONCE, len(wanted) * _DAYS_AT_ONCE)
    _still(cache)
    return kept


def keep_warm(context: Context, *, young: float = YOUNG_SECONDS, seconds: float = WARM_SECONDS) -> int:
    """Reads those of the coming `warm_days` that are not in the cache or were read long ago; how many are kept now.

    Any number may do this at once: a day is read by whoever has its lease. Raises Unavailable.
    """
    days = context.settings.days_to_warm
    cache = context.slot_cache()
    if not days or cache is None:
        return 0
    _still(cache)
    until = time.monotonic() + seconds
    catalog = readings.catalog(context)
    kept = 0
    for part in _wanted(catalog, "", days):
        lease = cache.lease(part, young=young)
        missing = [day for day in part if cache.key(day) in lease.keys]
        if missing:
            kept += _filled(context, cache, catalog, lease, missing)
            if time.monotonic() > until:
                break
    _still(cache)
    return kept


def _wanted(catalog: Catalog, site: str, days: int) -> list[list[Day]]:
    """The days of each test at each site, in parts of one test and one site."""
    parts = []
    for code in [site] if site else catalog.zones:
        first = clock.today(catalog.zones[code])
        for test, rules in catalog.tests.items():
            last = first + timedelta(days=min(days - 1, rules.window.days))
            found = catalog.wanted(test, [code], (first, last))
            parts += [found[n : n + _DAYS_AT_ONCE] for n in range(0, len(found), _DAYS_AT_ONCE)]
    return parts


def _refresh(context: Context, cache: SlotCache, catalog: Catalog, days: list[Day]) -> int:
    return _filled(context, cache, catalog, cache.lease(days, anyway=True), days)


def _filled(context: Context, cache: SlotCache, catalog: Catalog, lease: Lease, days: list[Day]) -> int:
    begun = time.monotonic()
    read = readings.days(context, days, catalog.zones)
    return sum(cache.fill(lease, day, reading, time.monotonic() - begun) for day, reading in read.items())


def show(context: Context, *, site: str = "") -> State:
    """Everything in the cache, or what is there of one site. Raises Unavailable without Redis."""
    cache = _cache(context)
    days = cache.kept(site)
    entries = []
    for n in range(0, len(days), 500):
        part = days[n : n + 500]
        for day, entry in zip(part, cache.days(part) or [], strict=False):
            if entry is not None:
                slots = entry.reading.slots
                free = sum(slot.status == "free" for slot in slots)
                fresh = cache.is_fresh(entry)
                entries.append(Kept(*day, entry.reading.as_of, entry.age / 1000, fresh, len(slots), free))
    hits, misses = cache.ratio() or (0, 0)
    _still(cache)
    return State(entries, hits, hits + misses)


def drop(context: Context, *, site: str = "") -> int:
    """Empties the cache, or what it has of one site: it is read again when it is asked for. How many entries went."""
    dropped = _cache(context).drop(site)
    if dropped is None:
        raise _away()
    return dropped


def _cache(context: Context) -> SlotCache:
    cache = context.slot_cache()
    if cache is None:
        raise Unavailable(
            "There is no Redis, and the local one does not run: nothing is cached.",
            hint="bookcli up, or set BOOKCLI_REDIS_URL.",
            code="cache-missing",
        )
    _still(cache)
    return cache


def _still(cache: SlotCache) -> None:
    if cache.away:
        raise _away()


def _away() -> Unavailable:
    return Unavailable(
        "Redis does not answer; nothing depends on it but speed.", hint="Try again in a moment.", code="cache-away"
    )
