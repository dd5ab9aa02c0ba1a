"""Keys that are pressed before the database has said who is meant: none is lost, each goes where it belongs."""

from __future__ import annotations

import pytest

from bookcli.tui.app import DeskApp
from tests.clinic import Clinic
from tests.faults import outages
from tests.servers import Server
from tests.tui.harness import SMALL, Seat, sit
from tests.tui.test_booking import at_tomorrow, booking_mri


def test_what_is_typed_before_it_is_known_who_is_meant_goes_where_the_focus_is_then(
    clinic: Clinic, server: Server, database: str
) -> None:
    async def play(seat: Seat) -> None:
        await booking_mri(seat)
        with outages.frozen(server, database):
            await seat.press("text:mulle", "r", "enter", "text:mri", "enter", "text:claustrophobic")
            await seat.sees("what is typed meanwhile waits")
            assert "claustrophobic" not in seat.text()
        await seat.sees("Ana Müller P1", "MRI", "claustrophobic", "◐ Held 4:5")
        assert (seat.app.screen.form.tests.value, seat.app.screen.form.note.value) == ("mri", "claustrophobic")  # type: ignore[attr-defined]

    sit(clinic.context, play)


def test_what_is_typed_while_nobody_is_found_stays_with_the_name(clinic: Clinic, server: Server, database: str) -> None:
    async def play(seat: Seat) -> None:
        await booking_mri(seat)
        with outages.frozen(server, database):
            await seat.press("text:a", "enter", "text:na mu")
            await seat.sees("what is typed meanwhile waits")
        await seat.sees("Patient  ana mu", "Ana Müller")
        with outages.frozen(server, database):
            await seat.press("text:l", "enter", "text:l", "escape")
            await seat.sees("Leave without booking?")
        await seat.press("n")
        await seat.sees("Patient  ana mull")

    sit(clinic.context, play)


def test_keys_that_come_all_at_once_go_where_each_belongs(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await at_tomorrow(seat)
        seat.sends("right", "n", "text:muller", "enter", "text:mri", "enter", "text:claustrophobic")
        await seat.sees("Ana Müller P1", "MRI", "claustrophobic", "◐ Held 4:5")
        assert (seat.app.screen.form.tests.value, seat.app.screen.form.note.value) == ("mri", "claustrophobic")  # type: ignore[attr-defined]

    sit(clinic.context, play)


def test_a_whole_booking_is_typed_before_anything_of_it_is_on_the_screen(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        seat.sends("text:/zolc, mri+blood, tomorrow am", "enter", "enter")
        await seat.sees("BOOKED", "Łukasz Żółć P3")

    sit(clinic.context, play, SMALL)


def test_of_several_patients_none_is_taken_by_what_was_typed_before_they_were_seen(clinic: Clinic) -> None:
    clinic.run("UPDATE patient SET name = 'Amir Khan' WHERE mrn IN ('P1', 'P2', 'P3')")

    async def play(seat: Seat) -> None:
        seat.sends("text:/khan, mri, tomorrow", "enter", "enter", "enter", "enter")
        await seat.sees("mri 08:00 mri-1", "Enter takes Amir Khan P1")
        await seat.eventually(lambda: not seat.app.ahead._kept and not seat.app.ahead._busy, "every key was passed on")
        assert "Enter takes Amir Khan P1" in seat.text()
        await seat.press("enter")
        await seat.sees("Enter holds", "for Amir Khan")
        assert clinic.rows("SELECT FROM appointment") == []
        await seat.press("enter")
        await seat.sees("◐ Held 4:5", "Amir Khan P1")

    sit(clinic.context, play, SMALL)


@pytest.mark.parametrize(
    ("keys", "seen"),
    [
        (("b", "text:okafor qu17b"), "Patient  okafor qu17b"),
        (("text:/qu1b27", "escape", "text:/nsd"), "> nsd"),
        (("d", "text:+3d", "escape", "3", "text:okafor qu"), "Patient  okafor qu"),
        (("text:bokafor", "ctrl+n", "end", "text: nkem", "tab", "text:1990-12-01"), "1990-12-01"),
        (("d", "text:2031-03-05", "enter", "2", "1"), "Wed 05 Mar 2031"),
    ],
)
def test_no_letter_is_lost_while_a_screen_opens_or_a_key_of_the_screen_below(
    clinic: Clinic, keys: tuple[str, ...], seen: str
) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        seat.sends(*keys)
        await seat.sees(seen.removeprefix("> "))
        await seat.eventually(lambda: not seat.app.ahead._kept and not seat.app.ahead._busy, "every key was passed on")
        assert len(seat.app.screen_stack) <= 3

    sit(clinic.context, play, SMALL)


def test_an_answer_that_comes_when_the_desk_has_ended_is_for_nobody(clinic: Clinic) -> None:
    ended = DeskApp(clinic.context)
    assert not ended.screen_stack
    assert ended.ahead._target is ended


def test_days_are_walked_and_a_place_is_booked_before_the_first_day_is_shown(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        seat.sends("right_square_bracket", "n", "text:okafor")
        await seat.sees("Patient  okafor")
        await seat.press("escape", "y")
        await seat.sees("Laboratory", "08:00", "places free")
        seat.sends("right_square_bracket", "right", "n", "text:muller")
        await seat.sees("Patient  muller", "08:00–08:30 mri-1")

    sit(clinic.context, play)


def test_a_key_after_that_of_another_day_waits_for_that_day(clinic: Clinic, server: Server, database: str) -> None:
    async def play(seat: Seat) -> None:
        await at_tomorrow(seat)
        with outages.frozen(server, database):
            seat.sends("right_square_bracket", "n")
            await seat.eventually(lambda: seat.app.ahead._kept, "a key waits")
        await seat.sees("Patient", f"{clinic.day(2):%a %d %b} 08:00–08:30 lab")

    sit(clinic.context, play)


def test_what_is_typed_after_the_key_that_locks_is_typed_into_the_lock_and_no_letter_of_it_gets_behind_it(
    clinic: Clinic,
) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("No slots", "tests")
        seat.sends("ctrl+l", "text:secret/q", "ctrl+l", "text:u")
        await seat.sees("Locked", "•••••••••")
        assert seat.app.is_running and len(seat.app.screen_stack) == 2

    sit(clinic.context, play)
