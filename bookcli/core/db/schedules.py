"""Queries about weekly hours, closures and the slots that are there."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, Text, cast, func, select

from ..model.schedules import Closure, Schedule, time_of
from .engine import Connection
from .reads import rows
from .tables import closure, resource, schedule, site, slot


class Hours(NamedTuple):
    """Hours with what publishing them takes."""

    schedule: Schedule
    resource_id: int
    zone: str


def schedules(connection: Connection, *, site_code: str, resource_code: str) -> list[Schedule]:
    """Weekly hours by site, resource, weekday and opening."""
    return [_schedule(row) for row in rows(connection, _hours(site_code, resource_code))]


def publishable(connection: Connection, first: date, last: date, *, site_code: str, resource_code: str) -> list[Hours]:
    """The hours of sites and resources in use that count on some day of a period, both days included."""
    statement = _hours(site_code, resource_code).where(
        site.c.active, resource.c.active, schedule.c.valid.op("&&")(func.daterange(first, last, "[]"))
    )
    return [Hours(_schedule(row), row["resource_id"], row["zone"]) for row in rows(connection, statement)]


def _hours(site_code: str, resource_code: str) -> Select[Any]:
    statement = (
        select(
            schedule.c.schedule_id,
            cast(site.c.code, Text).label("site"),
            cast(resource.c.code, Text).label("resource"),
            schedule.c.weekday,
            _minutes(schedule.c.opens).label("opens"),
            _minutes(schedule.c.closes).label("closes"),
            schedule.c.slot_minutes,
            schedule.c.capacity,
            func.lower(schedule.c.valid).label("valid_from"),
            (func.upper(schedule.c.valid) - 1).label("valid_until"),
            resource.c.resource_id,
            site.c.zone,
        )
        .join(resource, resource.c.resource_id == schedule.c.resource_id)
        .join(site, site.c.site_id == resource.c.site_id)
        .order_by(site.c.code, resource.c.code, schedule.c.weekday, schedule.c.opens, schedule.c.schedule_id)
    )
    if site_code:
        statement = statement.where(site.c.code == site_code)
    if resource_code:
        statement = statement.where(resource.c.code == resource_code)
    return statement


def _minutes(moment: ColumnElement[Any]) -> ColumnElement[int]:
    # Not the time itself: PostgreSQL has 24:00, Python does not.
    return func.date_part("hour", moment) * 60 + func.date_part("minute", moment)


def _schedule(row: dict[str, Any]) -> Schedule:
    names = Schedule.__dataclass_fields__
    kept = {name: row[name] for name in names}
    return Schedule(**{**kept, "opens": time_of(int(row["opens"])), "closes": time_of(int(row["closes"]))})


def closures(connection: Connection) -> list[Closure]:
    """The closures in force that are not over, by start."""
    statement = (
        select(
            closure.c.closure_id,
            cast(site.c.code, Text).label("site"),
            cast(resource.c.code, Text).label("resource"),
            func.lower(closure.c.during).label("start"),
            func.upper(closure.c.during).label("end"),
            closure.c.reason,
        )
        .join(site, site.c.site_id == closure.c.site_id)
        .outerjoin(resource, resource.c.resource_id == closure.c.resource_id)
        .where(closure.c.reopened_at.is_(None), func.upper(closure.c.during) > func.now())
        .order_by(func.lower(closure.c.during), closure.c.closure_id)
    )
    return [Closure(**row) for row in rows(connection, statement)]


def published(connection: Connection, site_code: str) -> dict[str, date]:
    """The last local day on which a resource of a site has slots, by its code; without those that have none."""
    # One look at the index for each resource: an aggregate over all slots would read them.
    last = (
        select(slot.c.local_start)
        .where(slot.c.resource_id == resource.c.resource_id)
        .order_by(slot.c.local_start.desc())
        .limit(1)
        .scalar_subquery()
    )
    statement = (
        select(cast(resource.c.code, Text).label("resource"), last.label("last"))
        .join(site, site.c.site_id == resource.c.site_id)
        .where(site.c.code == site_code)
    )
    return {row["resource"]: row["last"].date() for row in rows(connection, statement) if row["last"] is not None}


def present(
    connection: Connection, resource_ids: list[int], period: tuple[datetime, datetime]
) -> dict[int, list[tuple[datetime, datetime]]]:
    """The (start, end) of every slot of resources that touches [start, end), ascending, by resource."""
    statement = (
        select(slot.c.resource_id, slot.c.starts_at, slot.c.ends_at)
        .where(slot.c.resource_id.in_(resource_ids), slot.c.starts_at < period[1], slot.c.ends_at > period[0])
        .order_by(slot.c.resource_id, slot.c.starts_at)
    )
    found: dict[int, list[tuple[datetime, datetime]]] = {}
    for row in rows(connection, statement):
        found.setdefault(row["resource_id"], []).append((row["starts_at"], row["ends_at"]))
    return found
