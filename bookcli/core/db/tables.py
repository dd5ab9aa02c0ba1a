"""The tables of schema.sql that a desk may read, as SQLAlchemy sees them; a test proves that they are the live ones.

What must stay true: nothing is created from these definitions, schema.sql is the one truth; and no patient is in any.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Boolean, Column, DateTime, Integer, Interval, MetaData, SmallInteger, Table, Text, Time
from sqlalchemy.dialects.postgresql import ARRAY, DATERANGE, TSTZRANGE
from sqlalchemy.types import TypeEngine

metadata = MetaData(schema="app")
MOMENT = DateTime(timezone=True)


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
    _some("quiet_from", Time),
    _some("quiet_until", Time),
    _all("names_test", Boolean),
    _all("offer_minutes", Integer),
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
    _all("remind_before", ARRAY(Interval)),
    _some("fasting", Boolean),
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
