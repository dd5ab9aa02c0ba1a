"""Hostile values for every command: one clear sentence, the right exit code, nothing changed, nothing crashed."""

from __future__ import annotations

import pytest

from tests.cli.commands import Shell, all_commands, process
from tests.clinic import Clinic

HOSTILE = {
    "nothing": "",
    "blank": "   ",
    "long": "x" * 10_000,
    "long-enough": "y" * 4_000,
    "nul": "a\x00b",
    "surrogate": "a\udcffb",
    "escape": "\x1b[31mred\x1b[0m",
    "c1": "\x9b31m",
    "right-to-left": "\u202egnp.exe",
    "markup": "[/nope]",
    "action": "[@click=app.quit]x[/]",
    "sql": "'; DROP TABLE app.patient; --",
    "percent": "%s %(x)s {slot} {0}",
    "emoji": "👩🏽‍⚕️",
    "number": "99999999999999999999",
    "negative": "-1",
    "dots": "../../etc/passwd",
    "lines": "a\nb\tc",
    "json": '{"a":1}',
}
OPTIONS = {
    ("slots",): ["--test", "--site", "--on", "--from", "--to", "--part", "--first"],
    ("book",): ["--patient", "--test", "--slot", "--site", "--at", "--on", "--key"],
    ("hold",): ["--patient", "--test", "--slot", "--site", "--at", "--on", "--key", "--seconds"],
    ("visit",): ["--patient", "--take", "--tests", "--site", "--on", "--key"],
    ("offers",): ["--tests", "--patient", "--site", "--on", "--part", "--gap", "--first"],
    ("report", "utilisation"): ["--site", "--on", "--from", "--to"],
    ("report", "noshow"): ["--site", "--on"],
    ("report", "lead-time"): ["--site", "--on"],
    ("reschedule",): ["", "--slot", "--site", "--at", "--on", "--key"],
    ("cancel",): ["", "--reason"],
    ("agenda",): ["--site", "--on", "--resource", "--status"],
    ("patient", "add"): ["--mrn"],
    ("patient", "find"): ["--mrn", "--first"],
    ("patient", "merge"): ["", ""],
    ("site", "add"): ["--code", "--name", "--zone", "--phone"],
    ("site", "edit"): ["", "--name", "--zone", "--phone"],
    ("test", "add"): ["--code", "--name", "--minutes", "--lead", "--window", "--preparation"],
    ("test", "edit"): ["", "--minutes", "--interval", "--buffer-before", "--buffer-after"],
    ("resource", "list"): ["--site"],
    ("resource", "show"): ["", "--site"],
    ("resource", "add"): ["--site", "--code", "--name", "--tests"],
    ("resource", "edit"): ["", "--site", "--tests"],
    ("schedule", "list"): ["--site", "--resource"],
    ("schedule", "add"): [
        "--site", "--resource", "--weekdays", "--opens", "--closes", "--slot-minutes", "--capacity", "--valid-from",
    ],
    ("schedule", "end"): ["", "--on"],
    ("schedule", "publish"): ["--on", "--from", "--to", "--site", "--resource"],
    ("schedule", "close"): ["--site", "--resource", "--from", "--to", "--reason"],
    ("schedule", "capacity"): ["", ""],
    ("audit", "list"): ["--patient", "--reference", "--actor", "--action", "--from", "--to", "--first"],
    ("audit", "show"): [""],
    ("audit", "verify"): ["--head"],
    ("audit", "export"): ["--patient", "--reference", "--from", "--to"],
    ("completion",): [""],
    ("help",): [""],
    ("import",): ["", ""],
    ("export",): ["", ""],
}  # fmt: skip
GOOD = {
    "--test": "mri", "--patient": "P1", "--slot": "1", "--site": "north", "--on": "tomorrow", "--name": "Name",
    "--zone": "Europe/Berlin", "--minutes": "30", "--tests": "mri", "--resource": "lab", "--weekdays": "mon",
    "--opens": "8", "--closes": "9", "--slot-minutes": "30", "--from": "tomorrow", "--take": "mri=1",
}  # fmt: skip
NEEDED = {
    ("offers",): ["--tests"],
    ("slots",): ["--test"],
    ("book",): ["--patient", "--test", "--slot"],
    ("hold",): ["--patient", "--test", "--slot"],
    ("visit",): ["--patient"],
    ("site", "add"): ["--name", "--zone"],
    ("test", "add"): ["--name", "--minutes"],
    ("resource", "add"): ["--name", "--tests", "--site"],
    ("schedule", "add"): ["--site", "--resource", "--weekdays", "--opens", "--closes", "--slot-minutes"],
    ("schedule", "end"): ["--on"],
    ("schedule", "close"): ["--from", "--site"],
}
OWN_PROCESS = {("up",), ("demo",), ("selftest", "race")}
FAILED = {2, 3, 4}
CHANGES = "SELECT count(*) FROM app.audit"


def lines_for(command: tuple[str, ...], hostile: str) -> list[list[str]]:
    """Command lines in which each option in turn, or each argument, has the hostile value."""
    lines = []
    for option in OPTIONS.get(command, [""]):
        needed = [name for name in NEEDED.get(command, []) if name != option]
        rest = [word for name in needed for word in (name, GOOD[name])]
        arguments = OPTIONS.get(command, [""]).count("") if option else 0
        value = [option, hostile] if option else [hostile] * OPTIONS.get(command, [""]).count("")
        lines.append([*command, *(["1"] * arguments), *rest, *value])
    return lines


@pytest.mark.parametrize("command", [words for words in all_commands() if words not in OWN_PROCESS], ids=" ".join)
def test_hostile_values_get_one_sentence(bookcli: Shell, clinic: Clinic, command: tuple[str, ...]) -> None:
    for name, hostile in HOSTILE.items():
        for line in lines_for(command, hostile):
            before = clinic.row(CHANGES)
            answer = bookcli(*line, "--json", stdin="")
            assert answer.code in {0, 6, *FAILED}, (name, line, answer)
            assert "Traceback" not in answer.err, (name, line)
            if answer.code in FAILED:
                assert clinic.row(CHANGES) == before, (name, line)
                assert len(answer.error["message"]) <= 400, (name, line)
                assert "\x1b" not in answer.err + answer.out
                assert "\u202e" not in answer.err + answer.out
            if name in {"nul", "surrogate", "escape", "c1", "right-to-left", "long"}:
                assert answer.code == 2, (name, line, answer)
    assert clinic.sound()


@pytest.mark.parametrize("hostile", [b"a\xff\xfeb", b"\x1b[31m", b"x" * 10_000], ids=["bytes", "escape", "long"])
@pytest.mark.parametrize("option", [b"--test", b"--site"])
def test_bytes_that_are_no_text_get_one_sentence(clinic: Clinic, hostile: bytes, option: bytes) -> None:
    answer = process("slots", option, hostile)
    assert answer.code == 2
    assert answer.err.startswith("An argument ")
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("name", ["long", "nul", "escape", "c1", "right-to-left", "lines"])
def test_hostile_names_of_patients_are_refused_without_being_repeated(
    bookcli: Shell, clinic: Clinic, name: str
) -> None:
    import json

    answer = bookcli("patient", "add", stdin=json.dumps({"name": HOSTILE[name]}))
    assert answer.code == 2, answer
    assert HOSTILE[name][:20] not in answer.err


@pytest.mark.parametrize("name", ["markup", "action", "sql", "percent", "emoji", "json"])
def test_odd_names_of_patients_are_kept_and_shown_as_they_are(bookcli: Shell, clinic: Clinic, name: str) -> None:
    import json

    answer = bookcli("patient", "add", "--json", stdin=json.dumps({"name": HOSTILE[name]}))
    assert answer.json["patients"][0]["name"] == HOSTILE[name]
    shown = bookcli("patient", "show", answer.json["patients"][0]["mrn"], "-o", "table").out
    assert HOSTILE[name] in shown


def test_a_directory_and_a_missing_file_as_file_get_one_sentence(bookcli: Shell, clinic: Clinic) -> None:
    assert bookcli("import", "sites", "/").code in {2, 4}
    assert bookcli("import", "sites", "/no/such/file.csv").code in {2, 4}
