"""The chain over the audit: every committed row is sealed once, and whatever is altered afterwards is found."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from bookcli.core.db import engine, kernel
from tests.clinic import Clinic
from tests.servers import Server, engine_connection

AT = "(SELECT audit_id FROM seal WHERE seal_number = {})"
SWAP_ROWS = (
    "WITH two AS (DELETE FROM audit WHERE audit_id IN ({0}, {1}) RETURNING *)"
    " INSERT INTO audit (audit_id, at, actor, staff, source, action, patient_id, appointment_id, before, after)"
    " OVERRIDING SYSTEM VALUE SELECT o.audit_id, t.at, t.actor, t.staff, t.source, t.action, t.patient_id,"
    " t.appointment_id, t.before, t.after FROM two t JOIN two o ON o.audit_id <> t.audit_id"
)
SWAP_POINTERS = (
    "WITH two AS (DELETE FROM seal WHERE seal_number IN (5, 9) RETURNING *) INSERT INTO seal"
    " SELECT t.seal_number, o.audit_id, t.sealed_at, t.hash FROM two t JOIN two o ON o.seal_number <> t.seal_number"
)
SWAP_NUMBERS = (
    "UPDATE seal SET seal_number = {0} + 1000 WHERE seal_number = {0};"
    " UPDATE seal SET seal_number = {0} WHERE seal_number = {1};"
    " UPDATE seal SET seal_number = {1} WHERE seal_number = {0} + 1000"
)
AGAIN = (
    "WITH gone AS (DELETE FROM audit WHERE audit_id = {} RETURNING *)"
    " INSERT INTO audit (at, actor, staff, source, action, patient_id, appointment_id, before, after)"
    " SELECT at, actor, staff, source, action, patient_id, appointment_id, before, after FROM gone"
)
TAMPERED: dict[str, tuple[str, str, int | None]] = {
    "another actor": (f"UPDATE audit SET actor = 'nobody' WHERE audit_id = {AT.format(5)}", "edited", 5),
    "another person": (f"UPDATE audit SET staff = 'nobody' WHERE audit_id = {AT.format(5)}", "edited", 5),
    "another moment": (f"UPDATE audit SET at = at - interval '1 us' WHERE audit_id = {AT.format(5)}", "edited", 5),
    "another patient": (f"UPDATE audit SET patient_id = 9 WHERE audit_id = {AT.format(5)}", "edited", 5),
    "other content": (f"UPDATE audit SET after = '{{\"x\": 1}}' WHERE audit_id = {AT.format(5)}", "edited", 5),
    "another source": (f"UPDATE audit SET source = '' WHERE audit_id = {AT.format(5)}", "edited", 5),
    "all rows": ("UPDATE audit SET action = 'look'", "edited", 1),
    "another hash": ("UPDATE seal SET hash = sha256('x') WHERE seal_number = 5", "edited", 5),
    "another sealing time": ("UPDATE seal SET sealed_at = now() WHERE seal_number = 5", "edited", 5),
    "a row deleted": (f"DELETE FROM audit WHERE audit_id = {AT.format(5)}", "deleted", 5),
    "the last row deleted": ("DELETE FROM audit WHERE audit_id = (SELECT max(audit_id) FROM audit)", "deleted", 0),
    "all rows truncated": ("TRUNCATE audit", "deleted", 1),
    "a row inserted again": (AGAIN.format(AT.format(5)), "re-inserted", 5),
    "rows swapped": (SWAP_ROWS.format(AT.format(5), AT.format(9)), "reordered", 5),
    "seals swapped": (SWAP_NUMBERS.format(5, 9), "reordered", 5),
    "neighbouring seals swapped": (SWAP_NUMBERS.format(5, 6), "reordered", 5),
    "pointers swapped": (SWAP_POINTERS, "reordered", 5),
    "a row put in": (
        "INSERT INTO audit (audit_id, action) OVERRIDING SYSTEM VALUE VALUES (0, 'book')",
        "inserted",
        None,
    ),
    "a seal deleted": ("DELETE FROM seal WHERE seal_number = 5", "seal-missing", 5),
    "the first seal deleted": ("DELETE FROM seal WHERE seal_number = 1", "seal-missing", 1),
    "the end cut off": ("DELETE FROM seal WHERE seal_number > 5", "cut", 6),
    "the end cut off with its rows": (
        f"DELETE FROM audit WHERE audit_id > {AT.format(5)}; DELETE FROM seal WHERE seal_number > 5",
        "cut",
        6,
    ),
    "everything truncated": ("TRUNCATE audit, seal", "cut", 1),
}


@pytest.fixture
def chain(clinic: Clinic) -> engine.Connection:
    """A connection to the clinic after twice sealing everything: the sealer knows that nothing below can come late."""
    connection = clinic.owner
    assert (kernel.seal_audit(connection, 1000) or 0) > 10
    assert kernel.seal_audit(connection, 1000) == 0
    return connection


@contextlib.contextmanager
def almighty(connection: engine.Connection) -> Iterator[None]:
    """A superuser without triggers."""
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        yield


def look(connection: engine.Connection, what: str, patients: list[int]) -> None:
    """As the functions that show patients write it down."""
    connection.execute("SELECT app.note_look(%s, %s::integer[])", (what, patients))


def proof(connection: engine.Connection, kept: tuple[int, str] | None = None) -> dict[str, Any]:
    names = ("sealed", "unsealed", "broken", "first_broken", "problem", "audit_id", "head_number", "head_hash")
    return dict(zip(names, kernel.verify_audit(connection, kept), strict=True))


@pytest.mark.both_servers
def test_every_row_is_sealed_once_in_the_order_of_the_seals(clinic: Clinic) -> None:
    connection = clinic.owner
    (rows,) = clinic.row("SELECT count(*) FROM audit")
    counts = []
    while count := kernel.seal_audit(connection, 7):
        counts.append(count)
    assert (sum(counts), counts[0], len(counts) > 3) == (rows, 7, True)
    assert clinic.row("SELECT count(DISTINCT audit_id), max(seal_number), min(seal_number) FROM seal") == (
        rows,
        rows,
        1,
    )
    assert proof(connection) == {
        "sealed": rows,
        "unsealed": 0,
        "broken": 0,
        "first_broken": None,
        "problem": None,
        "audit_id": None,
        "head_number": rows,
        "head_hash": clinic.row("SELECT encode(hash, 'hex') FROM seal ORDER BY seal_number DESC LIMIT 1")[0],
    }


def test_an_empty_audit_is_intact(clinic: Clinic) -> None:
    connection = clinic.owner
    with almighty(connection):
        connection.execute("DELETE FROM audit")
    assert kernel.seal_audit(connection, 5) == 0
    assert proof(connection)["problem"] is None
    assert proof(connection)["head_number"] is None


@pytest.mark.both_servers
@pytest.mark.parametrize(
    "change",
    [
        *("UPDATE audit SET actor = actor", "DELETE FROM audit WHERE false", "TRUNCATE audit"),
        *("UPDATE seal SET hash = hash", "DELETE FROM seal WHERE false", "TRUNCATE seal"),
    ],
)
def test_not_even_the_owner_changes_a_row(clinic: Clinic, change: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        clinic.owner.execute(change.encode())


@pytest.mark.both_servers
@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_altered_is_found_and_named(chain: engine.Connection, what: str) -> None:
    change, problem, first = TAMPERED[what]
    sealed = proof(chain)["sealed"]
    with almighty(chain):
        chain.execute(change.encode())
    found = proof(chain)
    assert (found["problem"], found["first_broken"]) == (problem, sealed if first == 0 else first)
    assert found["broken"] >= 1
    kernel.seal_audit(chain, 1000)
    assert proof(chain)["problem"] == problem, "sealing what came later hides nothing"


def test_a_chain_made_anew_is_found_by_the_head_that_was_kept(chain: engine.Connection) -> None:
    before = proof(chain)
    kept = (before["head_number"], before["head_hash"])
    assert proof(chain, kept)["problem"] is None
    with almighty(chain):
        chain.execute("UPDATE audit SET actor = 'nobody' WHERE audit_id = 5; DELETE FROM seal; DELETE FROM sealing")
        chain.execute("INSERT INTO sealing DEFAULT VALUES")
        chain.execute("SELECT seal_audit(1000)")
    assert proof(chain)["problem"] is None
    assert proof(chain, kept)["problem"] == "forged"
    assert proof(chain, (10**6, "0" * 64))["problem"] == "cut"


def test_the_zone_of_the_session_changes_no_hash(chain: engine.Connection) -> None:
    with chain.transaction():
        chain.execute(
            "SET LOCAL timezone = 'Asia/Kolkata'; SET LOCAL datestyle = 'SQL, DMY'; SET LOCAL bytea_output = 'escape'"
        )
        assert proof(chain)["problem"] is None


@pytest.mark.both_servers
def test_a_row_that_is_committed_late_is_sealed_too(chain: engine.Connection, clinic: Clinic) -> None:
    (before,) = clinic.row("SELECT max(seal_number) FROM seal")
    with engine_connection(clinic.owner_dsn) as slow, slow.transaction():
        look(slow, "look-slow", [1])
        for patient in (2, 3):
            look(chain, "look-quick", [patient])
            assert [kernel.seal_audit(chain, 1000) for _ in range(3)] == [1, 0, 0]
        assert proof(chain)["unsealed"] == 0
    assert [kernel.seal_audit(chain, 1000) for _ in range(2)] == [1, 0]
    order = clinic.rows(
        "SELECT action FROM seal JOIN audit USING (audit_id) WHERE seal_number > %s ORDER BY seal_number", (before,)
    )
    assert order == [("look-quick",), ("look-quick",), ("look-slow",)]
    assert clinic.rows("SELECT action FROM audit ORDER BY audit_id DESC LIMIT 3")[2] == ("look-slow",)
    assert proof(chain)["problem"] is None


def test_the_sealer_does_not_look_at_old_rows_again_and_numbers_that_were_never_used_do_not_stop_it(
    chain: engine.Connection, clinic: Clinic
) -> None:
    with contextlib.suppress(ZeroDivisionError), chain.transaction():
        look(chain, "look-patient", [1])
        raise ZeroDivisionError
    look(chain, "look-patient", [1])
    assert [kernel.seal_audit(chain, 1000) for _ in range(3)] == [1, 0, 0]
    assert clinic.row("SELECT settled = (SELECT max(audit_id) FROM audit) FROM sealing") == (True,)


def test_only_one_seals_at_a_time(chain: engine.Connection, clinic: Clinic) -> None:
    look(chain, "look-patient", [1])
    with contextlib.closing(clinic.context.fresh_connection()) as other, other.transaction():
        assert kernel.seal_audit(other, 1000) == 1
        assert kernel.seal_audit(chain, 1000) is None
    assert kernel.seal_audit(chain, 1000) == 0


def test_a_look_at_a_server_that_takes_no_writes_is_in_its_log(clinic: Clinic, server: Server) -> None:
    (before,) = clinic.row("SELECT count(*) FROM audit")
    clinic.run(f"ALTER DATABASE {clinic.owner.info.dbname} SET default_transaction_read_only = on")
    with engine_connection(clinic.owner_dsn) as connection:
        look(connection, "look-canary", [3, 1, 3])
    assert clinic.row("SELECT count(*) FROM audit") == (before,)
    until = time.monotonic() + 30  # a process of its own writes the log
    while "look-canary by" not in _logged(server) and time.monotonic() < until:
        time.sleep(0.05)
    assert "look-canary by" in _logged(server)
    assert "at patients {1,3}" in _logged(server)


def _logged(server: Server) -> str:
    return "".join(path.read_text(errors="replace") for path in server.home.rglob("*.log*") if path.is_file())


def test_sealing_settles_a_database_that_was_restored(clinic: Clinic) -> None:
    """The names of transactions that were under way mean nothing on another server, and delay nothing."""
    connection = clinic.owner
    connection.execute("UPDATE sealing SET writers = '{9/99999}', seen = 5")
    kernel.seal_audit(connection, 1000)
    kernel.seal_audit(connection, 1000)
    assert proof(connection)["problem"] is None
    assert clinic.row("SELECT settled > 10 FROM sealing") == (True,)
