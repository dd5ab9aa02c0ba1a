"""The waiting room, by keys pressed and text seen, on the real database."""

from __future__ import annotations

import pytest

from bookcli.core.services import appointments
from tests.clinic import Clinic
from tests.faults import outages
from tests.servers import Server
from tests.tui.harness import SMALL, Seat, sit
from tests.tui.test_board import HOSTILE


def comes_today(clinic: Clinic, patient: int, index: int = 0) -> str:
    """Books a blood draw that happens today; its reference."""
    verdict = appointments.book(clinic.context, clinic.request(patient, "blood", clinic.slot("blood", 1, index)))
    reference = str(verdict.verdicts[0].reference)
    clinic.happens_today(reference)
    return reference


def line(seat: Seat, words: str) -> str:
    """The line of the screen that has these words."""
    return next((one for one in seat.text().splitlines() if words in one), "")


async def enter(seat: Seat) -> None:
    """Goes to the waiting room."""
    await seat.sees("North")
    await seat.press("2")


def test_one_key_is_one_step_of_the_day_and_u_takes_it_back(clinic: Clinic) -> None:
    comes_today(clinic, 3)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("Łukasz Żółć", "○ booked", "0 waiting")
        await seat.press("a")
        await seat.sees("● arrived", "0 min", "1 waiting")
        await seat.press("c")
        await seat.sees("◉ checked in")
        await seat.press("u")
        await seat.eventually(lambda: "is as before" in seat.text())
        await seat.press("r")
        await seat.sees("● arrived")
        await seat.press("c")
        await seat.sees("◉ checked in")
        await seat.press("f")
        await seat.sees("✓ done")

    sit(clinic.context, play, SMALL)


def test_a_no_show_is_asked_for_and_keeping_is_the_default(clinic: Clinic) -> None:
    comes_today(clinic, 3)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("○ booked")
        await seat.press("n")
        await seat.sees("did not come?")
        await seat.press("enter")
        await seat.misses("did not come?")
        assert clinic.row("SELECT status FROM appointment") == ("booked",)

    sit(clinic.context, play)


def test_words_filter_without_accents_and_escape_shows_all(clinic: Clinic) -> None:
    comes_today(clinic, 3)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("Łukasz Żółć")
        await seat.press("w", "text:nobody")
        await seat.sees("Nobody is found by these words.")
        await seat.press("escape")
        await seat.sees("Łukasz Żółć")
        await seat.press("w", "text:zołc p3")
        await seat.sees("Łukasz Żółć")

    sit(clinic.context, play)


@pytest.mark.parametrize("name", HOSTILE)
def test_names_are_shown_and_never_obeyed(clinic: Clinic, name: str) -> None:
    clinic.run("UPDATE patient SET name = %s WHERE mrn = 'P1'", (name,))
    comes_today(clinic, 1)
    begins = name[:7] if "\x1b" not in name and "\u202e" not in name else name[0]

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("P1", "○ booked", begins)
        await seat.press("a")
        await seat.sees("has arrived", "● arrived")
        assert "\x1b" not in seat.text()
        assert "\u202e" not in seat.text()

    sit(clinic.context, play)


def test_while_the_database_is_away_the_day_stays_and_a_step_says_that_nothing_was_noted(
    clinic: Clinic, server: Server, database: str
) -> None:
    comes_today(clinic, 3)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("○ booked")
        with outages.stopped(server, database):
            await seat.press("a")
            await seat.sees("The database does not answer.", "Łukasz Żółć", "○ booked")
        await seat.misses("What you see is")
        await seat.press("a")
        await seat.sees("● arrived")

    sit(clinic.context, play)
