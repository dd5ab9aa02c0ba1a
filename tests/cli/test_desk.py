"""Patients, the day, the catalog, schedules, servers and completion at the command line."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bookcli.cli import diagnostics, dialogue
from bookcli.core.errors import InvalidInput
from tests.cli.commands import Shell, process
from tests.clinic import Clinic


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody is at the keyboard, who types what the test pipes in."""
    monkeypatch.setattr(diagnostics, "interactive", lambda: True)


@pytest.mark.parametrize(
    "typed",
    [
        '{"name": "Zoë Test", "birth_date": "1980-02-03", "sex": "f"}',
        "name=Zoë Test\nbirth_date=3.2.1980\nsex=female\n",
    ],
)
def test_a_patient_is_read_from_stdin(bookcli: Shell, clinic: Clinic, typed: str) -> None:
    (record,) = bookcli("patient", "add", "--json", stdin=typed).json["patients"]
    assert (record["name"], record["birth_date"], record["sex"]) == ("Zoë Test", "1980-02-03", "female")
    assert bookcli("patient", "show", record["mrn"], "--json").json["patients"][0] == record


@pytest.mark.parametrize(
    "typed", ["", "{", "[1]", '{"name": ["x"]}', "name", "nmae=Zoë Secret", b"name=\xff\xfe", "name="]
)
def test_a_patient_that_cannot_be_read_is_refused_without_a_value(
    bookcli: Shell, clinic: Clinic, typed: str | bytes
) -> None:
    answer = bookcli("patient", "add", stdin=typed)
    assert answer.code == 2, answer.err
    assert "Secret" not in answer.err


def test_far_too_much_input_is_refused() -> None:
    with pytest.raises(InvalidInput):
        dialogue.understood("x" * 10)


def test_a_taken_number_is_refused(bookcli: Shell, clinic: Clinic) -> None:
    assert bookcli("patient", "add", "--mrn", "P1", stdin="name=Somebody").code == 3


def test_a_number_must_be_typed_and_right_where_the_clinic_has_a_format(
    bookcli: Shell, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOKCLI_MRN_PATTERN", "H-[0-9]{6}")
    monkeypatch.setenv("BOOKCLI_MRN_CHECK", "luhn")
    untyped = bookcli("patient", "add", "--json", stdin="name=Somebody")
    assert (untyped.code, untyped.error["code"]) == (2, "mrn-missing")
    assert "--mrn" in untyped.error["hint"]
    for mrn in ("H-123456", "P77"):
        refused = bookcli("patient", "add", "--mrn", mrn, "--json", stdin="name=Somebody")
        assert (refused.code, refused.error["code"]) == (2, "mrn-invalid")
        assert mrn not in refused.err
    assert bookcli("patient", "add", "--mrn", "H-123455", stdin="name=Somebody").code == 0
    assert bookcli("book", "--patient", "P1", "--test", "mri", "--slot", str(clinic.slot("mri"))).code == 0
    assert bookcli("demo").code == 2


@pytest.mark.parametrize("name", ["DEADLINE", "MRN_PATTERN", "MRN_CHECK", "PHONE_REGION"])
def test_the_doctor_names_a_setting_that_is_wrong(
    bookcli: Shell, clinic: Clinic, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(f"BOOKCLI_{name}", "(")
    if name == "DEADLINE":
        monkeypatch.setenv(f"BOOKCLI_{name}", "61")
    answer = bookcli("doctor", "--json")
    (failed,) = [one for one in answer.json["checks"] if one["check"] == "settings"]
    assert (answer.code, failed["well"]) == (1, False)
    assert f"BOOKCLI_{name}" in failed["advice"]


def test_patients_are_asked_for_at_a_terminal(bookcli: Shell, clinic: Clinic, terminal: None) -> None:
    added = bookcli("patient", "add", "--json", stdin="Zoë Test\n1980-02-03\nf\n\n\n\nsms\nyes\n\n")
    (record,) = added.json["patients"]
    assert (record["birth_date"], record["channel"], record["consent"]) == ("1980-02-03", "sms", "given")
    edited = bookcli("patient", "edit", record["mrn"], "--json", stdin="\n-\n\n\n\n\n\nno\n\n")
    (record,) = edited.json["patients"]
    assert (record["name"], record["birth_date"], record["sex"]) == ("Zoë Test", None, "female")
    assert (record["channel"], record["consent"]) == ("sms", "declined")
    assert bookcli("patient", "add", stdin="Half\n").code == 2


def test_a_wrong_answer_is_asked_for_again_at_once(bookcli: Shell, clinic: Clinic, terminal: None) -> None:
    typed = "\nZoë Test\n31 feb 1980\n1980-02-03\ngirl\nf\n12\n030 123\nzoë@\n\nd\nde\npost\n\nperhaps\n\n\n"
    added = bookcli("patient", "add", "--json", stdin=typed)
    (record,) = added.json["patients"]
    assert (record["name"], record["birth_date"], record["phone"]) == ("Zoë Test", "1980-02-03", "030 123")
    asked = added.err.splitlines()[:-1]
    assert len(asked) == 8, added.err
    assert "Name: The name is empty." in asked[0]
    assert "Date of birth: The birth date is not valid: write it like 1980-12-01 or 1 dec 1980." in asked[1]
    edited = bookcli("patient", "edit", record["mrn"], "--json", stdin="-\n\nnever\n-\n" + "\n" * 7)
    (changed,) = edited.json["patients"]
    assert (changed["name"], changed["birth_date"], changed["phone"]) == ("Zoë Test", None, "030 123")


def test_a_number_that_cannot_be_is_asked_for_again(
    bookcli: Shell, clinic: Clinic, terminal: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bookcli("patient", "add", "--mrn", "?", stdin="Zoë\n").err.startswith("The number is not valid.")
    taken = bookcli("patient", "add", "--mrn", "P1", "-o", "ids", stdin="Zoë\n" + "\n" * 8 + "P2\nP77\n")
    assert (taken.out, taken.err.count("belongs to a patient")) == ("P77\n", 2)
    monkeypatch.setenv("BOOKCLI_MRN_PATTERN", "H-[0-9]{6}")
    numbered = bookcli("patient", "add", "-o", "ids", stdin="\nP7\nH-123456\nZoë\n" + "\n" * 8)
    assert numbered.out == "H-123456\n"
    monkeypatch.setenv("BOOKCLI_PHONE_REGION", "Germany")
    assert "BOOKCLI_PHONE_REGION" in bookcli("patient", "add", stdin="H-123457\nZoë\n\n\n12\n").err


def test_a_merged_record_is_not_asked_about(bookcli: Shell, clinic: Clinic, terminal: None) -> None:
    assert bookcli("patient", "merge", "P1", "P2", "--yes").code == 0
    refused = bookcli("patient", "edit", "P2", stdin="\n" * 9)
    assert (refused.code, "Name" in refused.err) == (3, False)


def test_patients_are_found_by_what_is_piped_in(bookcli: Shell, clinic: Clinic) -> None:
    assert bookcli("patient", "find", "-o", "ids", stdin="muller ana\n").out == "P1\n"
    assert bookcli("patient", "find", "--mrn", "P2", "-o", "ids").out == "P2\n"
    assert bookcli("patient", "find", stdin="nobody at all").err == "No patient was found.\n"


def test_merging_wants_the_word(bookcli: Shell, clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    assert bookcli("patient", "merge", "P1", "P2").code == 2
    monkeypatch.setattr(diagnostics, "interactive", lambda: True)
    assert bookcli("patient", "merge", "P1", "P2", stdin="y\n").err.endswith("Not merged.\n")
    assert bookcli("patient", "merge", "P1", "P2", stdin="merge\n").code == 0
    assert bookcli("patient", "show", "P2", "--json").json["patients"][0]["merged_into"] == "P1"


def test_cancelling_at_a_terminal_defaults_to_no(bookcli: Shell, clinic: Clinic, terminal: None) -> None:
    words = ("book", "--patient", "P1", "--test", "mri", "--slot", str(clinic.slot("mri")), "-o", "ids")
    reference = bookcli(*words).out.strip()
    for typed in ("\n", "n\n", "what\n"):
        assert bookcli("cancel", reference, stdin=typed).err.endswith("Not cancelled.\n")
    assert bookcli("cancel", reference, stdin="y\n").code == 0


def test_the_day_and_the_history(bookcli: Shell, clinic: Clinic) -> None:
    bookcli("book", "--patient", "P5", "--test", "mri", "--slot", str(clinic.slot("mri", 2)))
    agenda = bookcli("agenda", "--site", "north", "--on", str(clinic.day(2)), "--json")
    assert [one["patient"] for one in agenda.json["appointments"]] == ["P5"]
    assert "Наталья Иванова" in bookcli("agenda", "--site", "north", "--on", str(clinic.day(2)), "-o", "table").out
    assert bookcli("agenda", "--site", "north", "--status", "bookd").code == 2
    history = bookcli("patient", "history", "P5", "-o", "csv").out
    assert [row["test"] for row in csv.DictReader(io.StringIO(history))] == ["mri"]


def test_a_formula_is_not_run_by_a_spreadsheet(bookcli: Shell, clinic: Clinic) -> None:
    bookcli("patient", "add", "--mrn", "F1", stdin="name==HYPERLINK(1)")
    assert "'=HYPERLINK(1)" in bookcli("patient", "show", "F1", "-o", "csv").out
    assert "'=HYPERLINK(1)" not in bookcli("patient", "show", "F1", "-o", "tsv").out


def test_markup_and_direction_marks_are_shown(bookcli: Shell, clinic: Clinic) -> None:
    bookcli("patient", "add", "--mrn", "F2", stdin="name=[/nope] [red]x")
    assert "[/nope] [red]x" in bookcli("patient", "find", "--mrn", "F2", "-o", "table").out
    assert "\x1b" not in bookcli("slots", "--test", "\x9b31m", "-o", "table").err


def test_the_catalog_is_added_to_and_changed(bookcli: Shell, clinic: Clinic) -> None:
    words = ("site", "add", "--name", "Clinic West", "--zone", "Europe/Lisbon")
    assert bookcli(*words, "--json").json["sites"][0]["code"] == "clinic-west"
    assert bookcli(*words).code == 3, "adding never changes what is there"
    assert bookcli("site", "add", "--code", "x", "--name", "X", "--zone", "Europe/Lisbun").code == 2
    assert bookcli("site", "edit", "clinic-west", "--inactive", "--json").json["sites"][0]["active"] is False
    assert bookcli("site", "edit", "clinic-west", "--inactive", "--json").json["verdict"] == "unchanged"
    assert "clinic-west" not in bookcli("site", "list", "-o", "ids").out
    assert "clinic-west" in bookcli("site", "list", "--all", "-o", "ids").out
    assert bookcli("site", "show", "Clínica Sul", "-o", "ids").out == "south\n"
    added = bookcli("test", "add", "--name", "ECG", "--minutes", "20", "--lead", "60", "--json").json["tests"][0]
    assert (added["code"], added["duration_minutes"], added["lead_minutes"]) == ("ecg", 20, 60)
    assert bookcli("test", "edit", "ecg", "--minutes", "0").code == 2
    words = ("resource", "add", "--site", "north", "--name", "ECG room", "--tests", "ecg,blood", "--json")
    assert bookcli(*words).json["resources"][0]["tests"] == ["blood", "ecg"]
    assert bookcli("resource", "edit", "ecg-room", "--site", "north", "--tests", "nope").code == 4
    assert bookcli("resource", "list", "--site", "north", "-o", "ids").out == "ecg-room\nlab\nmri-1\n"


def test_hours_are_added_published_closed_and_opened(bookcli: Shell, clinic: Clinic) -> None:
    bookcli("resource", "add", "--site", "north", "--code", "r", "--name", "Room", "--tests", "blood")
    words = ("--site", "north", "--resource", "r")
    hours = ("--weekdays", "daily", "--opens", "8", "--closes", "10", "--slot-minutes", "30")
    assert bookcli("schedule", "add", *words, *hours, "--json").json["added"] == 7
    assert bookcli("schedule", "add", *words, *hours, "--json").json["added"] == 0
    day = str(clinic.day(3))
    planned = bookcli("schedule", "publish", *words, "--on", day, "--dry-run", "--json").json
    assert (planned["published"][0]["published"], planned["dry_run"]) == (4, True)
    assert bookcli("schedule", "publish", *words, "--on", day, "--json").json["published"][0]["published"] == 4
    assert bookcli("schedule", "publish", *words, "--on", day, "--json").json["published"][0]["present"] == 4
    bookcli("book", "--patient", "P1", "--test", "mri", "--slot", str(clinic.slot("mri", 3)))
    close = ("schedule", "close", "--site", "north", "--from", day)
    assert bookcli(*close).code == 2, "somebody is booked, and nobody can be asked"
    assert len(bookcli(*close, "--dry-run", "--json").json["appointments"]) == 1
    closed = bookcli(*close, "--yes", "--json").json
    assert bookcli("slots", "--test", "blood", "--on", day, "-o", "ids").out == ""
    assert bookcli("schedule", "closures", "-o", "ids").out == f"{closed['closure']}\n"
    assert bookcli("schedule", "reopen", str(closed["closure"])).code == 0
    assert bookcli("schedule", "reopen", str(closed["closure"])).code == 4
    assert bookcli("slots", "--test", "blood", "--on", day, "-o", "ids").out != ""
    number = bookcli("schedule", "list", *words, "-o", "ids").out.split()[0]
    assert bookcli("schedule", "end", number, "--on", day).code == 0
    assert bookcli("schedule", "capacity", str(clinic.slot("mri", 3)), "3").code == 0
    assert clinic.sound()


def test_a_database_of_somebody_else_is_neither_started_nor_stopped(bookcli: Shell, clinic: Clinic) -> None:
    answer = bookcli("down")
    assert answer.code == 0
    assert "somebody else's" in answer.err
    (postgres, _) = bookcli("status", "--json").json["servers"]
    assert (postgres["ours"], postgres["running"]) == (False, True)


def test_the_doctor_finds_nothing_then_something(
    bookcli: Shell, clinic: Clinic, own_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = bookcli("doctor", "--json")
    assert (answer.code, answer.json["well"]) == (0, True)
    (own_environment / "state").chmod(0o755)
    answer = bookcli("doctor", "--json")
    assert answer.code == 1
    assert [one["check"] for one in answer.json["checks"] if not one["well"]] == ["log directory"]
    monkeypatch.setenv("BOOKCLI_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    failed = [one for one in bookcli("doctor", "--json").json["checks"] if not one["well"]]
    assert {"postgres", "database"} <= {one["check"] for one in failed}
    assert all(one["advice"] for one in failed)
    assert bookcli("status").code == 1


def test_the_database_is_looked_after(bookcli: Shell, clinic: Clinic) -> None:
    assert bookcli("db", "init", "--json").json["created"] is False
    assert bookcli("db", "upgrade", "--json").json["migrations"] == []
    assert bookcli("verify", "--json").code == 0
    clinic.owner.execute("UPDATE app.slot SET booked = 1 WHERE slot_id = 1")
    answer = bookcli("verify", "--json")
    assert answer.code == 1
    assert any(rule["violations"] for rule in answer.json["rules"])


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("bookcli sl", ["slots"]),
        ("bookcli slots --te", ["--test"]),
        ("bookcli slots --test m", ["mri", "mri-contrast"]),
        ("bookcli book --site n", ["north"]),
        ("bookcli patient ed", ["edit"]),
        ("bookcli nonsense --x", []),
    ],
)
def test_the_shell_completes(clinic: Clinic, typed: str, offered: list[str]) -> None:
    count = str(len(typed.split()) - 1)
    answer = process(_BOOKCLI_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=count)
    assert (answer.code, answer.out.split(), answer.err) == (0, offered, "")


def test_references_complete(bookcli: Shell, clinic: Clinic) -> None:
    words = ("book", "--patient", "P1", "--test", "mri", "--slot", str(clinic.slot("mri")), "-o", "ids")
    reference = bookcli(*words).out.strip()
    typed = f"bookcli cancel {reference[:3]}"
    assert reference in process(_BOOKCLI_COMPLETE="complete_zsh", _TYPER_COMPLETE_ARGS=typed).out


def test_completion_starts_no_server_and_does_not_complain(own_environment: Path) -> None:
    answer = process(_BOOKCLI_COMPLETE="complete_bash", COMP_WORDS="bookcli slots --test m", COMP_CWORD="3")
    assert (answer.code, answer.out.strip(), answer.err) == (0, "", "")
    assert not own_environment.exists()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_printed(bookcli: Shell, shell: str) -> None:
    assert "_BOOKCLI_COMPLETE" in bookcli("completion", shell).out


def test_the_bash_script_works_in_bash(clinic: Clinic, tmp_path: Path) -> None:
    program = tmp_path / "programs" / "bookcli"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m bookcli.cli.main "$@"\n')
    program.chmod(0o755)
    script = (
        'eval "$(bookcli completion bash)"; COMP_WORDS=(bookcli slots --test m); COMP_CWORD=3; _bookcli bookcli;'
        ' echo "${COMPREPLY[@]}"'
    )
    environment = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=environment, timeout=60)
    assert (done.stdout, done.stderr) == ("mri mri-contrast\n", "")


def test_json_escapes_what_a_terminal_would_obey() -> None:
    from bookcli.cli.output import as_json

    text = as_json({"name": "a\u202eb\x9bc\u2028\udc80ü"})
    assert not set(text) & set("\u202e\x9b\u2028\udc80")
    assert json.loads(text)["name"] == "a\u202eb\x9bc\u2028\udc80ü"


def test_a_closing_shows_where_everybody_would_go_and_moves_them(bookcli: Shell, clinic: Clinic) -> None:
    words = ("book", "--patient", "P1", "--test", "mri", "--slot", str(clinic.slot("mri", 2, 4)), "-o", "ids")
    reference = bookcli(*words).out.strip()
    day = clinic.day(2)
    close = (
        "schedule",
        "close",
        "--site",
        "north",
        "--resource",
        "mri-1",
        "--from",
        f"{day} 9:30",
        "--to",
        f"{day} 11:00",
    )
    (move,) = bookcli(*close, "--move", "--dry-run", "--json").json["moves"]
    assert (move["reference"], move["from"][11:16], move["resource"]) == (reference, "10:00", "mri-1")
    done = bookcli(*close, "--move", "--all", "--yes", "--json").json
    assert done["appointments"][0]["start"] == move["to"]
    assert (done["left"], done["slots"]) == ([], 3)
    back = bookcli("schedule", "reopen", str(done["closure"]), "--undo", "--json").json
    assert (back["slots"], back["appointments"][0]["start"]) == (3, move["from"])
    assert bookcli("schedule", "reopen", str(done["closure"]), "--undo").code == 3
    assert clinic.sound()
