"""Runs the SQLAlchemy queries of this folder on the one connection a command has.

What must stay true: a read has the same deadline and the same translated errors as a call of the kernel; it never asks
about patients, whom only functions of the schema show, because they write down who looked.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import CompoundSelect, Select
from sqlalchemy.dialects.postgresql import psycopg

from .engine import Connection, call

_DIALECT = psycopg.dialect()  # type: ignore[no-untyped-call]


def rows(
    connection: Connection, statement: Select[Any] | CompoundSelect[Any], *, deadline: float | None = 8.0
) -> list[dict[str, Any]]:
    """The rows of a SQLAlchemy query, by column name. Raises as `engine.call`.

    Values are the driver's: read a range by its two ends, and no time as 24:00.
    """
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    with call(connection, writes=False, deadline=deadline) as cursor:
        cursor.execute(str(compiled), compiled.params)
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]
