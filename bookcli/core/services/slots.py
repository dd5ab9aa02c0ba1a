"""Find free slots; what it shows is true at that moment and never a promise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from ..context import Context
from ..db import kernel
from ..errors import NotFound
from ..model.slots import Slot
from . import suggestions


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for. `days` are local days of the site, both included; `hours` [from, until) local time.

    `sites` empty means every site. `everything` also shows full, closed and past slots.
    """

    test: str
    days: tuple[date, date]
    sites: Sequence[str] = ()
    hours: tuple[time, time] | None = None
    most: int = 200
    everything: bool = False


def find(context: Context, search: Search) -> list[Slot]:
    """Slots in order of start. Raises NotFound for an unknown test or site, with the nearest names."""
    found = kernel.find_slots(
        context.connection(),
        sites=search.sites,
        test=search.test,
        days=search.days,
        hours=search.hours,
        bookable=not search.everything,
        most=search.most,
    )
    if not found:
        suggestions.check_codes(context, test=search.test, sites=search.sites)
    return found


def nearest(
    context: Context, *, test: str, site: str | None, day: date, near: datetime | None = None, most: int = 3
) -> list[Slot]:
    """Free slots for a test nearest to a day, or to a moment of it: first at the site from that day on, then at any."""
    days = (day, day + timedelta(days=30))
    for sites in ([site] if site else [], []):
        try:
            found = find(context, Search(test, days, sites, most=most if near is None else 100))
        except NotFound:
            return []
        if found and near is not None:
            closest = sorted(found, key=lambda slot: abs(slot.start - near))[:most]
            return sorted(closest, key=lambda slot: slot.start)
        if found:
            return found
    return []
