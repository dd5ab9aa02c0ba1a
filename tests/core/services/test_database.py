"""`db init`, `db check`, `db upgrade`, `db verify`: what is wrong with a database is said, and only that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from bookcli.core.config import Settings
from bookcli.core.context import Context
from bookcli.core.db import schema, upgrades
from bookcli.core.errors import BookcliError, Refused, Unavailable
from bookcli.core.services import database as databases
from tests.clinic import Clinic
from tests.servers import Server, engine_connection

DAMAGE = {
    "ALTER TABLE app.site ADD x int": ("column", "app.site.x"),
    "ALTER TABLE app.visit ALTER created_at DROP NOT NULL": ("column", "app.visit.created_at"),
    "ALTER TABLE app.slot ALTER version SET DEFAULT 2": ("column", "app.slot.version"),
    "COMMENT ON TABLE app.slot IS 'x'": ("comment", "table app.slot"),
    "DROP INDEX app.patient_by_name": ("index", "app.patient_by_name"),
    "CREATE INDEX mine ON app.slot (version)": ("index", "app.mine"),
    "ALTER TABLE app.slot DROP CONSTRAINT slot_booked_within_capacity": (
        "constraint",
        "app.slot.slot_booked_within_capacity",
    ),
    "ALTER DOMAIN app.label SET NOT NULL": ("type", "app.label"),
    "ALTER TYPE app.appointment_status ADD VALUE 'lost'": ("type", "app.appointment_status"),
    "ALTER SEQUENCE app.patient_number INCREMENT 2": ("sequence", "app.patient_number"),
    "CREATE OR REPLACE FUNCTION app.next_mrn() RETURNS text LANGUAGE sql AS 'SELECT ''x'''": (
        "function",
        "app.next_mrn()",
    ),
    "GRANT SELECT ON app.patient TO bookcli_desk": ("grant", "relation app.patient"),
    "GRANT EXECUTE ON FUNCTION app.note_look TO bookcli_desk": (
        "grant",
        "function app.note_look(text,integer[],bigint)",
    ),
    "ALTER TABLE app.patient DISABLE ROW LEVEL SECURITY": ("table", "app.patient"),
    "ALTER FUNCTION app.agenda SECURITY INVOKER": (
        "function",
        "app.agenda(integer,date,text,text,text)",
    ),
    "ALTER TABLE app.staff OWNER TO bookcli": ("grant", "relation app.staff"),
    "CREATE VIEW app.mine AS SELECT 1 AS one": ("view", "app.mine"),
    "DELETE FROM app.status_change WHERE to_status = 'noshow'": ("row", "app.status_change booked noshow"),
    "ALTER DATABASE {name} RESET lock_timeout": ("setting", "lock_timeout"),
    "ALTER DATABASE {name} SET work_mem = '8MB'": None,
    "ALTER TABLE app.slot RENAME CONSTRAINT slot_starts_once TO mine": ("constraint", "app.slot.mine"),
}


@pytest.fixture
def empty(server: Server, owning: Context) -> Iterator[Context]:
    """A context on a database without the schema."""
    with engine_connection(owning.dsn) as admin:
        admin.execute("DROP DATABASE IF EXISTS without_schema")
        admin.execute("CREATE DATABASE without_schema TEMPLATE template0")
    settings = Settings(database_url=make_conninfo(owning.dsn, dbname="without_schema"))
    with Context(settings, owning.paths) as opened:
        yield opened
    with engine_connection(owning.dsn) as admin:
        admin.execute("DROP DATABASE without_schema WITH (FORCE)")


@pytest.mark.both_servers
def test_a_database_as_schema_sql_makes_it_has_no_differences(owning: Context) -> None:
    assert databases.check(owning) == []
    left = owning.connection().execute("SELECT datname FROM pg_database WHERE datname LIKE 'bookcli_check%'")
    assert left.fetchall() == []


@pytest.mark.parametrize(("damage", "found"), DAMAGE.items(), ids=[str(found) for found in DAMAGE.values()])
def test_every_kind_of_damage_is_found(owning: Context, damage: str, found: tuple[str, str] | None) -> None:
    name = owning.connection().info.dbname
    owning.connection().execute(damage.format(name=name).encode())
    differences = [(one.kind, one.name) for one in databases.check(owning)]
    assert found in differences if found else differences == []


def test_a_role_that_may_not_create_databases_is_told_what_was_not_compared(owning: Context) -> None:
    admin = owning.connection()
    admin.execute("DROP ROLE IF EXISTS humble")
    admin.execute("CREATE ROLE humble LOGIN")
    admin.execute(f"GRANT CONNECT ON DATABASE {admin.info.dbname} TO humble".encode())
    admin.execute("GRANT USAGE ON SCHEMA app TO humble; GRANT SELECT ON ALL TABLES IN SCHEMA app TO humble")
    try:
        with Context(Settings(database_url=make_conninfo(owning.dsn, user="humble")), owning.paths) as humble:
            (told,) = databases.check(humble)
        assert (told.kind, "CREATEDB" in told.problem) == ("unchecked", True)
    finally:
        admin.execute("DROP OWNED BY humble; DROP ROLE humble")


@pytest.mark.both_servers
def test_an_empty_database_is_prepared_once(empty: Context) -> None:
    assert databases.check(empty) == [databases.Difference("version", "schema", "is missing: bookcli db init")]
    with pytest.raises(Refused) as refusal:
        databases.upgrade(empty)
    assert refusal.value.code == "schema-missing"
    assert [databases.init(empty) for _ in range(2)] == [True, False]
    assert databases.check(empty) == []


def _migration(directory: Path, number: int, statements: str) -> None:
    (directory / f"{number:04}_step.sql").write_text(statements)


@pytest.fixture
def newer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bookcli two versions ahead; returns the directory of its migrations."""
    _migration(tmp_path, 2, "CREATE TABLE step_two (n integer)")
    _migration(tmp_path, 3, "ALTER TABLE step_two ADD m integer")
    real = upgrades.files
    monkeypatch.setattr(upgrades, "files", lambda: real(tmp_path))
    monkeypatch.setattr(schema, "VERSION", 3)
    return tmp_path


@pytest.mark.both_servers
def test_an_upgrade_applies_what_is_missing_in_order_and_once(owning: Context, newer: Path) -> None:
    assert databases.check(owning)[0].kind == "version"
    assert databases.upgrade(owning) == [2, 3]
    assert databases.upgrade(owning) == []
    assert schema.version(owning.connection()) == 3
    columns = owning.connection().execute("SELECT * FROM app.step_two").description
    assert [column.name for column in columns or ()] == ["n", "m"]


def test_two_upgrades_at_once_apply_each_migration_once(owning: Context, newer: Path) -> None:
    applied: list[int] = []
    failures: list[BookcliError] = []

    def desk() -> None:
        with Context(owning.settings, owning.paths) as own:
            try:
                applied.extend(databases.upgrade(own))
            except BookcliError as problem:
                failures.append(problem)

    desks = [threading.Thread(target=desk) for _ in range(4)]
    for one in desks:
        one.start()
    for one in desks:
        one.join()
    assert (sorted(applied), failures) == ([2, 3], [])


def test_a_migration_that_fails_leaves_nothing_half_done(owning: Context, newer: Path) -> None:
    _migration(newer, 3, "ALTER TABLE step_two ADD m integer; SELECT 1 / 0")
    with pytest.raises(BookcliError):
        databases.upgrade(owning)
    assert schema.version(owning.connection()) == 2
    assert len(owning.connection().execute("SELECT * FROM app.step_two").description or ()) == 1


def test_an_upgrade_does_not_wait_for_a_table_in_use(owning: Context, newer: Path) -> None:
    _migration(newer, 2, "SET LOCAL lock_timeout = '50ms'; ALTER TABLE slot ADD colour text")
    with engine_connection(owning.dsn) as desk, desk.transaction():
        desk.execute("SELECT count(*) FROM app.slot")
        with pytest.raises(Unavailable) as refusal:
            databases.upgrade(owning)
    assert refusal.value.code == "busy"
    assert schema.version(owning.connection()) == 1


def test_a_database_of_a_newer_bookcli_is_left_alone(owning: Context) -> None:
    owning.connection().execute("INSERT INTO app.schema_version (version) VALUES (99)")
    with pytest.raises(Refused) as refusal:
        databases.upgrade(owning)
    assert refusal.value.code == "schema-newer"
    assert "a newer bookcli" in databases.check(owning)[0].problem


def test_verify_counts_what_is_wrong(clinic: Clinic) -> None:
    assert {violations for _, violations in databases.verify(clinic.context)} == {0}
    clinic.owner.execute("UPDATE slot SET booked = 1 WHERE slot_id = %s", (clinic.slot("mri"),))
    assert [violations for _, violations in databases.verify(clinic.context) if violations] == [1]
