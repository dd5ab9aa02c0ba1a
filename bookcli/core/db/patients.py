"""Queries about patients; whoever is found by the number of a merged record is the person who survived it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, true

from ..model.patients import Patient, Wanted
from .engine import Connection
from .reads import noted, rows
from .tables import appointment, patient, site, slot

_BOUNDARIES = ("", "% ", "%-", "%'")
"""What may stand before a word of a name; several LIKEs, because a trigram index serves each."""


def get(connection: Connection, mrn: str, *, seen: bool) -> Patient | None:
    """The record with exactly this number, merged or not; `seen`: somebody will see it, so the look is audited."""
    statement = _records().where(patient.c.mrn == mrn)
    found = rows(connection, noted(statement, "look-patient", patient.c.patient_id) if seen else statement)
    return Patient(**found[0]) if found else None


def find(connection: Connection, wanted: Wanted, most: int) -> list[Patient]:
    """Who fits: the exact number first, then by name. The look at them is audited."""
    matching = select(func.coalesce(patient.c.merged_into, patient.c.patient_id)).where(_fits(wanted))
    statement = (
        _records()
        .where(patient.c.patient_id.in_(matching))
        .order_by(~_has_number(wanted.mrn), patient.c.search_name, patient.c.birth_date, patient.c.mrn)
        .limit(most)
    )
    return [Patient(**row) for row in rows(connection, noted(statement, "look-search", patient.c.patient_id))]


def _fits(wanted: Wanted) -> ColumnElement[bool]:
    ways: list[ColumnElement[bool]] = []
    if wanted.mrn:
        ways.append(_has_number(wanted.mrn))
    if wanted.digits:
        tail = func.app.phone_tail(patient.c.phone)
        ways.append(and_(patient.c.phone != "", tail.like(wanted.digits[::-1] + "%")))
    together = [_begins_a_word(word) for word in wanted.words]
    if wanted.birth_dates:
        together.append(patient.c.birth_date.in_(wanted.birth_dates))
    if together:
        ways.append(and_(*together))
    return or_(*ways)


def _has_number(mrn: str) -> ColumnElement[bool]:
    return patient.c.mrn.in_((mrn, mrn.upper(), mrn.lower()))


def _begins_a_word(word: str) -> ColumnElement[bool]:
    literal = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return or_(
        *(patient.c.search_name.like(func.concat(before, func.app.fold(literal), "%")) for before in _BOUNDARIES)
    )


def _records() -> Select[Any]:
    survivor = patient.alias("survivor")
    ahead = (
        select(
            func.lower(appointment.c.during).label("next_start"),
            site.c.zone.label("next_zone"),
            func.count().over().label("appointments_ahead"),
        )
        .join(slot, slot.c.slot_id == appointment.c.slot_id)
        .join(site, site.c.site_id == slot.c.site_id)
        .where(
            appointment.c.patient_id == patient.c.patient_id,
            or_(
                appointment.c.status == "booked",
                and_(appointment.c.status == "pending", appointment.c.held_until > func.now()),
            ),
            func.lower(appointment.c.during) > func.now(),
        )
        .order_by(func.lower(appointment.c.during))
        .limit(1)
        .lateral("ahead")
    )
    kept: Sequence[str] = ("mrn", "name", "birth_date", "sex", "phone", "email", "language", "note")
    return (
        select(
            *(patient.c[name] for name in kept),
            survivor.c.mrn.label("merged_into"),
            func.coalesce(ahead.c.appointments_ahead, 0).label("appointments_ahead"),
            ahead.c.next_start,
            ahead.c.next_zone,
        )
        .select_from(patient)
        .outerjoin(survivor, survivor.c.patient_id == patient.c.merged_into)
        .outerjoin(ahead, true())
    )
