"""Compares what the cache says of slots with what the database says.

What must stay true: the cache is read first, so that whatever changes meanwhile makes it older, which it may be, and
never wrong.
"""

from __future__ import annotations

from itertools import groupby

from ..adapters.slot_cache import SlotCache
from ..context import Context
from ..db import availability as queries
from ..errors import NotAllowed
from ..model.availability import Day
from ..model.slots import Slot
from . import readings

RULE = "no count in the cache is ahead of the database or differs from it"


def contradictions(context: Context) -> int | None:
    """How many slots of entries have a version the database has not, or the same version and another count.

    Such an entry is of another database, or of a later state of one that was restored. An older version is no
    contradiction. None without a Redis that answers, and for a role that may not look at slots.
    """
    cache = context.slot_cache()
    if cache is None or cache.away:
        return None
    try:
        wrong = sum(_wrong(context, cache, list(days)) for _, days in groupby(cache.kept(), lambda day: day[:2]))
    except NotAllowed:
        return None
    return None if cache.away else wrong


def _wrong(context: Context, cache: SlotCache, days: list[Day]) -> int:
    """Of days of one test at one site."""
    known = dict(zip(days, cache.days(days) or [], strict=False))
    entries = {day: entry.reading for day, entry in known.items() if entry is not None}
    if not entries:
        return 0
    found = readings.days(context, list(entries), {day.site: entry.zone for day, entry in entries.items()})
    read = {slot.slot_id: slot for reading in found.values() for slot in reading.slots}
    counted = queries.counts(context.connection(), [slot.slot_id for one in entries.values() for slot in one.slots])
    return sum(
        _contradicts(slot, entry.alone, counted.get(slot.slot_id), read.get(slot.slot_id))
        for entry in entries.values()
        for slot in entry.slots
    )


def _contradicts(kept: Slot, alone: bool, counted: tuple[int, int] | None, read: Slot | None) -> bool:
    """`counted` is (version, places without those of holds that have expired), `read` has them among its remaining."""
    if counted is None or kept.version > counted[0]:
        return True
    # Of a test that takes several slots the fullest counts, whose version is not kept.
    if not alone or read is None or not kept.version == counted[0] == read.version:
        return False
    return not counted[1] <= kept.remaining <= read.remaining
