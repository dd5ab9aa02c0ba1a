"""What a desk with psql learns of a patient beside the answers it is meant to have, and what is left of it then.

What must stay true: whoever was told something of a patient is in the audit, or, when they took that back, in the log.
"""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import psycopg
import pytest

from bookcli.core.db import engine
from tests.clinic import Clinic
from tests.core.db.gateway_attempts import reference_of
from tests.servers import Server, engine_connection

pytestmark = pytest.mark.both_servers

BOOK = "SELECT * FROM app.book(%s::jsonb, token => %s)"
SAVE = "SELECT verdict FROM app.save_patients(%s::jsonb, %s)"


def _asked(clinic: Clinic, **more: Any) -> dict[str, Any]:
    return {"key": str(uuid.uuid4()), "patient": "P2", "test": "blood", "slot": clinic.slot("blood", 3), **more}


def test_what_an_answer_tells_of_a_patient_beside_itself_is_a_look(
    clinic: Clinic, machines: dict[str, engine.Connection], tokens: dict[str, str]
) -> None:
    desk, token = machines["desk"], tokens["desk"]
    asked = _asked(clinic)
    desk.execute(BOOK, (json.dumps([asked]), token))
    for what, (statement, document, said) in {
        "a booking told again": (BOOK, asked, "José"),
        "what else they have then": (BOOK, {**asked, "key": str(uuid.uuid4())}, "'other'"),
        "that a guess is right": (SAVE, {"mrn": "P2", "name": "José da Silva"}, "unchanged"),
        "that a guess is wrong": (SAVE, {"mrn": "P2", "note": "x", "still": {"sex": "male"}}, "changed-since"),
    }.items():
        (last,) = clinic.row("SELECT max(audit_id) FROM audit")
        assert said in str(desk.execute(statement.encode(), (json.dumps([document]), token)).fetchall()), what
        noted = clinic.rows("SELECT starts_with(action, 'look-'), patient_id FROM audit WHERE audit_id > %s", (last,))
        assert noted == [(True, 2)], what


def test_whoever_uses_a_key_again_is_not_told_whose_it_was(
    clinic: Clinic, machines: dict[str, engine.Connection], tokens: dict[str, str]
) -> None:
    """Some keys can be guessed: that of an offer is made of its numbers."""
    desk, token = machines["desk"], tokens["desk"]
    asked = _asked(clinic)
    desk.execute(BOOK, (json.dumps([asked]), token))
    overlaps = _asked(clinic)
    assert "'other'" in str(desk.execute(BOOK, (json.dumps([overlaps]), token)).fetchall())
    for key in (asked["key"], overlaps["key"]):
        said = str(desk.execute(BOOK, (json.dumps([{"key": key, "patient": "nobody"}]), token)).fetchall())
        assert "key-reused" in said
        assert not any(word in said for word in ("José", "P2", "'other'")), said


def test_a_look_that_was_taken_back_is_in_the_servers_log(
    clinic: Clinic, machines: dict[str, engine.Connection], tokens: dict[str, str], server: Server
) -> None:
    desk, token = machines["desk"], tokens["desk"]
    desk.execute("SET application_name = 'thief'")
    changes = json.dumps([{"mrn": "P5", "note": "x"}])
    with desk.transaction(force_rollback=True):
        assert desk.execute("SELECT name FROM app.look_at_patient('P3', %s)", (token,)).fetchone() == ("Łukasz Żółć",)
        assert "Наталья" not in str(desk.execute(SAVE, (changes, token)).fetchall())
        assert "José" in str(desk.execute(BOOK, (json.dumps([_asked(clinic)]), token)).fetchall())
        desk.execute("SELECT * FROM app.cancel(%s, 'pat', %s)", (reference_of(clinic), token))
    assert clinic.row("SELECT count(*) FROM audit WHERE source LIKE 'thief%%'") == (0,), "nothing of it is left"
    wanted = {f"bookcli {what} by tests_desk a-desk from thief at patients {{{who}}}" for what, who in
              (("look-patient", 3), ("change", 5), ("change", 2), ("change", 1))}  # fmt: skip
    until = time.monotonic() + 30  # a process of its own writes the log
    while not wanted <= _lines(server) and time.monotonic() < until:
        time.sleep(0.05)
    assert wanted <= _lines(server)


def test_who_wants_nothing_written_down_is_shown_nothing(
    clinic: Clinic, machines: dict[str, engine.Connection], tokens: dict[str, str]
) -> None:
    look, values = "SELECT name FROM app.look_at_patient('P3', %s)", (tokens["desk"],)
    desk = machines["desk"]
    for wish in ("BEGIN READ ONLY", "SET default_transaction_read_only = on"):
        desk.execute(wish.encode())
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            desk.execute(look.encode(), values)
        desk.execute("ROLLBACK")
    desk.execute("SET default_transaction_read_only = off")
    mine = f"ALTER ROLE tests_desk IN DATABASE {desk.info.dbname} {{}} default_transaction_read_only"
    desk.execute((mine.format("SET") + " = on").encode())
    try:
        with engine_connection(desk.info.dsn) as again, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            again.execute(look.encode(), values)
    finally:
        desk.execute(mine.format("RESET").encode())


def _lines(server: Server) -> set[str]:
    logs = "".join(path.read_text(errors="replace") for path in server.home.rglob("*.log*") if path.is_file())
    return {line.partition("LOG:  ")[2] for line in logs.splitlines()}
