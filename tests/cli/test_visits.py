"""Offers and holds of whole visits at the command line."""

from __future__ import annotations

from tests.cli.commands import Shell
from tests.clinic import Clinic


def test_offers_keep_the_contract_and_can_be_held_confirmed_and_released(bookcli: Shell, clinic: Clinic) -> None:
    answer = bookcli("offers", "--tests", "mri, blood", "--patient", "P1", "--on", "tomorrow", "--part", "am", "--json")
    assert answer.code == 0
    offers = answer.json["offers"]
    assert [offer["offer"] for offer in offers] == [1, 2, 3]
    first = offers[0]
    assert first.keys() >= {"site", "start", "end", "zone", "stay_minutes", "take", "parts"}
    assert [part["test"] for part in first["parts"]] == ["blood", "mri"]
    takes = [word for take in first["take"] for word in ("--take", take)]
    held = bookcli("visit", "--patient", "P1", *takes, "--hold", "300", "--json")
    assert held.json["outcome"] == "held"
    reference = held.json["appointments"][1]["reference"]
    confirmed = bookcli("confirm", reference, "--visit", "--json")
    assert [one["status"] for one in confirmed.json["appointments"]] == ["booked", "booked"]
    assert bookcli("release", reference).code == 3
    again = bookcli("hold", "--patient", "P2", "--test", "mri", "--slot", str(clinic.slot("mri", 2)), "--json")
    released = bookcli("release", again.json["appointments"][0]["reference"], "--json")
    assert [one["status"] for one in released.json["appointments"]] == ["cancelled"]
    assert clinic.sound()


def test_what_fits_nowhere_is_said_and_is_not_an_error(bookcli: Shell, clinic: Clinic) -> None:
    answer = bookcli("offers", "--tests", "mri+xray", "--on", "tomorrow")
    assert answer.code == 0
    assert "fits into no day" in answer.err
