"""The tables of schema.sql as SQLAlchemy sees them, for reading; a test proves that they are the live ones.

What must stay true: nothing is created from these definitions; schema.sql is the one truth.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Time,
    Uuid,
)
from sqlalchemy.dialects.postgresql import DATERANGE, ENUM, JSONB, TSTZRANGE
from sqlalchemy.types import TypeEngine

metadata = MetaData(schema="app")
MOMENT = DateTime(timezone=True)
STATUS = ENUM(
    "proposed",
    "pending",
    "booked",
    "arrived",
    "checked-in",
    "fulfilled",
    "cancelled",
    "noshow",
    "waitlist",
    "entered-in-error",
    name="appointment_status",
    schema="app",
    create_type=False,
)


def _some(name: str, kind: TypeEngine[Any] | type[TypeEngine[Any]]) -> Column[Any]:
    return Column(name, kind, nullable=True)


def _all(name: str, kind: TypeEngine[Any] | type[TypeEngine[Any]], *, key: bool = False) -> Column[Any]:
    return Column(name, kind, nullable=False, primary_key=key)


site = Table(
    "site",
    metadata,
    _all("site_id", Integer, key=True),
    _all("code", Text),
    _all("name", Text),
    _all("zone", Text),
    _all("phone", Text),
    _all("active", Boolean),
)

test = Table(
    "test",
    metadata,
    _all("test_id", Integer, key=True),
    _all("code", Text),
    _all("name", Text),
    _all("duration_minutes", Integer),
    _all("buffer_before_minutes", Integer),
    _all("buffer_after_minutes", Integer),
    _all("lead_minutes", Integer),
    _all("window_days", Integer),
    _all("min_interval_days", Integer),
    _all("preparation", Text),
    _all("active", Boolean),
)

resource = Table(
    "resource",
    metadata,
    _all("resource_id", Integer, key=True),
    _all("site_id", Integer),
    _all("code", Text),
    _all("name", Text),
    _all("active", Boolean),
)

resource_test = Table(
    "resource_test", metadata, _all("resource_id", Integer, key=True), _all("test_id", Integer, key=True)
)

schedule = Table(
    "schedule",
    metadata,
    _all("schedule_id", Integer, key=True),
    _all("resource_id", Integer),
    _all("weekday", SmallInteger),
    _all("opens", Time),
    _all("closes", Time),
    _all("slot_minutes", Integer),
    _all("capacity", Integer),
    _all("valid", DATERANGE),
)

closure = Table(
    "closure",
    metadata,
    _all("closure_id", Integer, key=True),
    _all("site_id", Integer),
    _some("resource_id", Integer),
    _all("during", TSTZRANGE),
    _all("reason", Text),
    _some("reopened_at", MOMENT),
)

slot = Table(
    "slot",
    metadata,
    _all("slot_id", Integer, key=True),
    _all("site_id", Integer),
    _all("resource_id", Integer),
    _all("starts_at", MOMENT),
    _all("ends_at", MOMENT),
    _all("local_start", DateTime),
    _all("capacity", Integer),
    _all("booked", Integer),
    _all("version", Integer),
    _all("status", Text),
)

patient = Table(
    "patient",
    metadata,
    _all("patient_id", Integer, key=True),
    _all("mrn", Text),
    _all("name", Text),
    _some("birth_date", Date),
    _all("sex", Text),
    _all("phone", Text),
    _all("email", Text),
    _all("language", Text),
    _all("note", Text),
    _some("merged_into", Integer),
    _all("search_name", Text),
    _all("version", Integer),
    _all("created_at", MOMENT),
)

visit = Table("visit", metadata, _all("visit_id", BigInteger, key=True), _all("created_at", MOMENT))

appointment = Table(
    "appointment",
    metadata,
    _all("appointment_id", BigInteger, key=True),
    _all("patient_id", Integer),
    _all("test_id", Integer),
    _all("slot_id", Integer),
    _all("slots", ARRAY(Integer)),
    _all("during", TSTZRANGE),
    _all("status", STATUS),
    _all("active", Boolean),
    _some("held_until", MOMENT),
    _some("visit_id", BigInteger),
    _all("reason", Text),
    _all("note", Text),
    _all("version", Integer),
    _all("created_at", MOMENT),
)

occupancy = Table(
    "occupancy",
    metadata,
    _all("slot_id", Integer, key=True),
    _all("place", Integer, key=True),
    _all("capacity", Integer),
    _all("appointment_id", BigInteger),
)

request = Table(
    "request",
    metadata,
    _all("request_key", Uuid, key=True),
    _all("fingerprint", Uuid),
    _all("verdict", Text),
    _some("numbers", JSONB),
    _some("appointment_id", BigInteger),
    _all("created_at", MOMENT),
)

notification = Table(
    "notification",
    metadata,
    _all("notification_id", BigInteger, key=True),
    _all("appointment_id", BigInteger),
    _all("kind", Text),
    _all("moment", MOMENT),
    _some("sent_at", MOMENT),
)

audit = Table(
    "audit",
    metadata,
    _all("audit_id", BigInteger, key=True),
    _all("at", MOMENT),
    _all("actor", Text),
    _all("source", Text),
    _all("action", Text),
    _some("patient_id", Integer),
    _some("appointment_id", BigInteger),
    _some("before", JSONB),
    _some("after", JSONB),
)

seal = Table(
    "seal",
    metadata,
    _all("seal_number", BigInteger, key=True),
    _all("audit_id", BigInteger),
    _all("sealed_at", MOMENT),
    _all("hash", LargeBinary),
)

sealing = Table(
    "sealing",
    metadata,
    _all("one", Boolean, key=True),
    _all("seals", BigInteger),
    _all("settled", BigInteger),
    _all("seen", BigInteger),
    _all("writers", ARRAY(Text)),
)

status_change = Table(
    "status_change",
    metadata,
    _all("from_status", STATUS, key=True),
    _all("to_status", STATUS, key=True),
    _all("action", Text),
)

schema_version = Table("schema_version", metadata, _all("version", Integer, key=True), _all("applied_at", MOMENT))

appointment_facts = Table(
    "appointment_facts",
    metadata,
    _some("appointment_id", BigInteger),
    _some("reference", Text),
    _some("status", STATUS),
    _some("active", Boolean),
    _some("held_until", MOMENT),
    _some("visit_id", BigInteger),
    _some("reason", Text),
    _some("note", Text),
    _some("appointment_version", Integer),
    _some("created_at", MOMENT),
    _some("patient_id", Integer),
    _some("patient", Text),
    _some("patient_name", Text),
    _some("test_id", Integer),
    _some("test", Text),
    _some("test_name", Text),
    _some("preparation", Text),
    _some("site_id", Integer),
    _some("site", Text),
    _some("site_name", Text),
    _some("zone", Text),
    _some("site_phone", Text),
    _some("resource_id", Integer),
    _some("resource", Text),
    _some("slot_id", Integer),
    _some("slots", ARRAY(Integer)),
    _some("starts_at", MOMENT),
    _some("ends_at", MOMENT),
    _some("local_start", DateTime),
    _some("capacity", Integer),
    _some("remaining", Integer),
    _some("version", Integer),
)
"""The view: an appointment with everything a desk says about it."""
