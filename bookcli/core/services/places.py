"""Where and when, from what a desk types; days and times of day are those of the site.

What must stay true: a local time becomes a moment here, through the clock, in the zone of the site it is about.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from .. import clock
from ..adapters import remembered
from ..context import Context
from ..errors import InvalidInput, Unavailable
from ..model import periods
from ..model.requests import Place
from . import availability, suggestions
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
    """The search that the words mean. Without days the next seven. Raises InvalidInput, NotFound for a site.

    Everything in it may come from the cache: it only asks what could be had.
    """
    hours = periods.parse_part_of_day(wish.part) if wish.part else None
    sites = list(wish.sites)
    try:
        zone = (availability.zone(context, sites) or zone_of(context, sites)) if sites else ""
    except Unavailable as problem:
        raise availability.unknown(problem) from None
    period = _days(_today(zone), wish.on, wish.first_day, wish.last_day)
    return Search(wish.test, period, sites, hours, most, everything)


def days(context: Context, sites: Sequence[str], on: str = "", first: str = "", last: str = "") -> tuple[date, date]:
    """First and last local day of a period, or of first to last; seven days from the first if no last is named.

    Today is that of the first site, or of this desk. Raises InvalidInput, NotFound for an unknown site.
    """
    return _days(_today(zone_of(context, sites) if sites else ""), on, first, last)


def _today(zone: str) -> date:
    return clock.today(zone) if zone else clock.now().astimezone().date()


def _days(today: date, on: str, first: str, last: str) -> tuple[date, date]:
    if on:
        if first or last:
            raise InvalidInput(
                "Name a period, or a first and last day, not both.", hint="Use --on, or --from and --to."
            )
        return periods.parse_period(on, today)
    if last:
        return periods.parse_period(f"{first}..{last}", today)
    begins = periods.parse_day(first, today) if first else today
    return begins, begins + timedelta(days=6)


def day(context: Context, site: str, on: str) -> tuple[str, date]:
    """(site, local day): the desk's own site and today when not named. Raises InvalidInput, NotFound."""
    code = own_site(context, site)
    today = clock.today(zone_of(context, [code]))
    return code, periods.parse_day(on, today) if on else today


def period(context: Context, site: str, first: str, last: str) -> tuple[datetime, datetime]:
    """The moments from `first` until `last`, a day or a day and time at the site; a last day is included.

    Without `last` the day of `first`. Raises InvalidInput, NotFound for an unknown site.
    """
    return moments(zone_of(context, [site]), first, last)


def moments(zone: str, first: str, last: str) -> tuple[datetime, datetime]:
    """The same when the zone is known already. Raises InvalidInput."""
    today = clock.today(zone)
    begins = periods.parse_moment(first, today)
    counts_from = periods.end_counts_from(first.strip(), last.strip(), begins.day, today)
    ends = periods.parse_moment(last, today, counts_from) if last else periods.Moment(begins.day)
    start = begins.absolute(zone) if begins.time else clock.day_bounds(begins.day, zone)[0]
    return start, ends.absolute(zone) if ends.time else clock.day_bounds(ends.day, zone)[1]


def own_site(context: Context, site: str) -> str:
    """The site as named, the desk's own, or the only one of whoever is signed in. Raises InvalidInput without any."""
    code = site or context.settings.site or _only_site(context)
    if not code:
        raise InvalidInput("The site is not said.", hint="Add --site, or set BOOKCLI_SITE.", code="site-missing")
    return code


def _only_site(context: Context) -> str:
    """The site that somebody is bound to; empty when there are more, or while the database is away."""
    from ..db import gateway  # noqa: PLC0415 - as in zone_of

    try:
        person = gateway.whoami(context.connection()) if context.token else None
    except Unavailable:
        return ""
    return person.sites[0] if person and len(person.sites) == 1 else ""


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
    code = own_site(context, site)
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
    """The zone of the first of the sites. Raises NotFound, with the nearest names, unless all of them exist.

    Asked of the database, which whoever books needs anyway; while it is away of the cache, and else of what this desk
    remembers. Raises Unavailable when neither knows.
    """
    from ..db import engine, kernel  # noqa: PLC0415 - a search that the cache answers imports no driver

    try:
        zones = kernel.zones(context.connection(), sites)
    except Unavailable as away:
        known = _cached_zone(context, sites) or _remembered_zone(context, sites, away)
        context.away(away)
        return known
    if len(zones) < len(set(sites)):
        suggestions.check_codes(context, sites=sites)
    remembered.remember(context.paths.remembered, engine.address(context.dsn), zones=zones)
    return zones[sites[0]]


def _cached_zone(context: Context, sites: Sequence[str]) -> str | None:
    try:
        return availability.zone(context, sites)
    except Unavailable:
        return None


def _remembered_zone(context: Context, sites: Sequence[str], away: Unavailable) -> str:
    from ..db import engine  # noqa: PLC0415 - a search that the cache answers imports no driver

    zones = remembered.recall(context.paths.remembered, engine.address(context.dsn)).zones
    if all(site in zones for site in sites):
        return zones[sites[0]]
    raise Unavailable(
        away.message,
        hint="Nothing was changed, and nothing was kept: this desk does not know the time at that site yet. "
        "Name the slot by its number, or try again.",
        code=away.code,
        details=away.details,
    )
