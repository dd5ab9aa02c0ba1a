"""What a committed change means for the cache; it is done after the answer and can fail without any harm.

What must stay true: only what has been committed gets here, and what cannot be known exactly is not guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from .. import clock
from ..errors import BookcliError
from ..model.appointments import Verdict
from ..model.availability import Change

if TYPE_CHECKING:
    from ..adapters.slot_cache import SlotCache
    from ..context import Context

_DAYS_AT_ONCE = 500
_A_DAY = timedelta(days=1)


def booked(context: Context, verdicts: Iterable[Verdict], left: Iterable[Mapping[str, Any]] = ()) -> None:
    """After appointments were made, cancelled or moved: the slots they are in now and those that they have left.

    `left` are site, zone, resource, starts_at (aware, or as JSON has it) and slots.
    """
    changes = [change for verdict in verdicts if (change := _of(verdict)) is not None]
    for place in left:
        start = place["starts_at"]
        start = datetime.fromisoformat(start) if isinstance(start, str) else start
        day = clock.to_local(start, place["zone"]).date()
        changes.append(Change(place["site"], place["resource"], day, dict.fromkeys(place["slots"])))
    if changes:
        context.afterwards(partial(_tell, context, _merged(changes)))


def stepped(context: Context, verdict: Verdict) -> None:
    """After a step of the day, which concerns no place: nothing of the cache is outdated, but screens show it."""
    change = _of(verdict)
    if change is not None:
        context.afterwards(partial(_say, context, change))


def capacity_set(context: Context, slot: int, value: tuple[int, int, int]) -> None:
    """After a slot got another capacity: (version, capacity, remaining)."""
    context.afterwards(partial(_tell_capacity, context, slot, value))


def days_changed(context: Context, sites: Iterable[str], first: date, last: date) -> None:
    """After slots of sites were opened or closed on local days, both included: they are unknown until they are read."""
    context.afterwards(partial(_forget, context, list(sites), first, last))


def period_changed(context: Context, site: str, period: tuple[datetime, datetime]) -> None:
    """The same for a period of absolute time: every day that it can touch in any zone."""
    days_changed(context, [site], period[0].date() - _A_DAY, period[1].date() + _A_DAY)


def catalog_changed(context: Context) -> None:
    """After a site, a test or a resource was changed, and with it perhaps every day."""
    context.afterwards(partial(_forget_catalog, context))


def messages_due(context: Context) -> None:
    """After something was committed that a patient is told: the workers need not wait for their next look."""
    context.afterwards(partial(_nudge, context))


def _of(verdict: Verdict) -> Change | None:
    if verdict.site is None or verdict.resource is None or verdict.starts_at is None or verdict.slot_id is None:
        return None
    touched: dict[int, tuple[int, int, int] | None] = dict.fromkeys(verdict.slots or [verdict.slot_id])
    if verdict.version is not None and verdict.capacity is not None and verdict.remaining is not None:
        touched[verdict.slot_id] = (verdict.version, verdict.capacity, verdict.remaining)
    day = clock.to_local(verdict.starts_at, verdict.zone or "UTC").date()
    return Change(verdict.site, verdict.resource, day, touched)


def _merged(changes: Iterable[Change]) -> list[Change]:
    """One change for all that was done to a resource on a day: of two values of a slot the later one."""
    merged: dict[tuple[str, str, date], Change] = {}
    for change in changes:
        place = (change.site, change.resource, change.day)
        before = merged[place].touched if place in merged else {}
        later = {n: value for n, value in change.touched.items() if (value or (0,)) >= (before.get(n) or (0,))}
        merged[place] = replace(change, touched={**before, **later})
    return list(merged.values())


def _cache(context: Context) -> SlotCache | None:
    """The cache. A setting of it that is wrong is said by whoever reads from it, not after a change that is made."""
    try:
        return context.slot_cache()
    except BookcliError:
        return None


def _nudge(context: Context) -> None:
    cache = _cache(context)
    if cache is not None:
        from ..adapters import wake_up  # noqa: PLC0415 - only where there is a Redis

        wake_up.nudge(cache)


def _tell(context: Context, changes: Iterable[Change]) -> None:
    cache = _cache(context)
    if cache is not None:
        for change in changes:
            cache.changed(change)


def _say(context: Context, change: Change) -> None:
    cache = _cache(context)
    if cache is not None:
        cache.publish(cache.channel(change.site), str(change.day))


def _tell_capacity(context: Context, slot: int, value: tuple[int, int, int]) -> None:
    if _cache(context) is None:
        return
    from ..db import availability  # noqa: PLC0415 - only where there is a cache

    try:
        place = availability.place_of(context.connection(), slot)
    except BookcliError:
        return
    if place is not None:
        _tell(context, [Change(*place, {slot: value})])


def _forget(context: Context, sites: list[str], first: date, last: date) -> None:
    cache = _cache(context)
    if cache is None:
        return
    # A test that starts the day before may need the first slots of this one, and so the other way round.
    days = [first + timedelta(days=n) for n in range(-1, (last - first).days + 2)]
    for site in sites:
        for n in range(0, len(days), _DAYS_AT_ONCE):
            cache.forget(site, days[n : n + _DAYS_AT_ONCE])


def _forget_catalog(context: Context) -> None:
    cache = _cache(context)
    if cache is not None:
        cache.forget_catalog()
