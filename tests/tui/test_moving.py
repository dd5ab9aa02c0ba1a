"""Moving an appointment on the board, by keys pressed and text seen, on the real database."""

from __future__ import annotations

import pytest

from bookcli.core.context import Context
from bookcli.core.db import engine
from bookcli.core.errors import OutcomeUnknown
from bookcli.core.model.appointments import Outcome
from bookcli.core.services import appointments, reception
from bookcli.tui import moves
from tests.clinic import Clinic
from tests.faults import outages
from tests.people import PASSWORD, cheap
from tests.servers import Server
from tests.tui.harness import SMALL, Seat, sit
from tests.tui.test_agenda import comes_today, enter
from tests.tui.test_appointment import booked, opened
from tests.tui.test_board import row
from tests.tui.test_sign_in import _at_desk as at_desk

__all__ = ["cheap"]
OF_ITS_SITE = "FROM site p WHERE p.site_id = s.site_id"


async def moving(seat: Seat, reference: str) -> None:
    """The board, on which an appointment of the first slot of the MRI is moved."""
    await opened(seat, reference)
    await seat.press("m")
    await seat.sees(f"◆ Moving Ana Müller {reference} MRI from", "08:00 — Enter puts it here,", "◆█ 1/1", "only mri")
    await seat.misses("p Print", "Laboratory")


async def asked(seat: Seat, *keys: str) -> None:
    """Walks, and is asked about the place there."""
    await seat.press(*keys, "enter")
    await seat.sees("Move", "of Ana Müller?", "From ", "To ", "Cancel")


def slot(clinic: Clinic) -> int:
    """Where the appointment of the first patient is."""
    return int(clinic.row("SELECT slot_id FROM appointment WHERE patient_id = 1")[0])


def test_it_is_walked_to_its_new_place_and_moved_after_a_question(clinic: Clinic) -> None:
    reference = booked(clinic)

    async def play(seat: Seat) -> None:
        await moving(seat, reference)
        await seat.sees("08:00–08:30 MRI 1", "⏎ Put here")
        await asked(seat, "down", "down")
        await seat.press("enter")
        await seat.misses("of Ana Müller?")
        assert slot(clinic) == clinic.slot("mri", 1, 0)
        await seat.press("enter")
        await seat.sees("of Ana Müller?")
        await seat.press("y")
        await seat.hears(f"{reference} was moved to", "09:00", "u takes it back")
        await seat.misses("Moving")
        await seat.sees("Laboratory", "⏎ Open", "n Book")
        await seat.eventually(lambda: "█ 1/1" in row(seat, "09:00") and "1/1" not in row(seat, "08:00"), "moved")
        assert slot(clinic) == clinic.slot("mri", 1, 2)
        await seat.press("u")
        await seat.hears("Taken back: reschedule")
        assert slot(clinic) == clinic.slot("mri", 1, 0)

    sit(clinic.context, play, SMALL)
    assert clinic.sound()


def test_a_refusal_is_said_and_another_day_is_walked_to(clinic: Clinic) -> None:
    reference = booked(clinic)

    async def play(seat: Seat) -> None:
        await moving(seat, reference)
        appointments.book(clinic.context, clinic.request(2, "mri", clinic.slot("mri", 1, 1)))
        await asked(seat, "down")
        await seat.press("y")
        await seat.sees("✕ REFUSED", "full", "It keeps its place.", "◆ Moving")
        assert slot(clinic) == clinic.slot("mri", 1, 0)
        await seat.press("]")
        await seat.eventually(lambda: "▁ 0/1" in row(seat, "08:00"), "the day after")
        await seat.press("home", "enter")
        await seat.sees(f"To   {clinic.day(2):%a %d %b %Y} 08:00, MRI 1")
        await seat.press("y")
        await seat.hears("was moved to", f"{clinic.day(2):%a %d %b} 08:00")

    sit(clinic.context, play, SMALL)
    assert slot(clinic) == clinic.slot("mri", 2, 0)


def test_from_a_slot_the_board_below_is_shown_and_escape_leaves_it_where_it_is(clinic: Clinic) -> None:
    reference = booked(clinic)

    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        await seat.press("]")
        await seat.sees("Laboratory")
        await seat.press("right", "enter")
        await seat.sees("Ana Müller")
        await seat.press("enter")
        await seat.sees("p Print")
        await seat.press("m")
        await seat.sees("◆ Moving", reference, "⏎ Put here")
        await seat.misses("p Print", "n Book")
        await asked(seat)
        await seat.press("y")
        await seat.sees("It is there already.")
        await seat.press("f", "n", "down", "escape")
        await seat.misses("Moving", "◆")
        await seat.sees("Laboratory", "n Book", "08:30–09:00 MRI 1")
        assert slot(clinic) == clinic.slot("mri", 1, 0)

    sit(clinic.context, play, SMALL)


def test_the_waiting_room_moves_who_is_under_the_cursor_and_nobody_who_is_done(clinic: Clinic) -> None:
    reference = comes_today(clinic, 1)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("● booked")
        clinic.run(f"UPDATE slot s SET local_start = starts_at AT TIME ZONE zone {OF_ITS_SITE}")
        await seat.press("m")
        await seat.sees("◆ Moving Ana Müller", "Blood draw", "◆▃ 1/4")
        await asked(seat, "down")
        await seat.press("y")
        await seat.hears("was moved to", "08:30")
        clinic.happens_today(reference)
        appointments.set_status(clinic.context, reference, "checked-in")
        await seat.press("2")
        await seat.sees("▶ checked in")
        await seat.press("m")
        await seat.hears("cannot be moved: it is checked in")

    sit(clinic.context, play)


def test_while_the_database_is_away_nothing_is_moved_and_nothing_is_kept(
    clinic: Clinic, server: Server, database: str
) -> None:
    reference = booked(clinic)

    async def play(seat: Seat) -> None:
        await moving(seat, reference)
        with outages.stopped(server, database):
            await asked(seat, "down")
            await seat.press("y")
            await seat.sees("Nothing was kept: the appointment is as it was.", "◆ Moving")
        await seat.misses("The database does not answer. What")
        assert "PENDING" not in seat.text()

    sit(clinic.context, play)
    assert slot(clinic) == clinic.slot("mri", 1, 0)


def test_a_lost_answer_is_said_to_be_unknown_and_asked_again_under_the_same_key(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = booked(clinic)
    keys: list[object] = []
    move = reception.move

    def lost(context: Context, reference: str, slot: int, key: object) -> Outcome:
        keys.append(key)
        outcome = move(context, reference, slot, key)  # type: ignore[arg-type]
        if len(keys) == 1:
            raise OutcomeUnknown("The answer was lost.")
        return outcome

    monkeypatch.setattr(reception, "move", lost)
    monkeypatch.setattr(moves, "AGAIN_SECONDS", 0.5)

    async def play(seat: Seat) -> None:
        await moving(seat, reference)
        await asked(seat, "down")
        await seat.press("y")
        await seat.sees("UNKNOWN — perhaps moved, perhaps not.")
        await seat.press("escape", "enter")
        await seat.hears("was moved to")
        await seat.misses("Moving")

    sit(clinic.context, play)
    assert len(keys) == 2 and keys[0] == keys[1]
    assert slot(clinic) == clinic.slot("mri", 1, 1)


@pytest.mark.usefixtures("cheap")
def test_what_is_moved_is_there_for_the_same_person_and_for_nobody_else(
    clinic: Clinic, owner: engine.Connection
) -> None:
    reference = booked(clinic)

    async def locked_by(seat: Seat, name: str) -> None:
        await seat.press("ctrl+l")
        await seat.sees("Locked")
        assert "Müller" not in seat.text()
        await seat.press("shift+tab", "ctrl+u", f"text:{name}", "tab", f"paste:{PASSWORD}", "enter")
        await seat.misses("Locked")

    async def play(seat: Seat) -> None:
        await moving(seat, reference)
        await seat.press("2")
        await seat.sees("Nobody is booked today.")
        await seat.press("1")
        await seat.sees("◆ Moving")
        await locked_by(seat, "ana")
        await seat.sees("◆ Moving Ana Müller")
        await locked_by(seat, "ben")
        await seat.sees("Clinic North", "ben", "today", "n Book")
        assert "Moving" not in seat.text() and "Müller" not in seat.text()

    with at_desk(clinic, owner) as desk:
        sit(desk, play)
