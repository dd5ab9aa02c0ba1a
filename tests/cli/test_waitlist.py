"""The waiting list, as a desk types it."""

from __future__ import annotations

from tests.cli.commands import Shell
from tests.clinic import Clinic


def test_a_patient_is_put_on_the_list_shown_and_taken_off(bookcli: Shell, clinic: Clinic) -> None:
    words = ("waitlist", "add", "--patient", "P1", "--test", "mri", "--site", "north")
    added = bookcli(*words, "--from", "tomorrow", "--to", "+14d", "--json").json
    (one,) = added["waiting"]
    assert added["verdict"] == "added" and (one["patient"], one["test"], one["offered"]) == ("P1", "mri", None)
    assert one["first_day"] == str(clinic.day(1))
    assert bookcli(*words, "--json").json["verdict"] == "changed"
    assert bookcli("waitlist", "list", "--site", "north", "-o", "ids").out == f"{one['id']}\n"
    assert bookcli("waitlist", "list", "--test", "blood", "-o", "ids").out == ""
    assert bookcli("waitlist", "remove", str(one["id"])).err == "Removed.\n"
    assert bookcli("waitlist", "list", "-o", "ids").out == ""
    assert bookcli("waitlist", "remove", "99").code == 4
    assert bookcli("waitlist", "add", "--patient", "P999", "--test", "mri", "--site", "north").code == 4
