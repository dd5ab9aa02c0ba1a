"""The quick line with what the clinic knows: what was typed becomes a search for patients and a wish for offers."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta

from .. import clock
from ..context import Context
from ..errors import InvalidInput
from ..model import quick_line as words
from ..model.quick_line import Known as Known
from ..model.quick_line import Line as Line
from ..model.slots import Search
from . import catalog, places
from .offers import Wish

_AFTER_A_TIME = timedelta(hours=3)
_DAYS = 7


def known(context: Context) -> Known:
    """The tests and sites in use, by code and name. A screen asks once and keeps it for as long as it is open."""
    tests, sites = catalog.tests(context), catalog.sites(context)
    return Known.of([(one.code, one.name) for one in tests], [(one.code, one.name) for one in sites])


def understand(line: str, known: Known, zone: str = "") -> Line:
    """What the line means where the clocks are those of `zone`, of this desk without one. Asks nobody, never raises."""
    return words.understand(line, known, clock.today(zone) if zone else clock.now().astimezone().date())


def wish(context: Context, line: Line, patient: str = "") -> Wish:
    """What offers to ask for: at the site of the line or of this desk, in its days or the next seven.

    With a time of day the tests begin then or within three hours. Raises InvalidInput when no test is named or no
    site is known, NotFound for an unknown site.
    """
    if not line.tests:
        raise InvalidInput("No test is named.", hint="Join several with +: blood+mri", code="visit-size")
    site = places.own_site(context, line.site)
    today = clock.today(places.zone_of(context, [site]))
    days = line.days or (today, today + timedelta(days=_DAYS - 1))
    where = Search("", days, [site], line.hours)
    return Wish(line.tests, _from_time(where, line), patient)


def _from_time(where: Search, line: Line) -> Search:
    if line.at is None:
        return where
    until = (datetime.combine(date.min, line.at) + _AFTER_A_TIME).time()
    return replace(where, hours=(line.at, until if until > line.at else words.END_OF_DAY))
