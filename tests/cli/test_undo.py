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
