"""Whoever has psql and the role of a desk, and tries everything: there is nothing beside the functions.

What must stay true: each guard is shown to hold alone, and with both gone the test sees what they kept.
"""

from __future__ import annotations

import json
import re
import uuid

import psycopg
import pytest

from bookcli.core.db import engine, kernel
from tests.clinic import Clinic
from tests.core.db.gateway_attempts import ATTEMPTS, outcome, reference_of
from tests.servers import MACHINES

pytestmark = pytest.mark.both_servers


def test_without_entering_a_session_would_not_be_needed(clinic: Clinic, machines: dict[str, engine.Connection]) -> None:
    """The control: with the door taken out, a desk sees a patient without a session."""
    (text,) = clinic.row("SELECT pg_get_functiondef('app.look_at_patient'::regproc)")
    assert text.count("PERFORM enter(") == 1
    clinic.owner.execute(re.sub(r"PERFORM enter\(.*?\);", "", text).encode())
    found = machines["desk"].execute("SELECT name FROM app.look_at_patient('P1', NULL)").fetchall()
    assert found == [("Ana Müller",)]


TRICKS = {
    "become the owner": "SET ROLE bookcli_owner",
    "become another kind of machine": "SET ROLE bookcli_admin",
    "become the superuser": "SET SESSION AUTHORIZATION bookcli",
    "create in the schema": "CREATE TABLE app.mine (x int)",
    "create in the extensions' schema": "CREATE FUNCTION ext.unaccent(text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
    "create a schema": "CREATE SCHEMA mine",
    "a temporary table": "CREATE TEMP TABLE session AS SELECT 1",
    "turn triggers off": "SET session_replication_role = replica",
    "replace a function": "CREATE OR REPLACE FUNCTION app.next_mrn() RETURNS text LANGUAGE sql AS $$SELECT 'P1'$$",
    "call the inside": "SELECT app.note_look('look-patient', '{1}')",
    "call the door itself": "SELECT app.enter(NULL, 'book')",
    "take places": "SELECT app.apply('{}', NULL)",
    "give oneself a session": "SELECT * FROM app.open_session(1, '1 day', '1 day')",
    "sign in without a password": "SELECT * FROM app.sign_in_here('tests')",
    "read the secret": "SELECT secret FROM app.gateway",
    "read a password's hash": "SELECT key_hash FROM app.staff",
    "read a token's hash": "SELECT token_hash FROM app.session",
    "read files": "SELECT pg_read_file('/etc/passwd')",
    "run programs": "COPY (SELECT 1) TO PROGRAM 'true'",
    "grant oneself": "GRANT bookcli_owner TO tests_desk",
    "change the database": "ALTER DATABASE postgres SET search_path = pg_temp",
}


@pytest.mark.parametrize("trick", TRICKS)
def test_tricks_do_not_open_the_door(
    machines: dict[str, engine.Connection], tokens: dict[str, str], trick: str
) -> None:
    with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue)):
        machines["desk"].execute(TRICKS[trick].encode())


def test_settings_of_a_client_decide_nothing(
    clinic: Clinic, machines: dict[str, engine.Connection], tokens: dict[str, str]
) -> None:
    """Whose name the audit writes, which schema is meant and what is in pg_temp is settled inside."""
    desk = machines["desk"]
    for setting in ("SET bookcli.staff = 'a-manager'", "SET search_path = pg_temp, public", "SET role = tests_desk",
                    "SET row_security = off", "SET application_name = 'x'"):  # fmt: skip
        desk.execute(setting.encode())
    assert outcome(desk, ATTEMPTS["book"], clinic, None) == "not-signed-in"
    assert ATTEMPTS["book"].run(desk, clinic, tokens["desk"]) == [("booked",)]
    assert clinic.row("SELECT actor, staff FROM audit WHERE action = 'book' ORDER BY audit_id DESC LIMIT 1") == (
        "tests_desk",
        "a-desk",
    )


def test_a_desk_with_psql_cannot_get_past_the_lock_the_capacity_or_the_audit(
    clinic: Clinic, machines: dict[str, engine.Connection], tokens: dict[str, str]
) -> None:
    slot = clinic.slot("mri", 2)
    before = clinic.row("SELECT count(*) FROM audit")[0]
    verdicts = []
    for n in (1, 2, 3):
        document = clinic.request(n, "mri", slot).document()
        statement = "SELECT verdict FROM app.book(jsonb_build_array(%s::jsonb), token => %s)"
        (row,) = machines["desk"].execute(statement, (json.dumps(document), tokens["desk"])).fetchall()
        verdicts.append(row[0])
    assert verdicts == ["booked", "slot-full", "slot-full"]
    assert clinic.row("SELECT count(*) FROM audit")[0] == before + 1
    kept = json.dumps([{**clinic.request(5, "mri", clinic.slot("mri", 3)).document(), "hold_seconds": 2_000_000_000}])
    held = "SELECT held_until <= now() + interval '7 days' FROM app.book(%s::jsonb, token => %s)"
    assert machines["desk"].execute(held, (kept, tokens["desk"])).fetchone() == (True,)
    assert clinic.sound()


RULES_BROKEN = (
    """SELECT * FROM app.save_patients('[{"mrn": "P1", "sex": "neither"}]', %(token)s)""",
    """SELECT * FROM app.save_patients('[{"mrn": "P1", "birth_date": "1492-01-01"}]', %(token)s)""",
    "SELECT * FROM app.cancel(%(booked)s, repeat('x', 41), %(token)s)",
    "SELECT * FROM app.cancel(%(booked)s, 'Ana is ill', %(token)s)",
    "SELECT * FROM app.renew(%(held)s, 60, repeat('x', 2001), %(token)s)",
    "SELECT app.reset_password('a-desk', sha256('k'), 's', 2, 65536, 1, %(token)s)",
)
"""What breaks a rule of a table with a row that is there."""


def test_an_error_quotes_no_row_to_whoever_has_not_looked_at_it(
    clinic: Clinic, machines: dict[str, engine.Connection], tokens: dict[str, str]
) -> None:
    machines["desk"].token = tokens["manager"]
    document = {**clinic.request(2, "mri", clinic.slot("mri", 2)).document(), "hold_seconds": 60}
    (held,) = kernel.book(machines["desk"], [document])
    given = {"token": tokens["manager"], "booked": reference_of(clinic), "held": held.reference}
    for statement in RULES_BROKEN:
        with pytest.raises(psycopg.errors.CheckViolation) as refused:
            machines["desk"].execute(statement.encode(), given)
        said = refused.value.diag
        assert (said.message_primary, said.message_detail) == ("a value is not allowed", None), statement
        assert said.constraint_name, statement


def test_a_promise_waits_for_the_disk_whatever_a_client_has_set(
    clinic: Clinic, machines: dict[str, engine.Connection], tokens: dict[str, str]
) -> None:
    """Not a refusal of a full slot; but closing does, when all that is left of it is that nobody could be moved."""
    desk, token = machines["desk"], tokens["manager"]
    (start,) = clinic.row("SELECT starts_at FROM slot WHERE slot_id = %s", (clinic.slot("blood"),))
    moves = json.dumps([{"key": str(uuid.uuid4()), "moves": reference_of(clinic), "slot": clinic.slot("blood")}])
    clinic.owner.execute("UPDATE app.appointment SET status = 'arrived'")
    close = "SELECT verdict FROM app.close_and_move(1, NULL, tstzrange(%s, %s + interval '1 h'), 'x', %s, false, %s)"
    desk.execute("SET synchronous_commit = off")
    with desk.transaction():
        assert ATTEMPTS["book"].run(desk, clinic, token) == [("booked",)]
        assert desk.execute("SHOW synchronous_commit").fetchone() == ("on",)
    with desk.transaction():
        found = desk.execute(close.encode(), (start, start, moves, token)).fetchall()
        assert found == [("closed",), ("wrong-status",)]
        assert desk.execute("SHOW synchronous_commit").fetchone() == ("on",)


_OF_EVERYBODY = r"""
SELECT p.oid::regprocedure::text, string_agg('''1''::' || a, ', ')
  FROM pg_proc p LEFT JOIN LATERAL unnest(p.proargtypes::regtype[]) a ON true
 WHERE p.pronamespace = 'pg_catalog'::regnamespace
   AND p.proname ~ '^(pg_(try_)?advisory.*lock(_shared)?|lo_(creat|create|from_bytea))$' AND p.proname !~ 'unlock'
 GROUP BY p.oid
"""
"""What a server lets everybody do who can connect, and a desk would use to stop the others."""


def test_no_machine_keeps_the_locks_of_bookings_or_fills_the_disk(
    clinic: Clinic, machines: dict[str, engine.Connection]
) -> None:
    functions = clinic.rows(_OF_EVERYBODY)
    assert len(functions) == 19, "16 locks, 3 ways to make a large object"
    for kind in set(MACHINES) - {"admin"}:
        for function, ones in functions:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                machines[kind].execute(f"SELECT {function.partition('(')[0]}({ones})".encode())
        assert machines[kind].execute("SHOW temp_file_limit").fetchone() == ("8GB",)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            machines[kind].execute("SET temp_file_limit = -1")
    assert machines["worker"].execute("SELECT app.seal_audit()").fetchone() != (None,), "which takes a lock itself"
