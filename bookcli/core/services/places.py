"""Where and when, from what a desk types; days and times of day are those of the site.

What must stay true: a local time becomes a moment here, through the clock, in the zone of the site it is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from .. import clock
from ..context import Context
from ..db import kernel
from ..errors import InvalidInput
from ..model import periods
from ..model.requests import Place
from . import suggestions
from .slots import Search


@dataclass(frozen=True, slots=True)
class Wish:
    """The words of a search: `on` a period, or `first_day` and `last_day`; `part` of the day. All may be empty."""

    test: str
    sites: Sequence[str] = ()
    on: str = ""
    first_day: str = ""
    last_day: str = ""
    part: str = ""


def search(context: Context, wish: Wish, *, most: int = 200, everything: bool = False) -> Search:
    """The search that the words mean. Without days the next seven. Raises InvalidInput, NotFound for a site."""
    hours = periods.parse_part_of_day(wish.part) if wish.part else None
    sites = list(wish.sites)
    today = clock.today(zone_of(context, sites)) if sites else clock.now().astimezone().date()
    return Search(wish.test, _days(wish, today), sites, hours, most, everything)


def _days(wish: Wish, today: date) -> tuple[date, date]:
    if wish.on:
        if wish.first_day or wish.last_day:
            raise InvalidInput(
                "Name a period, or a first and last day, not both.", hint="Use --on, or --from and --to."
            )
        return periods.parse_period(wish.on, today)
    if wish.last_day:
        return periods.parse_period(f"{wish.first_day}..{wish.last_day}", today)
    first = periods.parse_day(wish.first_day, today) if wish.first_day else today
    return first, first + timedelta(days=6)


def place(context: Context, *, slot: int | None = None, site: str = "", at: str = "", on: str = "") -> Place:
    """A slot by its number; or a site with `at` (day and time), or with `on` (the first free place of that day).

    The site is the desk's own if none is named. Raises InvalidInput, NotFound for an unknown site.
    """
    if slot is not None:
        if at or on:
            raise InvalidInput("Name a slot, or a day and time, not both.", hint="Use --slot, or --at, or --on.")
        return Place(slot=slot)
    if not (at or on):
        raise InvalidInput("When is not said.", hint="Add --slot, --at or --on.", code="place-missing")
    code = site or context.settings.site
    if not code:
        raise InvalidInput("The site is not said.", hint="Add --site, or set BOOKCLI_SITE.", code="site-missing")
    zone = zone_of(context, [code])
    if not at:
        return Place(site=code, day=periods.parse_day(on, clock.today(zone)))
    start = _moment(at, on, clock.today(zone)).absolute(zone)
    return Place(site=code, day=clock.to_local(start, zone).date(), start=start)


def _moment(at: str, on: str, today: date) -> periods.Moment:
    if on:
        return periods.Moment(periods.parse_day(on, today), periods.parse_time(at))
    try:
        return periods.parse_moment(at, today)
    except InvalidInput:
        if not at.strip()[:1].isdigit():
            raise
        try:
            return periods.Moment(today, periods.parse_time(at))
        except InvalidInput:
            pass
        raise


def zone_of(context: Context, sites: Sequence[str]) -> str:
    """The zone of the first of the sites. Raises NotFound, with the nearest names, unless all of them exist."""
    zones = kernel.zones(context.connection(), sites)
    if len(zones) < len(set(sites)):
        suggestions.check_codes(context, sites=sites)
    return zones[sites[0]]
