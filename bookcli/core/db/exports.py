"""Everything of one noun in steps of its id: no cursor and no long transaction, which a pool would not keep.

What must stay true: a step costs the same whatever is filtered out, so that none runs into a time-out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select

from ..model.imports import HISTORY_STATUSES
from .engine import Connection
from .reads import noted, rows
from .tables import appointment, appointment_facts, patient

_STEP = 5000


@dataclass(frozen=True)
class Filter:
    """Which appointments: of one site (empty: all), on local days from `first` to `last`, both included."""

    site: str = ""
    first: date | None = None
    last: date | None = None


def patients(connection: Connection) -> Iterator[list[dict[str, Any]]]:
    """Every patient but merged records, whose appointments the survivor has."""
    names = ("mrn", "name", "birth_date", "sex", "phone", "email", "language", "note")
    statement = select(*(patient.c[name] for name in names)).where(patient.c.merged_into.is_(None))
    return steps(connection, statement, patient.c.patient_id, whose=patient.c.patient_id)


def appointments(connection: Connection, wanted: Filter) -> Iterator[list[dict[str, Any]]]:
    """What is booked, ended or cancelled; holds are no appointments yet."""
    facts = appointment_facts.c
    names = ("reference", "patient", "test", "site", "resource", "starts_at", "zone", "status", "note")
    statement = select(*(facts[name] for name in names)).where(facts.status.in_(sorted(HISTORY_STATUSES)))
    if wanted.site:
        statement = statement.where(facts.site == wanted.site)
    if wanted.first:
        statement = statement.where(facts.local_start >= wanted.first)
    if wanted.last:
        statement = statement.where(facts.local_start < wanted.last + timedelta(days=1))
    return steps(
        connection, statement, facts.appointment_id, counted=appointment.c.appointment_id, whose=facts.patient_id
    )


def steps(
    connection: Connection,
    statement: Select[Any],
    number: ColumnElement[Any],
    *,
    counted: ColumnElement[Any] | None = None,
    whose: ColumnElement[Any] | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """The rows in steps of `number`, whose highest `counted` has; with `whose`, each step's patients are audited."""
    (found,) = rows(connection, select(func.max(number if counted is None else counted).label("highest")))
    for start in range(0, found["highest"] or 0, _STEP):
        step = statement.where(number > start, number <= start + _STEP).order_by(number)
        yield rows(connection, step if whose is None else noted(step, "look-export", whose))
