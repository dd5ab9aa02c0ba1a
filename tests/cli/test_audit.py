"""`bookcli audit` at the command line: what is printed, and the exit codes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.cli.commands import Shell
from tests.clinic import Clinic


@pytest.fixture
def reference(bookcli: Shell, clinic: Clinic) -> str:
    """P1's appointment, which was also shown once."""
    booked = bookcli("book", "--patient", "P1", "--test", "mri", "--slot", str(clinic.slot("mri")), "--json").json
    (appointment,) = booked["appointments"]
    assert bookcli("show", appointment["reference"]).code == 0
    return str(appointment["reference"])


def test_what_was_done_and_seen_is_listed(bookcli: Shell, reference: str) -> None:
    listed = bookcli("audit", "list", "--reference", reference, "--json")
    assert listed.code == 0
    entries = listed.json["entries"]
    assert [entry["action"] for entry in entries] == ["look-appointment", "book"]
    assert {entry["patient"] for entry in entries} == {"P1"}
    assert bookcli("audit", "list", "--reference", reference, "-o", "ids").out.split() == [
        str(entry["audit"]) for entry in entries
    ]
    table = bookcli("audit", "list", "--patient", "P1", "--action", "look", "-o", "table")
    assert "look-appointment" in table.out
    assert "Müller" not in table.out
    rows = bookcli("audit", "list", "--reference", reference, "-o", "csv").out.splitlines()
    assert rows[0].startswith("audit,at,actor,staff,source,action,patient,reference,patients,before,after,seal,hash")
    assert '""slot"":' in rows[2]


def test_one_row_is_shown_with_everybody_who_was_seen(bookcli: Shell, clinic: Clinic, reference: str) -> None:
    slot = str(clinic.slot("blood"))
    assert bookcli("book", "--patient", "P2", "--test", "blood", "--slot", slot).code == 0
    assert bookcli("agenda", "--site", "north", "--on", clinic.day().isoformat()).code == 0
    (row,) = bookcli("audit", "list", "--action", "look-agenda", "-o", "ids").out.split()
    assert bookcli("audit", "show", row, "--json").json["entries"][0]["patients"] == ["P1", "P2"]
    shown = bookcli("audit", "show", row, "-o", "table").out
    assert "patients: P1, P2" in shown and re.search(r": look-agenda at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n", shown)
    assert bookcli("audit", "show", "999999").code == 4


def test_the_chain_is_sealed_and_proven(bookcli: Shell, clinic: Clinic, reference: str) -> None:
    sealed = bookcli("audit", "seal", "--json").json["sealed"][0]["sealed"]
    assert bookcli("audit", "seal", "--json").json["sealed"] == [{"sealed": 0}]
    answer = bookcli("audit", "verify", "--json")
    (proof,) = answer.json["proof"]
    assert (answer.code, proof["intact"], proof["sealed"], proof["unsealed"]) == (0, True, sealed, 0)
    assert bookcli("audit", "verify", "--head", proof["head"]).code == 0
    assert proof["head"] in bookcli("audit", "verify", "-o", "table").out
    assert bookcli("audit", "verify", "--head", "1:xyz").code == 2
    assert bookcli("audit", "verify", "--head", f"{sealed}:{'0' * 64}").code == 1


def test_a_row_that_was_altered_is_a_finding(bookcli: Shell, clinic: Clinic, reference: str) -> None:
    bookcli("audit", "seal")
    connection = clinic.owner
    with connection.transaction():
        connection.execute("SET LOCAL session_replication_role = replica")
        connection.execute("UPDATE audit SET actor = 'nobody' WHERE audit_id = (SELECT max(audit_id) FROM audit)")
    answer = bookcli("audit", "verify", "--json")
    assert answer.code == 1
    (proof,) = answer.json["proof"]
    assert (proof["problem"], proof["broken"], proof["first_broken"]) == ("edited", 1, proof["sealed"])
    told = bookcli("audit", "verify", "-o", "table")
    assert f"first at seal {proof['first_broken']} (row {proof['audit']}): edited." in told.out


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_the_audit_is_exported(bookcli: Shell, clinic: Clinic, reference: str, tmp_path: Path, kind: str) -> None:
    bookcli("audit", "seal")
    file = tmp_path / f"audit.{kind}"
    assert bookcli("audit", "export", str(file)).code == 0
    assert file.stat().st_mode & 0o077 == 0
    printed = bookcli("audit", "export", "--format", kind).out
    assert printed == file.read_text()
    (rows,) = clinic.row("SELECT count(*) FROM audit")
    assert len(printed.splitlines()) == rows + int(kind == "csv")
    if kind == "jsonl":
        assert json.loads(printed.splitlines()[-1])["reference"] == reference


@pytest.mark.parametrize("file", ["", ".", "/", "no/such/directory/x.csv"])
def test_what_is_no_name_for_a_file_is_refused(bookcli: Shell, clinic: Clinic, file: str) -> None:
    assert bookcli("audit", "export", file).code == 2
    assert bookcli("export", "sites", file).code == 2
