"""Queries about appointments: rows of `app.appointment_facts`, found through the indexes of places and ended ones.

What must stay true: each of them is a look at patients, and writes that down.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, union

from .engine import Connection
from .reads import noted, rows
from .tables import appointment, appointment_facts, occupancy, patient, slot

_TO_BE_SEEN = ("pending", "booked", "arrived", "checked-in")
_STANDS = or_(appointment_facts.c.held_until.is_(None), appointment_facts.c.held_until > func.now())
"""A hold whose time is over is nobody's appointment any more, swept or not."""


def of_day(
    connection: Connection, site_id: int, day: date, *, resource: str = "", status: str = ""
) -> list[dict[str, Any]]:
    """Every appointment that starts on a local day of a site, cancelled ones too, by start and resource."""
    facts = appointment_facts.c
    tomorrow = day + timedelta(days=1)
    here = and_(slot.c.site_id == site_id, slot.c.local_start >= day, slot.c.local_start < tomorrow)
    statement = (
        _facts()
        .where(
            facts.appointment_id.in_(_touching(here)), facts.local_start >= day, facts.local_start < tomorrow, _STANDS
        )
        .order_by(facts.starts_at, facts.resource, facts.appointment_id)
    )
    if resource:
        statement = statement.where(facts.resource == resource)
    if status:
        statement = statement.where(facts.status == status)
    return rows(connection, noted(statement, "look-agenda", facts.patient_id))


def of_patient(connection: Connection, mrn: str, *, past: bool) -> list[dict[str, Any]]:
    """The appointments of whom a number means, ascending: those not over yet and still standing, or all of them."""
    facts = appointment_facts.c
    whose = select(func.coalesce(patient.c.merged_into, patient.c.patient_id)).where(patient.c.mrn == mrn)
    statement = (
        _facts()
        .where(facts.patient_id == whose.scalar_subquery(), _STANDS)
        .order_by(facts.starts_at, facts.appointment_id)
    )
    if not past:
        statement = statement.where(facts.active, facts.ends_at > func.now())
    return rows(connection, noted(statement, "look-history", facts.patient_id))


def during(
    connection: Connection, site_id: int, resource_id: int | None, period: tuple[datetime, datetime]
) -> list[dict[str, Any]]:
    """Who is booked or held in a slot that touches [start, end) at a site or one resource of it, by start."""
    here = and_(slot.c.site_id == site_id, slot.c.starts_at < period[1], slot.c.ends_at > period[0])
    # The local day narrows it to the index; the clocks of the world differ from UTC by less than a day.
    here = and_(
        here,
        slot.c.local_start >= period[0].date() - timedelta(days=2),
        slot.c.local_start < period[1].date() + timedelta(days=2),
    )
    if resource_id is not None:
        here = and_(here, slot.c.resource_id == resource_id)
    held = select(occupancy.c.appointment_id).join(slot, slot.c.slot_id == occupancy.c.slot_id).where(here)
    facts = appointment_facts.c
    statement = (
        _facts()
        .where(facts.appointment_id.in_(held), facts.status.in_(_TO_BE_SEEN), _STANDS)
        .order_by(facts.starts_at, facts.resource, facts.appointment_id)
    )
    return rows(connection, noted(statement, "look-affected", facts.patient_id))


def _facts() -> Select[Any]:
    return select(appointment_facts)


def _touching(here: ColumnElement[bool]) -> Any:
    held = select(occupancy.c.appointment_id).join(slot, slot.c.slot_id == occupancy.c.slot_id).where(here)
    ended = (
        select(appointment.c.appointment_id)
        .join(slot, slot.c.slot_id == appointment.c.slot_id)
        .where(here, ~appointment.c.active)
    )
    return union(held, ended)
