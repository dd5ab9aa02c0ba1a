"""What the day board and the frame around it are made of, without SQLAlchemy: a screen shows it while it starts.

What must stay true: nothing here is about a patient.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from ..model.board import Cell, Column, Hold, Place
from .engine import Connection, call


def places(connection: Connection) -> list[Place]:
    """The sites in use, by code."""
    with call(connection, writes=False) as cursor:
        cursor.execute("SELECT code::text, name::text, zone::text FROM app.site WHERE active ORDER BY 1")
        return [Place(*row) for row in cursor]


def tests(connection: Connection) -> list[tuple[str, str]]:
    """(code, name) of the tests in use, by code."""
    with call(connection, writes=False) as cursor:
        cursor.execute("SELECT code::text, name::text FROM app.test WHERE active ORDER BY 1")
        return [(code, name) for code, name in cursor]


def columns(connection: Connection, site: str, day: date) -> list[Column]:
    """The resources of a site by code, each with its slots of a local day by start."""
    with call(connection, writes=False) as cursor:
        cursor.execute("SELECT * FROM app.day_board(%s, %s, %s)", (site, day, connection.token))
        rows = cursor.fetchall()
    return [_column(group) for _, group in groupby(rows, key=itemgetter(0))]


def _column(rows: Iterable[tuple[Any, ...]]) -> Column:
    slots = list(rows)
    code, name, tests = slots[0][:3]
    return Column(code, name, tuple(tests), tuple(_cell(row) for row in slots if row[3] is not None))


def _cell(row: tuple[Any, ...]) -> Cell:
    code, _, _, slot_id, start, end, capacity, taken, version, status, closed_for, holds = row
    live = tuple(Hold(datetime.fromisoformat(hold["until"]), hold["staff"] or "") for hold in holds)
    return Cell(slot_id, code, start, end, capacity, taken, version, status, closed_for, live)
