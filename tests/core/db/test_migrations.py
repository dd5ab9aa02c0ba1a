"""The migrations make what schema.sql makes, proven by loading both and comparing everything."""

from __future__ import annotations

from pathlib import Path

import pytest

from bookcli.core.db import fingerprint, schema, upgrades
from bookcli.core.db.engine import Connection, call
from tests.servers import Server, engine_connection

pytestmark = pytest.mark.both_servers


def _migrated(connection: Connection, files: dict[int, Path]) -> fingerprint.Fingerprint:
    """What the first release and every file after it make in an empty database."""
    first = files.get(1)
    with call(connection, writes=True) as cursor, connection.transaction():
        cursor.execute(first.read_bytes() if first else schema.text().encode())
    for number, file in files.items():
        upgrades.apply(connection, number, file)
    return fingerprint.of(connection)


def test_migrating_and_loading_come_to_the_same(database: str, server: Server) -> None:
    with engine_connection(database) as loaded, fingerprint.scratch_database(loaded, database) as empty:
        migrated = _migrated(empty, upgrades.files())
        assert fingerprint.differences(migrated, fingerprint.of(loaded)) == []
        assert schema.version(empty) == schema.version(loaded) == schema.VERSION


def test_the_files_are_numbered_without_a_gap_up_to_the_version(database: str) -> None:
    numbers = list(upgrades.files())
    # Until the first release there is none, and version 1 is schema.sql itself.
    assert numbers == (list(range(1, schema.VERSION + 1)) if numbers else [])
    assert numbers or schema.VERSION == 1
    with engine_connection(database) as connection:
        recorded = connection.execute("SELECT version FROM app.schema_version ORDER BY 1").fetchall()
    assert [version for (version,) in recorded] == list(range(1, schema.VERSION + 1))


def test_a_migration_that_schema_sql_does_not_know_is_noticed(database: str, tmp_path: Path) -> None:
    added = tmp_path / "0002_colour.sql"
    added.write_text("ALTER TABLE site ADD colour text; COMMENT ON COLUMN site.colour IS 'Of the door.';")
    with engine_connection(database) as loaded, fingerprint.scratch_database(loaded, database) as empty:
        migrated = _migrated(empty, {**upgrades.files(), 2: added})
        found = [(one.kind, one.name) for one in fingerprint.differences(migrated, fingerprint.of(loaded))]
    assert found == [("column", "app.site.colour"), ("comment", "table column app.site.colour")]
