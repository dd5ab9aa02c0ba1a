"""Calls of the schema's functions for the waiting list.

What must stay true: whose turn it is, is the database's to say.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from .engine import Connection, call
from .kernel import answers


def add(connection: Connection, mrn: str, test: str, site: str, days: tuple[date, date]) -> tuple[str, int | None]:
    """(added, changed or what is unknown; the number of the turn)."""
    with call(connection, writes=True) as cursor:
        values = (mrn, test, site, *days, connection.token)
        cursor.execute("SELECT * FROM app.add_to_waitlist(%s, %s, %s, %s, %s, %s)", values)
        row = cursor.fetchone()
    assert row is not None
    return row[0], row[1]


def look(connection: Connection, site: str | None, test: str | None) -> list[dict[str, Any]]:
    """Who waits, the first first; the look is audited."""
    return answers(connection, "waitlist", site, test)


def remove(connection: Connection, number: int) -> str:
    """removed or waiting-unknown."""
    return _word(connection, "SELECT app.remove_from_waitlist(%s, %s)", (number, connection.token))


def end(connection: Connection) -> int:
    """Ends the waiting of whoever was booked since or has no day left; how many."""
    with call(connection, writes=True) as cursor:
        cursor.execute("SELECT app.end_waiting(%s)", (connection.token,))
        row = cursor.fetchone()
    assert row is not None
    return int(row[0])


def offer(connection: Connection, ways: Sequence[str], after: int) -> tuple[str, int]:
    """(held, why the place was not, nobody, or later; behind which turn to go on)."""
    with call(connection, writes=True) as cursor:
        values = (list(ways), after, connection.token)
        cursor.execute("SELECT verdict, reached FROM app.offer_place(%s::text[], %s, %s)", values)
        row = cursor.fetchone()
    assert row is not None
    return row[0], row[1]


def _word(connection: Connection, statement: str, values: tuple[Any, ...]) -> str:
    with call(connection, writes=True) as cursor:
        cursor.execute(statement.encode(), values)
        row = cursor.fetchone()
    assert row is not None
    return str(row[0])
