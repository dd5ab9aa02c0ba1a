"""The tables as SQLAlchemy sees them are the tables that are there."""

from __future__ import annotations

import pytest
from sqlalchemy.dialects.postgresql import psycopg
from sqlalchemy.types import TypeEngine

from bookcli.core.db import engine
from bookcli.core.db.tables import metadata

_LIVE = """
SELECT c.relname, a.attname, format_type(coalesce(nullif(t.typbasetype, 0), a.atttypid), NULL), a.attnotnull,
       coalesce(a.attnum = ANY (k.conkey), false)
  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
  JOIN pg_type t ON t.oid = a.atttypid
  LEFT JOIN pg_constraint k ON k.conrelid = c.oid AND k.contype = 'p'
 WHERE c.relnamespace = 'app'::regnamespace AND c.relkind IN ('r', 'v') ORDER BY c.relname, a.attnum
"""


def _words(kind: TypeEngine[object]) -> str:
    spelled = kind.compile(dialect=psycopg.dialect()).lower()  # type: ignore[no-untyped-call]
    return str(spelled).removeprefix("app.")


@pytest.mark.both_servers
def test_the_tables_are_the_live_ones(owner: engine.Connection) -> None:
    live = [row for row in owner.execute(_LIVE) if f"app.{row[0]}" in metadata.tables]
    assert {row[0] for row in live} == {table.name for table in metadata.tables.values()}
    known = [
        (table.name, column.name, _words(column.type), not column.nullable, column.primary_key)
        for table in sorted(metadata.tables.values(), key=lambda table: table.name)
        for column in table.c
    ]
    assert known == [(*row[:2], row[2].removeprefix("app."), *row[3:]) for row in live]
