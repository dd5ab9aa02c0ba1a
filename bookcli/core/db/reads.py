"""Runs the SQLAlchemy queries of this folder on the one connection a command has.

What must stay true: a read has the same deadline and the same translated errors as a call of the kernel.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, CompoundSelect, Select, func, select
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


def noted(statement: Select[Any], what: str, whose: ColumnElement[Any]) -> Select[Any]:
    """The query with the look at its patients written down by the same statement: no row is seen unless that is done.

    `what` is the action in the audit, `whose` the column of the statement's tables that has the patient's id. The rows
    stay in their order, because a CTE that a function reads too is stored and then scanned.
    """
    found = statement.add_columns(whose.label("looked_at")).cte("found")
    patients = select(func.array_agg(found.c.looked_at)).correlate(None).scalar_subquery()
    written = select(func.app.note_look(what, patients)).scalar_subquery()
    return select(*(column for column in found.c if column.name != "looked_at")).where(written)
