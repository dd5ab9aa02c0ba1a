"""Keys that are pressed before the database has said who is meant: none is lost, each goes where it belongs."""

from __future__ import annotations

from textual import events

from tests.clinic import Clinic
from tests.faults import outages
from tests.servers import Server
from tests.tui.harness import Seat, sit
from tests.tui.test_booking import booking_mri


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
        await booking_mri(seat)
        for key in (*"muller", "enter", *"mri", "enter", *"claustrophobic"):
            seat.app.post_message(events.Key(key, key if len(key) == 1 else "\r"))
        await seat.sees("Ana Müller P1", "MRI", "claustrophobic", "◐ Held 4:5")
        assert (seat.app.screen.form.tests.value, seat.app.screen.form.note.value) == ("mri", "claustrophobic")  # type: ignore[attr-defined]

    sit(clinic.context, play)
