"""Find free slots; what it shows is true at that moment and never a promise."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta

from ..context import Context
from ..errors import NotFound
from ..model.availability import Found
from ..model.slots import Search as Search
from ..model.slots import Slot
from . import availability


def find(context: Context, search: Search) -> list[Slot]:
    """Slots in order of start, from the cache when it has them. Raises as `look`."""
    return availability.look(context, search).slots


def look(context: Context, search: Search) -> Found:
    """Slots in order of start, with the moment of which they are, and what is not known when the database is away.

    Raises NotFound for an unknown test or site, with the nearest names; Unavailable `availability-unknown`.
    """
    return availability.look(context, search)


def nearest(
    context: Context, *, test: str, site: str | None, day: date, near: datetime | None = None, most: int = 3
) -> list[Slot]:
    """Free slots for a test nearest to a day, or to a moment of it: first at the site from that day on, then at any.

    Asked of the database: whoever wants to know has just been refused there.
    """
    days = (day, day + timedelta(days=30))
    for sites in ([site] if site else [], []):
        try:
            found = availability.ask(context, Search(test, days, sites, most=most if near is None else 100))
        except NotFound:
            return []
        if found and near is not None:
            closest = sorted(found, key=lambda slot: abs(slot.start - near))[:most]
            return sorted(closest, key=lambda slot: slot.start)
        if found:
            return found
    return []


def changes(context: Context, sites: list[str], patience: float = 1.0) -> Iterator[tuple[str, date] | None]:
    """(site, local day) as soon as slots there have changed, None every `patience` seconds in which none have.

    For screens: a message that is missed only delays a refresh. Ends when there is no Redis, or none any more; it
    blocks, and wants a context of its own.
    """
    cache = context.slot_cache()
    if cache is not None:
        yield from cache.listen(sites, patience)
