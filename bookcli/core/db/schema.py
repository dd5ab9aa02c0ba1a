"""Loads schema.sql into an empty database and knows which version a database has; the file is the one truth."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from .engine import Connection, call

VERSION = 1
"""The schema version this code needs: the number of the newest file in migrations/."""


def text() -> str:
    """schema.sql: beside this module when installed, at the top of the tree when developed."""
    beside = Path(__file__).with_name("schema.sql")
    source = beside if beside.exists() else Path(__file__).parents[3] / "schema.sql"
    return source.read_text(encoding="utf-8")


def version(connection: Connection) -> int | None:
    """The version a database has; None when it has no bookcli schema."""
    with call(connection, writes=False) as cursor:
        cursor.execute("SELECT to_regclass('app.schema_version') IS NOT NULL")
        row = cursor.fetchone()
        if row is None or not row[0]:
            return None
        cursor.execute("SELECT max(version) FROM app.schema_version")
        row = cursor.fetchone()
    return row[0] if row else None


@contextlib.contextmanager
def alone(connection: Connection) -> Iterator[None]:
    """One transaction in which nobody else prepares this database."""
    with call(connection, writes=True, deadline=60) as cursor, connection.transaction():
        cursor.execute("SET LOCAL statement_timeout = '60s'")
        cursor.execute("SELECT pg_advisory_xact_lock(0, 1)")
        yield


def load(connection: Connection) -> bool:
    """Loads the schema unless it is there; whether it was loaded. Two at the same moment do it once."""
    if version(connection) is not None:
        return False  # asked before the lock too, which a desk may not take
    with alone(connection):
        if version(connection) is not None:
            return False
        connection.execute(text().encode())
    return True
