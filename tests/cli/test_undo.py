"""Undo at the command line."""

from __future__ import annotations

import re

from tests.cli.commands import Shell
from tests.clinic import Clinic


def test_undo_shows_what_is_possible_and_takes_back_the_last(bookcli: Shell, clinic: Clinic) -> None:
    words = ("book", "--patient", "P1", "--test", "mri", "--slot", str(clinic.slot("mri")), "-o", "ids")
    reference = bookcli(*words).out.strip()
    (step,) = bookcli("undo", "--list", "--json").json["undoable"]
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d ", bookcli("undo", "--list", "-o", "table").out)
    assert (step["action"], step["reference"]) == ("book", reference)
    undone = bookcli("undo", "--json").json
    assert (undone["undone"], undone["appointments"][0]["status"]) == ("book", "entered-in-error")
    answer = bookcli("undo")
    assert answer.code == 3
    assert "nothing to undo" in answer.err
    assert clinic.sound()


def test_what_was_closed_is_listed_with_how_it_is_taken_back(bookcli: Shell, clinic: Clinic) -> None:
    book = ("book", "--patient", "P1", "--test", "blood", "--slot", str(clinic.slot("blood")), "-o", "ids")
    reference = bookcli(*book).out.strip()
    day = str(clinic.day(2))
    close = ("schedule", "close", "--site", "north", "--resource", "mri-1", "--from", day, "--yes", "--json")
    number = bookcli(*close).json["closure"]
    listed = bookcli("undo", "--list", "--json")
    closed, booked = listed.json["undoable"]
    assert (closed["action"], closed["closure"], closed["resource"], closed["start"][:10]) == (
        "close",
        number,
        "mri-1",
        day,
    )
    assert (booked["action"], booked["reference"], booked["closure"]) == ("book", reference, None)
    command = listed.err.partition(": bookcli ")[2].split()
    assert bookcli(*command).code == 0
    assert [one["action"] for one in bookcli("undo", "--list", "--json").json["undoable"]] == ["book"]
    assert bookcli("undo", "--list", "-o", "ids").out == f"{reference}\n"
