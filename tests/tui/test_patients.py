"""The view of the patients, by keys pressed and text seen, on the real database."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from bookcli.core.context import Context
from bookcli.core.errors import OutcomeUnknown
from bookcli.core.model.patients import Patient
from bookcli.core.services import appointments, patients
from bookcli.tui.widgets.patient_finder import PatientFinder
from tests.clinic import Clinic
from tests.faults import outages
from tests.servers import Server
from tests.tui.harness import SMALL, Seat, sit


def booked(clinic: Clinic, patient: int = 1, test: str = "mri", index: int = 0) -> str:
    """The reference of an appointment of the first day."""
    outcome = appointments.book(clinic.context, clinic.request(patient, test, clinic.slot(test, 1, index)))
    return outcome.verdicts[0].reference or ""


async def at_patients(seat: Seat) -> None:
    """The view, the cursor in the line."""
    await seat.sees("? Help", "● worker")
    await seat.press("3")
    await seat.sees("Who is it?")


async def chosen(seat: Seat, number: str = "P1") -> None:
    """The record of a number."""
    await at_patients(seat)
    await seat.press(f"text:{number}")
    await seat.sees("born ?", "▲ There is no e-mail address")
    await seat.press("enter")
    await seat.sees("Number    " + number)


@pytest.mark.parametrize("words", ["muller", "P1", "1980-03-21", "901820"])
def test_somebody_is_found_by_name_number_birth_date_and_phone(clinic: Clinic, words: str) -> None:
    patients.edit(clinic.context, "P1", {"birth_date": "1980-03-21", "phone": "+49 30 901820"})

    async def play(seat: Seat) -> None:
        await at_patients(seat)
        await seat.press(f"text:{words}")
        await seat.sees("Ana Müller", "1980-03-21")
        await seat.press("enter")
        await seat.sees("Number    P1", "Born      1980-03-21", "+4930901820", "There is no e-mail address")

    sit(clinic.context, play, SMALL)


def test_enter_is_for_what_was_typed_when_it_was_pressed(clinic: Clinic, server: Server, database: str) -> None:
    async def play(seat: Seat) -> None:
        await at_patients(seat)
        with outages.frozen(server, database):
            await seat.press("text:m", "enter", "text:uller")
        await seat.sees("Ana Müller", "born ?")
        await seat.eventually(lambda: not seat.app.calls.is_asking(finder(seat), "find"), "answered")
        await seat.pilot.pause()
        assert finder(seat).chosen is None

    def finder(seat: Seat) -> PatientFinder:
        return seat.app.screen.query_one(PatientFinder)

    sit(clinic.context, play)


def test_what_is_ahead_comes_before_what_was_and_enter_opens_it(clinic: Clinic) -> None:
    gone = booked(clinic, test="blood", index=4)
    appointments.cancel(clinic.context, gone, "pat")
    reference = booked(clinic, index=8)

    async def play(seat: Seat) -> None:
        await at_patients(seat)
        await seat.press("text:muller")
        await seat.sees("P1")
        await seat.press("enter")
        await seat.sees(reference, gone, "● booked", "✕ cancelled", "1 ahead")
        assert seat.text().index(reference) < seat.text().index(gone)
        await seat.press("enter")
        await seat.sees("p Print", "12:00–12:30")
        await seat.press("escape")
        await seat.misses("p Print")
        await seat.press("w", "text:silva")
        await seat.sees("José da Silva")
        await seat.misses(reference, "1 ahead")

    sit(clinic.context, play)


def test_digits_are_keys_again_when_the_line_was_left(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await at_patients(seat)
        await seat.press("escape", "1")
        await seat.sees("No slots")
        await seat.press("3")
        await seat.sees("Who is it?")

    sit(clinic.context, play)


def test_whoever_comes_back_types_whom_to_look_for_and_after_a_dialog_presses_keys(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await chosen(seat)
        await seat.press("1")
        await seat.sees("No slots")
        await seat.press("3")
        await seat.sees("Number    P1")
        await seat.press("text:silva")
        await seat.sees("Patient  silva", "José da Silva")
        await seat.press("enter")
        await seat.sees("Number    P2")
        await seat.press("question_mark")
        await seat.sees("Leave the line")
        await seat.press("escape", "e")
        await seat.sees("Edit P2")

    sit(clinic.context, play)


def test_while_the_database_is_away_the_line_is_typed_in_and_says_so_once(
    clinic: Clinic, server: Server, database: str
) -> None:
    async def play(seat: Seat) -> None:
        await chosen(seat)
        with outages.stopped(server, database):
            await seat.eventually(lambda: seat.app.lights is not None and seat.app.lights.database == "away")
            await seat.press("r")
            await seat.sees("Number    P1", " old.")
            await seat.press("w", "text:silva")
            await seat.sees("Patient  silva", "▲ The database")
            assert "the request can be kept" not in seat.text()
            assert seat.text().count("▲ The database") <= 2
        await seat.sees("José da Silva")

    sit(clinic.context, play, SMALL)


async def editing(seat: Seat) -> None:
    """The form of P1."""
    await chosen(seat)
    await seat.press("e")
    await seat.sees("Edit P1", "Birth date", "^s Save")


def test_a_bad_value_is_said_at_its_field_and_a_good_one_is_saved(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await editing(seat)
        await seat.press("tab", "text:1806-13-40", "ctrl+s")
        await seat.sees("Edit P1", "The birth date is not", "valid. Write it like")
        assert clinic.row("SELECT birth_date FROM patient WHERE mrn = 'P1'") == (None,)
        await seat.press("ctrl+u", "text:1980-03-21", "ctrl+s")
        await seat.hears("Patient P1 is changed.")
        await seat.misses("Edit P1")
        await seat.sees("Born      1980-03-21")

    sit(clinic.context, play, SMALL)
    assert str(clinic.row("SELECT birth_date FROM patient WHERE mrn = 'P1'")[0]) == "1980-03-21"


def test_an_edit_is_taken_back_unless_somebody_has_changed_the_same_since(clinic: Clinic) -> None:
    async def edited(seat: Seat) -> None:
        await seat.press("e")
        await seat.sees("Edit P1", "^s Save")
        await seat.press("text: Schmidt", "tab", "text:1980-03-21", "ctrl+s")
        await seat.hears("Patient P1 is changed. u takes it back.")
        await seat.sees("Name      Ana Müller Schmidt", "Patient  Ana Müller Schmidt P1")

    async def play(seat: Seat) -> None:
        await chosen(seat)
        await edited(seat)
        patients.edit(clinic.context, "P1", {"phone": "+49 30 901820"})
        await seat.press("u")
        await seat.hears("Patient P1 is as before.")
        await seat.sees("Name      Ana Müller ", "Patient  Ana Müller P1", "Phone     +4930901820")
        assert "Born" not in seat.text()
        await edited(seat)
        patients.edit(clinic.context, "P1", {"name": "Ana Weber"})
        await seat.press("u")
        await seat.hears("Somebody has changed that record meanwhile.")
        await seat.press("r")
        await seat.sees("Name      Ana Weber", "Born      1980-03-21")

    sit(clinic.context, play)


def test_what_another_desk_has_changed_in_the_same_field_is_not_written_over(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await editing(seat)
        patients.edit(clinic.context, "P1", {"birth_date": "1981-03-21"})
        await seat.press("tab", "text:1980-03-21", "ctrl+s")
        await seat.sees("Edit P1", "Somebody has changed that record meanwhile.", "1980-03-21")

    sit(clinic.context, play, SMALL)
    assert str(clinic.row("SELECT birth_date FROM patient WHERE mrn = 'P1'")[0]) == "1981-03-21"


def test_what_another_desk_has_changed_meanwhile_stays(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await editing(seat)
        patients.edit(clinic.context, "P1", {"phone": "+49 30 901820"})
        await seat.press("tab", "text:1980-03-21", "ctrl+s")
        await seat.sees("Born      1980-03-21", "Phone     +4930901820")

    sit(clinic.context, play)


def test_a_record_that_was_merged_meanwhile_is_said_and_what_was_typed_stays(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await editing(seat)
        patients.merge(clinic.context, "P2", "P1")
        await seat.press("tab", "text:1980-03-21", "ctrl+s")
        await seat.sees("That record was merged into P2.", "1980-03-21")
        await seat.press("escape")
        await seat.sees("Leave without saving?")

    sit(clinic.context, play, SMALL)


def test_a_form_that_cannot_be_saved_while_the_database_is_away_keeps_what_was_typed(
    clinic: Clinic, server: Server, database: str
) -> None:
    async def play(seat: Seat) -> None:
        await editing(seat)
        with outages.stopped(server, database):
            await seat.press("tab", "text:1980-03-21", "ctrl+s")
            await seat.sees("Edit P1", "▲ The database", "1980-03-21")
        await seat.presses_until("ctrl+s", "Born      1980-03-21")

    sit(clinic.context, play, SMALL)


@pytest.mark.parametrize("key", ["n", "ctrl+n"])
def test_a_new_patient_is_written_down_and_shown(clinic: Clinic, key: str) -> None:
    async def play(seat: Seat) -> None:
        await at_patients(seat)
        await seat.press("escape", key)
        await seat.sees("New patient", "Birth date")
        await seat.press("text:Grace Hopper", "tab", "text:1906-12-09", "ctrl+s")
        await seat.sees("Name      Grace Hopper", "Born      1906-12-09")

    sit(clinic.context, play)


def test_a_name_that_nobody_has_is_written_down_by_enter(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await at_patients(seat)
        await seat.press("text:Grace Hopper")
        await seat.sees("Nobody is called so")
        await seat.press("enter")
        await seat.sees("New patient", "Grace Hopper", "^s Save")
        await seat.press("ctrl+s")
        await seat.sees("Name      Grace Hopper")

    sit(clinic.context, play)


async def merging(seat: Seat) -> None:
    """P1 stays and P2 goes: both are shown, and the word is asked for."""
    await chosen(seat)
    await seat.press("g")
    await seat.sees("Merge two records", "stays  P1  Ana Müller", "Nothing takes a merge back.")
    await seat.press("text:P2", "enter")
    await seat.sees("goes   P2  José da Silva", "1 ahead", "▲ The names differ: is it one person?")


@pytest.mark.parametrize(
    ("name", "born", "warning"),
    [
        ("ANA MULLER", "1980-03-21", ""),
        ("ANA MULLER", "1980-03-12", "▲ The birth dates differ: is it one person?"),
        ("Ana Muñoz", "1980-03-12", "▲ The names and the birth dates differ: is it one person?"),
    ],
)
def test_what_differs_between_two_records_is_pointed_out(clinic: Clinic, name: str, born: str, warning: str) -> None:
    clinic.run("UPDATE patient SET birth_date = '1980-03-21' WHERE mrn = 'P1'")
    clinic.run("UPDATE patient SET name = %s, birth_date = %s WHERE mrn = 'P2'", (name, born))

    async def play(seat: Seat) -> None:
        await at_patients(seat)
        await seat.press("text:P1")
        await seat.sees("1980-03-21", "▲ There is no e-mail address")
        await seat.press("enter")
        await seat.sees("Number    P1")
        await seat.press("g")
        await seat.sees("Merge two records")
        await seat.press("text:P2", "enter")
        await seat.sees(f"goes   P2  {name}", warning)
        assert bool(warning) == ("differ" in seat.text())

    sit(clinic.context, play, SMALL)


def survivor_of_p2(clinic: Clinic) -> str | None:
    """The number of the record that took the place of P2."""
    return patients.get(clinic.context, "P2").merged_into


@pytest.mark.parametrize("answer", [("enter",), ("text:merg", "enter"), ("escape",), ("tab", "enter")])
def test_any_answer_but_the_whole_word_merges_nothing(clinic: Clinic, answer: tuple[str, ...]) -> None:
    booked(clinic, 2)

    async def play(seat: Seat) -> None:
        await merging(seat)
        await seat.press(*answer)
        await seat.hears("Nothing was merged.")

    sit(clinic.context, play, SMALL)
    assert survivor_of_p2(clinic) is None


def test_the_word_makes_two_records_one_and_their_appointments_are_shown(clinic: Clinic) -> None:
    reference = booked(clinic, 2)

    async def play(seat: Seat) -> None:
        await merging(seat)
        await seat.press("text:merge", "enter")
        await seat.hears("P2 was merged into P1: 1 appointment moved.")
        await seat.sees(reference, "1 ahead", "Number    P1")

    sit(clinic.context, play)
    assert survivor_of_p2(clinic) == "P1"
    assert clinic.sound()


def test_a_number_that_cannot_be_merged_is_said_and_another_one_typed(clinic: Clinic) -> None:
    booked(clinic, 2)
    patients.merge(clinic.context, "P4", "P3")

    async def play(seat: Seat) -> None:
        await chosen(seat)
        await seat.press("g")
        await seat.sees("Merge two records")
        for number, why in (("P1", "the record that stays"), ("P3", "merged into P4"), ("P99", "▲")):
            await seat.press("ctrl+u", f"text:{number}", "enter")
            await seat.sees(why)
            assert "goes " not in seat.text()
        await seat.press("ctrl+u", "text:P2", "enter")
        await seat.sees("goes   P2")

    sit(clinic.context, play, SMALL)


def test_two_records_with_appointments_at_one_time_stay_two(clinic: Clinic) -> None:
    booked(clinic, 1, "blood")
    booked(clinic, 2)

    async def play(seat: Seat) -> None:
        await merging(seat)
        await seat.press("text:merge", "enter")
        await seat.sees("Both records have an appointment at the same time.", "goes   P2")

    sit(clinic.context, play, SMALL)
    assert survivor_of_p2(clinic) is None


def test_what_may_have_been_saved_is_looked_for_before_it_is_saved_again(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = patients.add
    attempts: list[str] = []

    def lost(context: Context, fields: Mapping[str, str]) -> Patient:
        attempts.append(fields["name"])
        if len(attempts) > 1:
            add(context, fields)
        raise OutcomeUnknown("The answer was lost.")

    monkeypatch.setattr(patients, "add", lost)

    async def play(seat: Seat) -> None:
        await at_patients(seat)
        await seat.press("escape", "n", "text:Grace Hopper", "tab", "text:1906-12-09", "ctrl+s")
        await seat.sees("UNKNOWN — perhaps saved, perhaps not")
        await seat.press("ctrl+s")
        await seat.hears("It had not been saved")
        await seat.eventually(lambda: len(attempts) == 2, "sent again")
        await seat.sees("UNKNOWN — perhaps saved, perhaps not")
        await seat.press("ctrl+s")
        await seat.sees("says the same: it was saved", "1906-12-09")
        await seat.press("ctrl+t")
        await seat.misses("New patient")
        await seat.sees("Grace Hopper")

    sit(clinic.context, play)
    assert clinic.row("SELECT count(*) FROM patient WHERE name = 'Grace Hopper'") == (1,)


def test_a_form_that_is_being_saved_says_why_it_does_not_leave(clinic: Clinic, server: Server, database: str) -> None:
    async def play(seat: Seat) -> None:
        await at_patients(seat)
        await seat.press("escape", "n", "text:Grace Hopper")
        await seat.sees("New patient", "Grace Hopper")
        with outages.frozen(server, database):
            await seat.press("ctrl+s", "escape")
            await seat.sees("Wait: the answer is on its way.")

    sit(clinic.context, play)
