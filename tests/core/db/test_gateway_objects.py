"""Every table, view and sequence of the schema, as the catalogue lists them, tried by every kind of machine.

What must stay true: what is added later is named here as readable or is closed to all; each guard holds alone.
"""

from __future__ import annotations

import re

import psycopg
import pytest

from bookcli.core.db import engine, kernel
from tests.clinic import Clinic
from tests.servers import MACHINES

pytestmark = pytest.mark.both_servers

EVERYBODY = {"schema_version", "permission", "role_permission", "site"}
READABLE = {
    "auditor": EVERYBODY,
    **dict.fromkeys(
        ("desk", "worker", "admin"),
        EVERYBODY | {"test", "resource", "resource_test", "schedule", "closure", "slot", "status_change"},
    ),
}
"""In what no patient and no secret is."""
SECRETS = "patient|name|mrn|key|hash|token|salt|note|phone|email"
WRITES = (
    "INSERT INTO app.{0} DEFAULT VALUES",
    "UPDATE app.{0} SET {1} = {1}",
    "DELETE FROM app.{0}",
    "TRUNCATE app.{0}",
    "SELECT FROM app.{0} FOR KEY SHARE",
    "LOCK TABLE app.{0} IN ROW SHARE MODE",
)
SEQUENCE = ("SELECT nextval('app.{0}')", "SELECT setval('app.{0}', 1)", "SELECT * FROM app.{0}")


def _objects(clinic: Clinic, kinds: str) -> list[tuple[str, str]]:
    """(name, one of its columns that can be written) of everything in the schema of these kinds."""
    found = clinic.rows(
        "SELECT c.relname, min(a.attname) FROM pg_class c LEFT JOIN pg_attribute a"
        "    ON a.attrelid = c.oid AND a.attnum > 0 AND a.attgenerated = '' AND a.attidentity = ''"
        " WHERE c.relnamespace = 'app'::regnamespace AND c.relkind = ANY (%s) GROUP BY 1 ORDER BY 1",
        (list(kinds),),
    )
    assert found
    return [(str(name), str(column)) for name, column in found]


def _may(machine: engine.Connection, statement: str) -> bool:
    try:
        with machine.transaction(force_rollback=True):
            machine.execute(statement.encode())
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


@pytest.mark.parametrize("kind", MACHINES)
def test_every_table_view_and_sequence_is_closed_but_for_what_is_readable(
    clinic: Clinic, machines: dict[str, engine.Connection], kind: str
) -> None:
    machine = machines[kind]
    relations = _objects(clinic, "rpvmf")
    readable = {name for name, _ in relations if _may(machine, f"TABLE app.{name}")}
    assert readable == READABLE[kind]
    tables = _objects(clinic, "rp")
    tried = [(how.format(*one), _may(machine, how.format(*one))) for one in tables for how in WRITES]
    tried += [
        (how.format(name), _may(machine, how.format(name))) for name, _ in _objects(clinic, "S") for how in SEQUENCE
    ]
    assert [statement for statement, done in tried if done] == []


def test_what_is_readable_says_nothing_of_a_patient_and_the_rest_has_a_second_guard(clinic: Clinic) -> None:
    readable = set.union(*READABLE.values())
    columns = clinic.rows(
        "SELECT relname, attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
        " WHERE relnamespace = 'app'::regnamespace AND relname = ANY (%s)",
        (list(readable),),
    )
    suspicious = {f"{table}.{column}" for table, column in columns if re.search(SECRETS, column)}
    assert suspicious == {"site.name", "site.names_test", "site.phone", "test.name", "resource.name"}
    guarded = clinic.rows(
        "SELECT relname FROM pg_class c WHERE relnamespace = 'app'::regnamespace AND relkind IN ('r', 'p')"
        "   AND relrowsecurity AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid)"
    )
    assert {name for (name,) in guarded} == {name for name, _ in _objects(clinic, "rp")} - readable


def test_with_a_grant_made_by_mistake_there_is_still_no_row_to_see(
    clinic: Clinic, machines: dict[str, engine.Connection]
) -> None:
    """The second guard: row-level security without a policy."""
    (request,) = clinic.row("SELECT request_key FROM request")
    for row in (
        "app.visit DEFAULT VALUES",
        "app.sign_in_attempt (name_hash) VALUES ('x')",
        "app.waiting (patient_id, test_id, site_id, days) VALUES (1, 1, 1, '[2036-01-01, 2036-01-02]')",
        "app.offer SELECT waiting_id, slot_id, appointment_id FROM app.waiting, app.appointment",
        f"app.refusal VALUES ('{request}', 1, 1, 1)",
    ):
        clinic.owner.execute(f"INSERT INTO {row}".encode())
    kernel.seal_audit(clinic.owner, 5)
    secret = [name for name, _ in _objects(clinic, "rp") if name not in READABLE["desk"]]
    for table in secret:
        counted = f"SELECT count(*) FROM app.{table}".encode()
        clinic.owner.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON app.{table} TO bookcli_desk".encode())
        assert machines["desk"].execute(counted).fetchone() == (0,), table
        if table not in ("audit", "seal"):  # whose triggers refuse the statement itself
            assert machines["desk"].execute(f"DELETE FROM app.{table}".encode()).rowcount == 0
        clinic.owner.execute(f"ALTER TABLE app.{table} DISABLE ROW LEVEL SECURITY".encode())
        seen = machines["desk"].execute(counted).fetchone()
        assert seen is not None and seen[0] > 0, f"{table}: with both guards gone the rows are seen"
    assert len(secret) > 15
