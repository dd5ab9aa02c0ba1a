"""Reports over a period: how full the machines were, who did not come, how long people wait for a place.

What must stay true: sums only, nothing about a patient; for whoever may manage schedules.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from ..context import Context
from ..db import kernel
from ..errors import InvalidInput
from . import catalog

KINDS = {"utilisation": "report_utilisation", "noshow": "report_noshow", "lead-time": "report_lead_time"}


def utilisation(context: Context, days: tuple[date, date], site: str = "") -> list[dict[str, Any]]:
    """Rows of site, resource, hour (local), slots, booked, capacity, share (0 to 1). Raises NotFound, NotAllowed."""
    return [
        {**row, "share": _share(row["booked"], row["capacity"])} for row in _rows(context, "utilisation", days, site)
    ]


def noshow(context: Context, days: tuple[date, date], site: str = "") -> list[dict[str, Any]]:
    """Rows of site, test, weekday (1 is Monday), appointments, missed, share. Raises as `utilisation`."""
    return [
        {**row, "share": _share(row["missed"], row["appointments"])} for row in _rows(context, "noshow", days, site)
    ]


def lead_time(context: Context, days: tuple[date, date], site: str = "") -> list[dict[str, Any]]:
    """Rows of site, test, appointments, days_median, days_ninetieth, same_day, within_week, within_month, later."""
    rounded = ("days_median", "days_ninetieth")
    return [
        {**row, **{name: round(row[name], 1) for name in rounded}} for row in _rows(context, "lead-time", days, site)
    ]


def names(context: Context) -> tuple[dict[tuple[str, str], str], dict[str, str]]:
    """What resources, by site and code, and tests, by code, are called; those out of use too."""
    resources = {(one.site, one.code): one.name for one in catalog.resources(context, everything=True)}
    return resources, {one.code: one.name for one in catalog.tests(context, everything=True)}


def _rows(context: Context, kind: str, days: tuple[date, date], site: str) -> list[dict[str, Any]]:
    if days[1] < days[0]:
        raise InvalidInput("The period ends before it begins.", code="period")
    code = catalog.site(context, site).code if site else None
    return kernel.answers(context.connection(), KINDS[kind], *days, code)


def _share(part: int, whole: int) -> float:
    return round(part / whole, 3) if whole else 0.0
