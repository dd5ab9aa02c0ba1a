"""What is free, through the cache: fresh days from it, others from the database, old ones when that is away.

What must stay true: a search that the cache answers imports no database driver, the answer is what the database would
give at that moment, and a day that nobody knows is called unknown, never free and never full.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import clock
from ..errors import Unavailable
from ..model.availability import Catalog, Day, Found, Offer, Reading, together
from ..model.slots import Search, Slot

if TYPE_CHECKING:
    from ..adapters.slot_cache import SlotCache
    from ..adapters.slot_entries import Entry
    from ..context import Context

MOST_DAYS = 500
"""Entries that one search looks at; a longer one asks the database, which stops at the first slots that suffice."""

PATIENCE = 0.4
"""Seconds to wait for the database by whoever could be told something older."""


def look(context: Context, search: Search) -> Found:
    """The answer to a search. Raises NotFound for an unknown test or site, with the nearest names; Unavailable."""
    try:
        cache = context.slot_cache()
        known = _catalog(context, cache) if cache is not None and not cache.away else None
        if cache is None or known is None or not known.knows(search.test, search.sites):
            return _asked(context, search)
        plan = cache.plan(known, search)
        if not plan.days:
            return Found([], known.as_of)
        moment = cache.asked(plan) if len(plan.days) <= MOST_DAYS else None
        if moment is None:
            return _asked(context, search)
        hit = cache.is_hit(plan, moment)
        cache.count(hit=hit)
        if not hit:
            return _Look(context, cache, known, search).refreshed(cache.entries(plan, moment))
        slots = _offer(known, search).chosen(plan.whole, plan.now(moment))
        return Found(slots, plan.whole.as_of, (moment - (plan.oldest or moment)) / 1000)
    except Unavailable as problem:
        if problem.code != "database-away":
            raise
        raise unknown(problem) from None


def _offer(catalog: Catalog, search: Search) -> Offer:
    return Offer(search.hours, None if search.everything else catalog.tests[search.test], search.most)


def ask(context: Context, search: Search) -> list[Slot]:
    """The slots as the database has them now. Raises as `look`."""
    return _asked(context, search).slots


def _asked(context: Context, search: Search) -> Found:
    from . import readings  # noqa: PLC0415 - the driver is loaded when the database is needed

    return Found(readings.found(context, search), clock.now())


def unknown(problem: Unavailable) -> Unavailable:
    """What is said when neither the database nor the cache can tell."""
    return Unavailable(
        "It is unknown what is free: the database does not answer, and the cache does not know.",
        hint="Try again, or see: bookcli status",
        code="availability-unknown",
        details=problem.details,
    )


def zone(context: Context, sites: Sequence[str]) -> str | None:
    """The zone of the first of the sites, if the cache knows all of them, or the database through it."""
    cache = context.slot_cache()
    if cache is None or cache.away:
        return None
    known = _catalog(context, cache)
    return known.zones[sites[0]] if all(site in known.zones for site in sites) else None


def _catalog(context: Context, cache: SlotCache) -> Catalog:
    """The catalog, fresh, or as it was when the database is away. Raises Unavailable."""
    known = cache.catalog()
    if known is not None and cache.is_fresh(known):
        return known.catalog
    lease = cache.lease_catalog()
    if known is not None and not lease.keys and not lease.refused and cache.is_aging(known):
        return known.catalog
    from . import readings  # noqa: PLC0415 - the driver is loaded when the database is needed

    begun = time.monotonic()
    try:
        read = readings.catalog(context, None if known is None else PATIENCE)
    except Unavailable:
        cache.release(lease)
        if known is None:
            raise
        return known.catalog
    cache.fill_catalog(lease, read, time.monotonic() - begun)
    return read


@dataclass(frozen=True)
class _Look:
    """One search on its way: which days are answered from where."""

    context: Context
    cache: SlotCache
    catalog: Catalog
    search: Search

    def refreshed(self, entries: dict[Day, Entry | None]) -> Found:
        """The answer, with what is too old read again, unless somebody else is doing it or nobody can."""
        late = [day for day, entry in entries.items() if not self.cache.is_fresh(entry)]
        lease = self.cache.lease(late)
        # Somebody else is refreshing those that are only a little too old.
        others = [] if lease.refused else [day for day in late if self.cache.is_aging(entries[day])]
        wanted = [day for day in late if day not in others or self.cache.key(day) in lease.keys]
        if not wanted:
            return self.found(entries, {}, stale=True)
        try:
            read, begun = self._read(wanted, any(entries.values()))
        except Unavailable:
            self.cache.release(lease)
            return self._remembered(entries)
        for day in wanted:
            self.cache.fill(lease, day, read[day], time.monotonic() - begun)
        return self.found(entries, read, stale=len(wanted) < len(late))

    def _read(self, days: list[Day], has_entries: bool) -> tuple[dict[Day, Reading], float]:
        from . import readings  # noqa: PLC0415 - the driver is loaded when the database is needed

        self.context.connection(PATIENCE if has_entries else None)
        begun = time.monotonic()
        read = readings.days(self.context, days, self.catalog.zones, PATIENCE if has_entries else None)
        return read, begun

    def _remembered(self, entries: dict[Day, Entry | None]) -> Found:
        """What is known when the database is away. Raises Unavailable when nothing is."""
        known = {day: entry for day, entry in entries.items() if entry is not None}
        if not known:
            raise Unavailable("The database does not answer.", code="database-away")
        missing = tuple(day for day in entries if day not in known)
        return self.found(known, {}, stale=True, away=True, unknown=missing)

    def found(
        self,
        entries: Mapping[Day, Entry | None],
        read: dict[Day, Reading],
        *,
        stale: bool = False,
        away: bool = False,
        unknown: tuple[Day, ...] = (),
    ) -> Found:
        """The answer from days that were read just now, and from entries for the rest."""
        kept = {day: entry for day, entry in entries.items() if entry is not None and day not in read}
        known = {day: entry.reading for day, entry in kept.items()} | read
        readings = [known[day] for day in entries]
        # Whatever was read when, its moment and its age tell what the database's clock says by now.
        now = next((entry.now for entry in kept.values()), readings[0].as_of)
        whole = together(readings)
        slots = _offer(self.catalog, self.search).chosen(whole, now)
        age = max([entry.age for entry in kept.values()], default=0) / 1000
        return Found(slots, whole.as_of, age, stale, away, unknown)
