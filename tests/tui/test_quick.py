"""The quick line, by keys pressed and text seen, on the real database."""

from __future__ import annotations

from bookcli.core.services import appointments
from tests.clinic import Clinic
from tests.faults import outages
from tests.servers import Server
from tests.tui.harness import SMALL, Seat, sit


def statuses(clinic: Clinic) -> list[tuple[str, ...]]:
    """(test, status) of every appointment."""
    return clinic.rows("SELECT t.code, a.status::text FROM appointment a JOIN test t USING (test_id) ORDER BY 1, 2")


def test_from_the_line_to_booked_it_is_three_keys_and_the_words(clinic: Clinic) -> None:
    pressed: list[str] = []

    async def play(seat: Seat) -> None:
        async def key(name: str) -> None:
            pressed.append(name)
            await seat.press(name)

        await seat.sees("No slots")
        await key("slash")
        await seat.sees("Book in one line")
        await seat.press("text:zolc, mri+blood, tomorrow am")
        await seat.sees("test mri", "test blood", "name zolc", "part 00:00–12:00", "Łukasz Żółć", "blood 08:00 lab")
        await seat.sees("Enter holds", "for Łukasz Żółć")
        print(seat.text())
        await key("enter")
        await seat.sees("◐ Held 4:5", "Enter books")
        print(seat.text())
        assert statuses(clinic) == [("blood", "pending"), ("mri", "pending")]
        await key("enter")
        await seat.sees("BOOKED")
        print(seat.text())
        assert statuses(clinic) == [("blood", "booked"), ("mri", "booked")]
        assert len(pressed) < 10

    sit(clinic.context, play, SMALL)


async def typed(seat: Seat, words: str) -> None:
    """The quick line with words in it."""
    await seat.sees("No slots")
    await seat.press("slash")
    await seat.sees("Book in one line")
    await seat.press(f"text:{words}")


def test_of_several_patients_one_is_taken_by_the_arrows_before_anything_is_held(clinic: Clinic) -> None:
    clinic.run("UPDATE patient SET name = 'Amir Khan' WHERE mrn IN ('P1', 'P2', 'P3')")
    appointments.book(clinic.context, clinic.request(2, "mri", clinic.slot("mri", 2)))

    async def play(seat: Seat) -> None:
        await typed(seat, "khan, mri, tomorrow")
        await seat.sees("P1", "P2", "P3", "mri 08:00 mri-1", "3 patients match: the arrows choose one")
        await seat.press("down")
        await seat.sees("Enter takes Amir Khan P2")
        await seat.press("enter")
        await seat.misses("P1 ", "P3 ")
        await seat.sees("▲ The patient already has MRI")
        assert statuses(clinic) == [("mri", "booked")]
        await seat.press("down", "enter")
        await seat.sees("◐ Held 4:5", "08:30–09:00", "Amir Khan P2", "▲ The patient already has MRI")
        await seat.press("enter")
        await seat.sees("BOOKED", "Amir Khan P2")

    sit(clinic.context, play, SMALL)


def test_what_means_nothing_is_said_and_nothing_is_an_error(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await typed(seat, "muller, mri, 31 feb")
        await seat.sees("31 feb is no day", "Ana Müller", "Type another day: 31 feb is none")
        await seat.press("enter", "ctrl+u", "text:muller, mri+blod, tomorrow am")
        await seat.sees("blod ? no such test; blood?", "test mri", "Ana Müller", "Type another word for blod")
        await seat.press("enter")
        assert "mri 08:00" not in seat.text() and "Book in one line" in seat.text()
        await seat.press("escape")
        await seat.misses("Book in one line")

    sit(clinic.context, play, SMALL)


def test_a_patient_who_is_not_there_is_written_down_from_the_line(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await typed(seat, "hopper, mri, tomorrow")
        await seat.sees("Nobody is called so", "mri 08:00 mri-1", "Enter writes down a new patient")
        await seat.press("enter")
        await seat.sees("New patient", "hopper")
        await seat.press("ctrl+s")
        await seat.misses("Birth date")
        await seat.sees("mri 08:00 mri-1")
        await seat.press("enter")
        await seat.sees("◐ Held 4:5", "hopper P100001")

    sit(clinic.context, play)


def test_an_offer_taken_meanwhile_is_refused_in_the_dialog_with_the_nearest(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await typed(seat, "zolc, mri, tomorrow")
        await seat.sees("Łukasz Żółć", "mri 08:00 mri-1")
        appointments.book(clinic.context, clinic.request(2, "mri", clinic.slot("mri")))
        await seat.press("enter")
        await seat.sees("REFUSED", "full", "nearest", "Łukasz Żółć P3")
        await seat.press("enter")
        await seat.sees("◐ Held 4:5")
        await seat.press("enter")
        await seat.sees("BOOKED")

    sit(clinic.context, play)


def test_enter_before_the_answers_are_there_waits_for_them(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        await seat.press("slash")
        await seat.sees("Book in one line")
        await seat.press("paste:zolc, mri, tomorrow", "enter")
        await seat.sees("◐ Held 4:5", "Łukasz Żółć P3")

    sit(clinic.context, play)


def test_without_a_patient_or_a_test_it_is_asked_for(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await typed(seat, "mri, tomorrow")
        await seat.sees("mri 08:00 mri-1", "Type who it is for")
        await seat.press("enter")
        await seat.sees("Who is it for?")
        await seat.press("ctrl+u", "text:zolc")
        await seat.sees("Łukasz Żółć")
        await seat.press("enter")
        await seat.sees("Which tests?")

    sit(clinic.context, play)


def test_while_the_database_is_away_the_line_says_so_and_keeps_what_is_typed(
    clinic: Clinic, server: Server, database: str
) -> None:
    async def play(seat: Seat) -> None:
        await typed(seat, "zolc, mri")
        await seat.sees("Łukasz Żółć")
        with outages.stopped(server, database):
            await seat.press("text:, tomorrow")
            await seat.sees("zolc, mri, tomorrow", "does not answer")
            await seat.press("home", "text:x")
            await seat.sees("xzolc, mri, tomorrow", "does not answer")
            await seat.eventually(lambda: not seat.app.screen._waits, "the answer about the patients")  # type: ignore[attr-defined]
            # Nobody knows who is called so, and who was on the screen is not.
            assert "Nobody is called so" not in seat.text() and "Enter holds" not in seat.text()
            await seat.press("enter")
            assert "Birth date" not in seat.text() and len(seat.app.screen_stack) == 2
            await seat.press("backspace")
        await seat.misses("does not answer")
        await seat.sees("mri 08:00 mri-1", "Enter holds")

    sit(clinic.context, play)
