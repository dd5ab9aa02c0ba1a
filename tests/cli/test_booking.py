"""Finding and booking at the command line: the forms, the contract, the refusals."""

from __future__ import annotations

import json
import uuid
from datetime import datetime, timedelta

import pytest

from tests.cli.commands import Shell
from tests.clinic import Clinic

SLOT = {"slot", "site", "test", "resource", "start", "end", "capacity", "remaining", "status", "zone"}
APPOINTMENT = {"reference", "slot", "patient", "test", "site", "resource", "start", "end", "status", "zone"}


def test_slots_keep_the_contract(bookcli: Shell, clinic: Clinic) -> None:
    answer = bookcli("slots", "--test", "mri", "--site", "north", "--on", "tomorrow", "--first", "2", "--json")
    assert answer.code == 0
    assert answer.json.keys() >= {"version", "as_of", "stale", "slots"}
    assert answer.json["version"] == 1
    first, _ = answer.json["slots"]
    assert first.keys() >= SLOT
    assert first["slot"] == clinic.slot("mri")
    assert datetime.fromisoformat(first["start"]).replace(tzinfo=None) == datetime.combine(
        clinic.day(),
        datetime.strptime("08:00", "%H:%M").time(),  # noqa: DTZ007 - a time of day
    )
    assert first["start"].endswith(("+01:00", "+02:00"))
    assert first["zone"] == "Europe/Berlin"


@pytest.mark.parametrize("form", ["tsv", "csv", "ids", "ndjson", "table", "json"])
def test_every_form_holds_every_slot(bookcli: Shell, clinic: Clinic, form: str) -> None:
    answer = bookcli("slots", "--test", "mri", "--on", "tomorrow", "-o", form)
    assert answer.code == 0
    numbers = [str(clinic.slot("mri", index=index)) for index in range(16)]
    lines = answer.out.splitlines()
    match form:
        case "tsv" | "csv":
            assert [line.replace(",", "\t").split("\t")[0] for line in lines] == ["slot", *numbers]
        case "ids":
            assert lines == numbers
        case "ndjson":
            assert [str(json.loads(line)["slot"]) for line in lines] == numbers
        case "json":
            assert [str(slot["slot"]) for slot in answer.json["slots"]] == numbers
        case _:
            assert [line.split()[0] for line in lines] == ["Slot", *numbers]


def test_piped_slots_are_tab_separated(bookcli: Shell, clinic: Clinic) -> None:
    words = ("slots", "--test", "mri", "--on", "tomorrow")
    assert bookcli(*words).out == bookcli(*words, "-o", "tsv").out


def test_slots_by_part_of_day_and_period(bookcli: Shell, clinic: Clinic) -> None:
    def count(*words: str) -> int:
        return len(bookcli("slots", "--test", "mri", *words, "-o", "ids").out.split())

    assert count("--on", "tomorrow", "--part", "am") == 8
    assert count("--on", "tomorrow", "--part", "9-10") == 2
    assert count("--from", "tomorrow", "--to", "tomorrow") == 16
    assert count("--site", "south") == 0
    assert count("--from", str(clinic.day(1)), "--to", str(clinic.day(2))) == 32


def test_nothing_free_is_said_and_is_not_an_error(bookcli: Shell, clinic: Clinic) -> None:
    answer = bookcli("slots", "--test", "mri", "--site", "south", "-o", "ids")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err.startswith("No free slots")
    assert bookcli("slots", "--test", "mri", "--site", "south", "-o", "ids", "-q").err == ""


@pytest.mark.parametrize(
    ("words", "near"), [(("--test", "mir"), "mri"), (("--test", "mri", "--site", "nroth"), "north")]
)
def test_a_misspelt_code_suggests_the_nearest(
    bookcli: Shell, clinic: Clinic, words: tuple[str, ...], near: str
) -> None:
    answer = bookcli("slots", *words)
    assert answer.code == 4
    assert f"Did you mean {near}" in answer.err


def test_codes_may_be_typed_in_capitals(bookcli: Shell, clinic: Clinic) -> None:
    assert bookcli("slots", "--test", "MRI", "--site", " North ").code == 0


def test_a_booking_keeps_the_contract(bookcli: Shell, clinic: Clinic) -> None:
    key = str(uuid.uuid4())
    words = ("book", "--patient", "P1", "--test", "mri", "--slot", str(clinic.slot("mri")), "--key", key, "--json")
    answer = bookcli(*words)
    assert answer.code == 0
    assert answer.json["outcome"] == "booked"
    assert answer.json["reason"] is None
    assert answer.json["request_key"] == key
    assert answer.json["alternatives"] == []
    (appointment,) = answer.json["appointments"]
    assert appointment.keys() >= APPOINTMENT
    assert bookcli(*words).json == answer.json, "the same key gives the same answer"
    assert clinic.sound()


def test_a_booking_by_local_time(bookcli: Shell, clinic: Clinic) -> None:
    words = ("book", "--patient", "P2", "--test", "xray", "--site", "south", "--at", f"{clinic.day(2)} 9:30", "--json")
    (appointment,) = bookcli(*words).json["appointments"]
    assert appointment["start"] == f"{clinic.day(2)}T09:30:00-03:00"


def test_for_a_time_at_which_nothing_begins_the_nearest_are_offered(bookcli: Shell, clinic: Clinic) -> None:
    words = ("--patient", "P1", "--test", "mri", "--site", "north", "--at", "tomorrow 10:07", "--json")
    for command in ("book", "hold"):
        answer = bookcli(command, *words)
        assert (answer.code, answer.json["reason"]) == (3, "slot-unknown")
        assert [one["start"][11:16] for one in answer.json["alternatives"]] == ["09:30", "10:00", "10:30"]
    assert "Free nearby:" in bookcli("book", *words[:-1]).err
    assert bookcli("book", *words[:-2], f"{clinic.day(1) + timedelta(days=60)} 10:07").code == 4, "nothing is near"


def test_a_booking_in_the_first_free_place_of_a_day(bookcli: Shell, clinic: Clinic) -> None:
    booked = [
        bookcli("book", "--patient", f"P{n}", "--test", "mri", "--site", "north", "--on", str(clinic.day(3)), "--json")
        for n in (1, 2)
    ]
    assert [answer.json["appointments"][0]["slot"] for answer in booked] == [
        clinic.slot("mri", 3, 0),
        clinic.slot("mri", 3, 1),
    ]


def test_who_has_the_same_test_ahead_already_is_said_and_booked_all_the_same(bookcli: Shell, clinic: Clinic) -> None:
    book = ("book", "--patient", "P1", "--test", "blood", "--site", "north", "-o", "table", "--on")
    assert bookcli(*book, str(clinic.day(2))).err == ""
    (first,) = clinic.row("SELECT app.reference_of(max(appointment_id)) FROM appointment")
    said = f"The patient already has Blood draw on {clinic.day(2):%a %d %b %Y} 08:00 at north ({first}).\n"
    second = bookcli(*book, str(clinic.day(1)))
    assert (second.code, second.err) == (0, said)
    (moves,) = clinic.row("SELECT app.reference_of(max(appointment_id)) FROM appointment")
    visit = ("visit", "--patient", "P1", "--tests", "blood+mri", "--site", "north", "-o", "table")
    assert f"({moves}), and 1 more." in bookcli(*visit, "--on", str(clinic.day(3))).err
    moved = bookcli("reschedule", moves, "--site", "north", "--at", f"{clinic.day(2)} 10:00", "-o", "table").err
    assert f"({first}), and 1 more." in moved
    looks = "SELECT count(*) FROM audit WHERE action = 'look-history'"
    assert (before := clinic.row(looks)) != (0,)
    assert bookcli(*book, str(clinic.day(4)), "-q").err == bookcli(*book, str(clinic.day(4)), "-o", "ids").err == ""
    assert clinic.row(looks) == before


def test_the_desks_own_site_is_the_default(bookcli: Shell, clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("book", "--patient", "P1", "--test", "mri", "--on", str(clinic.day(1)))
    assert bookcli(*words).code == 2
    monkeypatch.setenv("BOOKCLI_SITE", "north")
    assert bookcli(*words).code == 0


def test_who_is_bound_to_one_site_need_not_say_which(bookcli: Shell, clinic: Clinic) -> None:
    book = ("book", "--patient", "P1", "--test", "xray", "--on", str(clinic.day(2)), "--json")
    bind = "UPDATE staff SET sites = ARRAY(SELECT site_id FROM site WHERE code = ANY (%s))"
    clinic.run(bind, (["north", "south"],))
    assert bookcli(*book).error["code"] == "site-missing"
    clinic.run(bind, (["south"],))
    assert bookcli(*book).json["appointments"][0]["site"] == "south"
    agenda = bookcli("agenda", "--on", str(clinic.day(2)), "--json")
    assert (agenda.code, "P1" in agenda.out) == (0, True)
    assert bookcli("agenda", "--site", "north", "--json").code == 5, "what is said counts"


def test_a_refusal_offers_commands_that_can_be_typed(bookcli: Shell, clinic: Clinic) -> None:
    slot = str(clinic.slot("mri"))
    assert bookcli("book", "--patient", "P1", "--test", "mri", "--slot", slot).code == 0
    answer = bookcli("book", "--patient", "P2", "--test", "mri", "--slot", slot)
    assert (answer.code, answer.out) == (3, "")
    lines = answer.err.splitlines()
    assert lines[0].startswith("That slot is full")
    offered = lines[-1].partition(": bookcli ")[2].split()
    assert bookcli(*offered).code == 0


def test_a_refusal_in_json_has_the_outcome_and_the_error(bookcli: Shell, clinic: Clinic) -> None:
    slot = str(clinic.slot("mri"))
    bookcli("book", "--patient", "P1", "--test", "mri", "--slot", slot)
    answer = bookcli("book", "--patient", "P2", "--test", "mri", "--slot", slot, "--json")
    assert answer.code == 3
    assert (answer.json["outcome"], answer.json["reason"]) == ("refused", "slot-full")
    assert answer.json["appointments"] == []
    assert answer.json["alternatives"][0].keys() >= SLOT
    assert (answer.error["code"], answer.error["exit"], answer.error["retryable"]) == ("slot-full", 3, False)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--patient", "P99", "--test", "mri", "--slot", "1"), 4),
        (("--patient", "P1", "--test", "mir", "--slot", "1"), 4),
        (("--patient", "P1", "--test", "mri", "--slot", "99999"), 4),
        (("--patient", "P1", "--test", "mri", "--site", "nowhere", "--on", "tomorrow"), 4),
        (("--patient", "P1", "--test", "mri", "--slot", "99999999999"), 2),
        (("--patient", "P1", "--test", "mri", "--slot", "x"), 2),
        (("--patient", "P1", "--test", "mri"), 2),
        (("--patient", "P1", "--test", "mri", "--slot", "1", "--on", "tomorrow"), 2),
        (("--patient", "P1", "--test", "mri", "--slot", "1", "--key", "x"), 2),
        (("--patient", "P1", "--test", "mri", "--site", "north", "--at", "01/02/2027 9:00"), 2),
        (("--patient", "P1", "--test", "mri", "--site", "north", "--at", "2027-03-28 02:30"), 2),
        (("--patient", "P1", "--test", "mri", "--site", "north", "--at", "2027-10-31 02:30"), 2),
    ],
)
def test_what_cannot_be_booked_has_the_right_exit_code(
    bookcli: Shell, clinic: Clinic, words: tuple[str, ...], code: int
) -> None:
    answer = bookcli("book", *words)
    assert answer.code == code
    assert answer.err
    assert "bug" not in answer.err


def test_a_hold_is_confirmed(bookcli: Shell, clinic: Clinic) -> None:
    slot = str(clinic.slot("mri"))
    held = bookcli("hold", "--patient", "P1", "--test", "mri", "--slot", slot, "--json").json
    assert held["outcome"] == "held"
    reference = held["appointments"][0]["reference"]
    assert held["appointments"][0]["held_until"]
    assert bookcli("confirm", reference.lower(), "--json").json["appointments"][0]["status"] == "booked"
    assert bookcli("hold", "--patient", "P2", "--test", "mri", "--slot", slot, "--seconds", "5").code == 2


def test_an_appointment_from_booking_to_the_end(bookcli: Shell, clinic: Clinic) -> None:
    words = ("book", "--patient", "P1", "--test", "mri", "--slot", str(clinic.slot("mri")), "-o", "ids")
    reference = bookcli(*words).out.strip()
    moved = bookcli("reschedule", reference, "--slot", str(clinic.slot("mri", 2)), "--json").json
    assert moved["appointments"][0]["reference"] == reference
    assert bookcli("noshow", reference).code == 3, "it has not begun"
    assert bookcli("arrive", reference).code == 3, "it is on another day"
    clinic.happens_today(reference)
    for command, status in (("arrive", "arrived"), ("check-in", "checked-in")):
        assert bookcli(command, reference, "--json").json["appointments"][0]["status"] == status
    early = bookcli("fulfil", reference, "--json")
    assert (early.code, early.error["code"]) == (2, "not-confirmed"), "it begins much later"
    assert bookcli("fulfil", reference, "--yes", "--json").json["appointments"][0]["status"] == "fulfilled"
    assert bookcli("fulfil", reference).code == 0, "it is done already"
    assert bookcli("cancel", reference, "--yes").code == 3
    assert bookcli("show", reference, "-o", "table").out.startswith(f"Fulfilled {reference}: MRI, north mri-1")
    assert clinic.sound()


def test_cancelling_asks_first(bookcli: Shell, clinic: Clinic) -> None:
    words = ("book", "--patient", "P1", "--test", "mri", "--slot", str(clinic.slot("mri")), "-o", "ids")
    reference = bookcli(*words).out.strip()
    answer = bookcli("cancel", reference, stdin="y\n")
    assert answer.code == 2
    assert "--yes" in answer.err
    assert bookcli("cancel", reference, "--reason", "nonsense", "--yes").err.count("Provider") > 3
    assert bookcli("show", reference, "--json").json["appointments"][0]["status"] == "booked"
    assert bookcli("cancel", reference, "--reason", "prov", "--yes").code == 0
    assert bookcli("show", reference, "--json").json["appointments"][0]["status"] == "cancelled"


def test_a_visit_is_all_or_nothing(bookcli: Shell, clinic: Clinic) -> None:
    mri, blood = clinic.slot("mri", index=3), clinic.slot("blood", index=5)
    bookcli("book", "--patient", "P1", "--test", "mri", "--slot", str(mri))
    words = ("visit", "--patient", "P2", "--take", f"blood={blood}", "--take")
    answer = bookcli(*words, f"mri={mri}", "--json")
    assert (answer.code, answer.json["outcome"], answer.json["appointments"]) == (3, "refused", [])
    booked = bookcli(*words, f"mri={mri + 1}", "--json")
    assert booked.code == 0
    assert {appointment["test"] for appointment in booked.json["appointments"]} == {"blood", "mri"}
    assert clinic.sound()


def test_a_visit_finds_its_places_in_order(bookcli: Shell, clinic: Clinic) -> None:
    bookcli("book", "--patient", "P1", "--test", "blood", "--slot", str(clinic.slot("blood")))
    words = ("visit", "--patient", "P1", "--tests", "blood+mri", "--site", "north", "--on", str(clinic.day()), "--json")
    answer = bookcli(*words)
    assert answer.code == 0
    starts = [datetime.fromisoformat(one["start"]) for one in answer.json["appointments"]]
    assert [start.strftime("%H:%M") for start in starts] == ["08:30", "09:00"], "the patient is engaged at 8"
    assert bookcli(*words[:-3], str(clinic.day() - timedelta(days=1)), "--json").code in (2, 3)


@pytest.mark.parametrize("take", ["mri", "mri=", "=3", "mri=x", "mri=1e3", "mri=99999999999"])
def test_a_part_of_a_visit_must_be_clear(bookcli: Shell, clinic: Clinic, take: str) -> None:
    assert bookcli("visit", "--patient", "P1", "--take", take).code == 2


def test_times_say_the_zone_when_the_desk_has_another(
    bookcli: Shell, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("slots", "--test", "mri", "--first", "1", "-o", "table")
    assert "Europe/Berlin" in bookcli(*words).out
    monkeypatch.setenv("TZ", "Europe/Berlin")
    import time

    time.tzset()
    assert "Europe/Berlin" not in bookcli(*words).out
