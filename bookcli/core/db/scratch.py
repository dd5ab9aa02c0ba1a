"""A scratch database with the schema, for trying what nobody would try on a real one.

What must stay true: it is another database of the same server, and it is gone afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from psycopg.conninfo import make_conninfo

from . import gateway, schema
from .engine import Connection, call
from .fingerprint import scratch_database


def take_over(connection: Connection) -> None:
    """Gives a connection to a scratch database, whose maker owns it, a session of a manager."""
    connection.token, _ = gateway.sign_in_here(connection, "selftest")


@contextlib.contextmanager
def prepared(connection: Connection, dsn: str) -> Iterator[str]:
    """The address of a fresh database with the schema. Raises as `scratch_database`."""
    with scratch_database(connection, dsn) as scratch:
        schema.load(scratch)
        yield make_conninfo(dsn, dbname=scratch.info.dbname)


def resource_ids(connection: Connection) -> dict[str, int]:
    """The number of each resource, by its code."""
    with call(connection, writes=False) as cursor:
        return dict(cursor.execute("SELECT code, resource_id FROM app.resource").fetchall())


def slot_ids(connection: Connection) -> list[int]:
    """The numbers of all slots."""
    with call(connection, writes=False) as cursor:
        return [number for (number,) in cursor.execute("SELECT slot_id FROM app.slot ORDER BY slot_id")]


def standing(connection: Connection) -> set[str]:
    """The references of all appointments that take a place."""
    with call(connection, writes=False) as cursor:
        found = cursor.execute("SELECT app.reference_of(appointment_id) FROM app.appointment WHERE active")
        return {reference for (reference,) in found}
