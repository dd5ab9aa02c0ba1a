"""What a look at the database server itself tells: how it is, who may listen, and whether the coming days add up."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from psycopg import Error, pq

from ..model.addresses import is_local
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
        cursor.execute("SELECT slots, free, miscounted FROM app.counters()")
        row = cursor.fetchone()
    assert row is not None
    return Look(version, clock, writable, *row)


def is_exposed(dsn: str) -> bool:
    """Whether patients' data would cross a network on which somebody else could be, or play, the server.

    The environment (PGHOST, PGSSLMODE) and the service file count, as they do for the connection itself. What is no
    address leads nowhere.
    """
    try:
        given = pq.Conninfo.parse(dsn.encode())
    except (Error, UnicodeEncodeError):
        return False
    found = {item.keyword: item.val for item in pq.Conninfo.get_defaults()}
    found |= {item.keyword: item.val for item in given if item.val}
    hosts = (found.get(b"hostaddr") or found.get(b"host") or b"").decode()
    return found.get(b"sslmode") != b"verify-full" and not all(is_local(host) for host in hosts.split(","))
