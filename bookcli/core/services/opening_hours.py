"""When a site is open, on one look: its weekly hours, how far they are published, and what is closed ahead.

What must stay true: nothing here knows a patient, so that a look at it is no look at one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from ..context import Context
from ..db import schedules as queries
from ..model.catalog import Resource
from ..model.schedules import Closure, Schedule
from . import catalog, schedules


@dataclass(frozen=True, slots=True)
class OpeningHours:
    """Of one site: resources in use, weekly hours, closures that are not over, by start.

    `published`: the last local day that has slots, by resource.
    """

    site: str
    resources: list[Resource]
    hours: list[Schedule]
    closures: list[Closure]
    published: Mapping[str, date]


def of_site(context: Context, site: str) -> OpeningHours:
    """Reads all of it. Raises NotFound for an unknown site, Unavailable."""
    resources = catalog.resources(context, site=site)
    hours = schedules.list_(context, site=site)
    closures = [one for one in schedules.closures(context) if one.site == site]
    return OpeningHours(site, resources, hours, closures, queries.published(context.connection(), site))


def withdraw(context: Context, schedule_ids: Sequence[int], first_day: date) -> str:
    """Takes back hours that were added, as if they ended before their first day; the sentence about it."""
    schedules.end(context, schedule_ids, first_day - timedelta(days=1))
    return "Taken back: nothing more is published from these hours. Slots that were published meanwhile stay."
