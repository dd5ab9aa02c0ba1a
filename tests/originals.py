"""Puts a database back to what it was when it was copied; far cheaper than another copy of all its files.

What must stay true: only rows and sequences are put back, and a database whose catalog changed is never used again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg

Connection = psycopg.Connection[tuple[Any, ...]]

_CATALOGS = (
    *("pg_class", "pg_proc", "pg_constraint", "pg_attribute", "pg_type", "pg_trigger", "pg_namespace", "pg_extension"),
    *("pg_attrdef", "pg_policy", "pg_description", "pg_db_role_setting"),
)
_MARK = "SELECT '{0}', count(*), coalesce(sum(xmin::text::bigint), 0) FROM {0}"
_CATALOG = " UNION ALL ".join(_MARK.format(f"pg_catalog.{name}") for name in _CATALOGS)
"""Who wrote the rows of the catalog: any DDL changes it."""


@dataclass
class Original:
    """The rows of each table of schema app, as binary COPY, and where the sequences stood."""

    columns: dict[str, str]
    rows: dict[str, bytes]
    sequences: list[tuple[Any, ...]]

    @classmethod
    def of(cls, connection: Connection) -> Original:
        """What a database holds now."""
        columns = dict(
            connection.execute(
                "SELECT format('app.%I', relname), string_agg(quote_ident(attname), ', ' ORDER BY attnum)"
                " FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
                " WHERE relnamespace = 'app'::regnamespace AND relkind = 'r'"
                " AND attnum > 0 AND NOT attisdropped AND attgenerated = '' GROUP BY relname"
            ).fetchall()
        )
        rows = {table: _copied(connection, table, names) for table, names in columns.items()}
        return cls(columns, rows, _sequences(connection))

    def marks(self, connection: Connection) -> tuple[list[tuple[Any, ...]], dict[str, Any]]:
        """Who wrote the catalog, and who wrote each table: equal marks mean nothing was changed."""
        catalog = sorted(connection.execute(_CATALOG.encode()).fetchall())
        tables = " UNION ALL ".join(_MARK.format(table) for table in self.columns)
        return catalog, {table: tuple(mark) for table, *mark in connection.execute(tables.encode())}

    def restore(self, connection: Connection, changed: list[str]) -> None:
        """Puts back the rows of these tables and all sequences."""
        with connection.transaction():
            # Foreign keys hold again once every table is back.
            connection.execute("SET LOCAL session_replication_role = replica")
            for table in changed:
                connection.execute(f"DELETE FROM {table}".encode())
            for table in changed:
                statement = f"COPY {table} ({self.columns[table]}) FROM STDIN (FORMAT binary)"
                with connection.cursor().copy(statement.encode()) as copy:
                    copy.write(self.rows[table])
        for name, last, called in self.sequences:
            connection.execute("SELECT setval(%s::regclass, %s, %s)", (name, last, called))


def _copied(connection: Connection, table: str, names: str) -> bytes:
    statement = f"COPY (SELECT {names} FROM {table}) TO STDOUT (FORMAT binary)"
    with connection.cursor().copy(statement.encode()) as copy:
        return b"".join(bytes(part) for part in copy)


def _sequences(connection: Connection) -> list[tuple[Any, ...]]:
    names = [
        name
        for (name,) in connection.execute(
            "SELECT format('app.%I', relname) FROM pg_class WHERE relnamespace = 'app'::regnamespace AND relkind = 'S'"
        )
    ]
    if not names:
        return []
    stand = " UNION ALL ".join(f"SELECT '{name}', last_value, is_called FROM {name}" for name in names)
    return connection.execute(stand.encode()).fetchall()
