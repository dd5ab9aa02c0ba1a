"""Sessions that are no longer live, tokens that never were, and what is left of them in the database and its log."""

from __future__ import annotations

import re

import pytest

from bookcli.core.db import engine, gateway
from tests.clinic import Clinic
from tests.core.db.gateway_attempts import ATTEMPTS, WORKERS_ONLY, outcome
from tests.servers import Server

pytestmark = pytest.mark.both_servers

STALE = {
    "expired": "UPDATE session SET expires_at = now() WHERE token_hash = app.token_hash(%s)",
    "idle too long": "UPDATE session SET seen_at = now() - idle WHERE token_hash = app.token_hash(%s)",
    "ended": "UPDATE session SET ended_at = now() WHERE token_hash = app.token_hash(%s)",
    "locked": "UPDATE session SET locked_at = now() WHERE token_hash = app.token_hash(%s)",
    "of somebody disabled": "UPDATE staff SET disabled_at = now() WHERE staff_id = (SELECT staff_id FROM session"
    " WHERE token_hash = app.token_hash(%s))",
    "of somebody whose password must be changed": "UPDATE staff SET must_change = true WHERE staff_id ="
    " (SELECT staff_id FROM session WHERE token_hash = app.token_hash(%s))",
}
SAID = {"locked": "session-locked", "of somebody whose password must be changed": "password-change-needed"}


@pytest.mark.parametrize("how", STALE)
def test_a_session_that_is_not_live_opens_nothing(
    clinic: Clinic, machines: dict[str, engine.Connection], tokens: dict[str, str], how: str
) -> None:
    assert outcome(machines["desk"], ATTEMPTS["look_at_patient"], clinic, tokens["manager"]) == "done"
    clinic.owner.execute(STALE[how], (tokens["manager"],))
    for name, attempt in ATTEMPTS.items():
        got = outcome(machines["desk"], attempt, clinic, tokens["manager"])
        refused = SAID.get(how, "session-expired")
        assert got == ("no-execute" if name in WORKERS_ONLY else refused), name


def test_forged_and_replayed_tokens_open_nothing(
    clinic: Clinic, machines: dict[str, engine.Connection], tokens: dict[str, str]
) -> None:
    desk, real = machines["desk"], tokens["manager"]
    (stored,) = clinic.row("SELECT encode(app.token_hash(%s), 'hex')", (real,))
    flipped = ("1" if real[0] == "0" else "0") + real[1:]
    for forged in (stored, real.upper(), real[:-1], real + " ", flipped):
        if forged != real:
            assert outcome(desk, ATTEMPTS["look_at_patient"], clinic, forged) == "session-expired"
    desk.token = real
    assert gateway.sign_out(desk)
    assert outcome(desk, ATTEMPTS["look_at_patient"], clinic, real) == "session-expired", "replayed"
    assert not gateway.sign_out(desk)


def test_tokens_are_long_random_and_kept_only_as_hashes(clinic: Clinic) -> None:
    made = {gateway.sign_in_here(clinic.owner, "tests")[0] for _ in range(50)}
    assert len(made) == 50 and all(re.fullmatch("[0-9a-f]{64}", token) for token in made)
    for table in ("session", "audit", "staff"):
        stored = str(clinic.rows(f"SELECT t::text FROM app.{table} t"))
        assert not any(token in stored for token in made)


def test_a_name_that_nobody_has_is_looked_for_as_long_as_one_that_somebody_has(
    clinic: Clinic, machines: dict[str, engine.Connection]
) -> None:
    """No stopwatch: what is read of the table of people for the answer is the same."""
    clinic.owner.execute(
        "INSERT INTO staff (name, full_name, role, salt, passes, memory_kib, lanes, key_hash)"
        " SELECT 'n' || n, 'N', 'desk', sha256('s'), 2, 65536, 1, sha256('k') FROM generate_series(1, 200) n"
    )
    clinic.owner.execute("ANALYZE staff")
    so_far = "SELECT seq_tup_read FROM pg_stat_xact_user_tables WHERE relname = 'staff'"
    read = {}
    with clinic.owner.transaction():
        for name in ("n7", "nobody"):
            (before,) = clinic.row(so_far)
            clinic.owner.execute("SELECT * FROM app.sign_in_parameters(%s)", (name,))
            read[name] = clinic.row(so_far)[0] - before
    assert read["n7"] == read["nobody"] >= 200


def test_a_denied_call_is_in_the_servers_log_without_what_it_asked_for(
    clinic: Clinic, machines: dict[str, engine.Connection], tokens: dict[str, str], server: Server
) -> None:
    assert outcome(machines["desk"], ATTEMPTS["export_patients"], clinic, tokens["desk"]) == "forbidden"
    logs = "".join(path.read_text(errors="replace") for path in server.home.rglob("*.log*") if path.is_file())
    line = r"bookcli denied export to tests_desk bookcli/\S+ \S+ \(staff a-desk session \d+\): forbidden"
    assert re.search(line, logs)
    assert tokens["desk"] not in logs
