"""What a look at the database server itself tells: how it is, its clock, and whether the coming days add up."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from .engine import Connection, call


class Look(NamedTuple):
    """The server's version, its clock, whether it takes writes, and what is in the next two weeks.

    `miscounted` slots have a counter that is not what is booked; `free` slots still have a place.
    """

    version: str
    clock: datetime
    writable: bool
    slots: int
    free: int
    miscounted: int


def version_and_clock(connection: Connection) -> tuple[str, datetime, bool]:
    """(version, the server's clock, whether it takes writes); works in an empty database too."""
    with call(connection, writes=False) as cursor:
        cursor.execute(
            "SELECT current_setting('server_version'), clock_timestamp(), NOT pg_is_in_recovery()"
            " AND NOT current_setting('default_transaction_read_only')::boolean"
        )
        row = cursor.fetchone()
    assert row is not None
    return str(row[0]).split()[0], row[1], bool(row[2])


def identity(connection: Connection) -> str:
    """Which database this is: the same on every standby of it, another one for any other database in the world."""
    with call(connection, writes=False) as cursor:
        cursor.execute(
            "SELECT s.system_identifier || '/' || d.oid FROM pg_control_system() s, pg_database d"
            " WHERE d.datname = current_database()"
        )
        row = cursor.fetchone()
    assert row is not None
    return str(row[0])


def look(connection: Connection) -> Look:
    """Looks at the server and at the slots of the next two weeks, no further, so that it takes no time."""
    version, clock, writable = version_and_clock(connection)
    with call(connection, writes=False) as cursor:
        cursor.execute(
            "SELECT count(*), count(*) FILTER (WHERE s.status = 'free' AND s.booked < s.capacity),"
            " count(*) FILTER (WHERE s.booked <>"
            " (SELECT count(*) FROM app.occupancy o WHERE o.slot_id = s.slot_id))"
            " FROM app.site p JOIN app.slot s USING (site_id)"
            " WHERE s.local_start BETWEEN now()::timestamp AND now()::timestamp + interval '14 days'"
        )
        row = cursor.fetchone()
    assert row is not None
    return Look(version, clock, writable, *row)
