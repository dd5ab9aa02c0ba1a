"""Applies the numbered files of migrations/ to an older database; their rules are in migrations/README.md.

What must stay true: a file and its row in schema_version are one transaction, and two upgrades at once do it once.
"""

from __future__ import annotations

from pathlib import Path

from . import schema
from .engine import Connection, call

DIRECTORY = Path(__file__).with_name("migrations")


def files(directory: Path = DIRECTORY) -> dict[int, Path]:
    """The migrations by number, ascending."""
    return {int(file.name[:4]): file for file in sorted(directory.glob("[0-9][0-9][0-9][0-9]_*.sql"))}


def apply(connection: Connection, number: int, file: Path) -> bool:
    """Applies one file; False when the database has it. Raises RetryableConflict when a lock is not free at once.

    Whoever books waits behind whoever waits for a whole table: so nobody waits long.
    """
    with call(connection, writes=True, deadline=None) as cursor, connection.transaction():
        cursor.execute("SET LOCAL ROLE bookcli_owner")
        cursor.execute("SET LOCAL search_path = app, ext")
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SET LOCAL lock_timeout = '250ms'")
        cursor.execute("SELECT pg_advisory_xact_lock(0, 1)")
        if (schema.version(connection) or 0) >= number:
            return False
        cursor.execute(file.read_bytes())
        cursor.execute("INSERT INTO app.schema_version (version) VALUES (%s)", (number,))
    return True
