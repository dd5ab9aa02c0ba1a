"""Queries about the audit; what was done is found through ids, because nothing in it says a name.

What must stay true: whoever asks about one patient is audited too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, Text, cast, func, literal, or_, select
from sqlalchemy.dialects.postgresql import JSONB

from ..model.audit import Entry, Filter
from .engine import Connection
from .exports import steps
from .reads import rows
from .tables import audit, patient, seal


def entries(connection: Connection, wanted: Filter, appointment_id: int | None, most: int) -> list[Entry]:
    """The newest rows that fit, newest first."""
    statement = _wanted(connection, wanted, appointment_id).order_by(audit.c.audit_id.desc()).limit(most)
    return [Entry(**row) for row in rows(connection, statement)]


def every(connection: Connection, wanted: Filter, appointment_id: int | None) -> Iterator[list[Entry]]:
    """All rows that fit, oldest first, in steps."""
    statement = _wanted(connection, wanted, appointment_id)
    for step in steps(connection, statement, audit.c.audit_id):
        yield [Entry(**row) for row in step]


def entry(connection: Connection, audit_id: int) -> Entry | None:
    """One row, with the numbers of all patients a look was at."""
    found = rows(connection, _entries().where(audit.c.audit_id == audit_id))
    if not found:
        return None
    seen = (found[0]["after"] or {}).get("patients", [])
    numbers = select(patient.c.mrn).where(patient.c.patient_id.in_(seen)).order_by(patient.c.mrn)
    return Entry(**found[0], patients=tuple(row["mrn"] for row in rows(connection, numbers)) if seen else ())


def records_of(connection: Connection, mrn: str) -> list[int]:
    """The ids of all records of the person a number means, merged ones too; none when nobody has it."""
    person = (
        select(func.coalesce(patient.c.merged_into, patient.c.patient_id)).where(patient.c.mrn == mrn).scalar_subquery()
    )
    statement = select(patient.c.patient_id).where(or_(patient.c.patient_id == person, patient.c.merged_into == person))
    return [row["patient_id"] for row in rows(connection, statement)]


def _wanted(connection: Connection, wanted: Filter, appointment_id: int | None) -> Select[Any]:
    statement = _entries()
    if wanted.patient:
        statement = statement.where(_about(records_of(connection, wanted.patient)))
    if appointment_id is not None:
        statement = statement.where(audit.c.appointment_id == appointment_id)
    if wanted.actor:
        statement = statement.where(audit.c.actor == wanted.actor)
    if wanted.action:
        statement = statement.where(func.starts_with(audit.c.action, wanted.action))
    if wanted.first:
        statement = statement.where(audit.c.at >= datetime.combine(wanted.first, time(), UTC))
    if wanted.last:
        statement = statement.where(audit.c.at < datetime.combine(wanted.last + timedelta(days=1), time(), UTC))
    return statement


def _about(ids: Sequence[int]) -> ColumnElement[bool]:
    looks = (audit.c.after.op("@>")(cast(literal(json.dumps({"patients": [number]}), Text), JSONB)) for number in ids)
    merges = (audit.c.before.op("@>")(cast(literal(json.dumps({"duplicate": number}), Text), JSONB)) for number in ids)
    return or_(audit.c.patient_id.in_(ids), *looks, *merges)


def _entries() -> Select[Any]:
    names = ("audit_id", "at", "actor", "source", "action", "before", "after")
    return (
        select(
            *(audit.c[name] for name in names),
            patient.c.mrn.label("patient"),
            func.app.reference_of(audit.c.appointment_id).label("reference"),
            seal.c.seal_number.label("seal"),
            func.encode(seal.c.hash, "hex").label("hash"),
        )
        .select_from(audit)
        .outerjoin(patient, patient.c.patient_id == audit.c.patient_id)
        .outerjoin(seal, seal.c.audit_id == audit.c.audit_id)
    )
