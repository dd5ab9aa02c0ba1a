"""Who sits at the desk: signing in, locking, and somebody else who takes over."""

from __future__ import annotations

import contextlib
import threading

import pytest

from bookcli.core.context import Context
from bookcli.core.db import engine
from bookcli.core.services import appointments, patients, staff
from tests.clinic import Clinic
from tests.faults import outages
from tests.people import FIRST_PASSWORD, PASSWORD, another_desk, cheap, hire
from tests.servers import Server
from tests.tui.harness import SMALL, Seat, sit

__all__ = ["cheap"]
pytestmark = pytest.mark.usefixtures("cheap")


async def types(seat: Seat, name: str, password: str) -> None:
    await seat.sees("Sign in", "Password")
    await seat.press(f"text:{name}", "enter", f"paste:{password}", "enter")


def test_nobody_sees_the_board_before_they_have_signed_in(clinic: Clinic, owner: engine.Connection) -> None:
    hire(clinic.context, owner, "ana")

    async def play(seat: Seat) -> None:
        await seat.sees("Sign in")
        assert "Clinic North" not in seat.text()
        await types(seat, "ana", "not the password")
        await seat.sees("The name or the password is wrong.")
        assert "not the password" not in seat.text()
        await seat.press("escape", f"paste:{PASSWORD}", "enter")
        await seat.sees("Clinic North", "ana")

    with another_desk(clinic.context) as desk:
        sit(desk, play, SMALL)
        assert desk.another().staff == "ana"


def test_a_first_password_is_changed_at_the_first_sign_in(clinic: Clinic) -> None:
    staff.add(clinic.context, "ben", FIRST_PASSWORD)

    async def play(seat: Seat) -> None:
        await types(seat, "ben", FIRST_PASSWORD)
        await seat.sees("Choose a password of your own")
        await seat.press("text:short", "enter", "text:short", "enter")
        await seat.sees("10 to 256 characters")
        await seat.press("escape", "ctrl+u", f"paste:{PASSWORD}", "enter", "ctrl+u", "paste:another one", "enter")
        await seat.sees("The two are not the same.")
        await seat.press("ctrl+u", f"paste:{PASSWORD}", "enter")
        await seat.sees("Clinic North", "ben")

    with another_desk(clinic.context) as desk:
        sit(desk, play)
        staff.sign_in(desk, "ben", PASSWORD)


def _at_desk(clinic: Clinic, owner: engine.Connection) -> Context:
    """A desk where Ana is signed in; Ben works here too."""
    for name in ("ana", "ben"):
        hire(clinic.context, owner, name)
    desk = another_desk(clinic.context)
    staff.sign_in(desk, "ana", PASSWORD)
    return desk


def test_a_lock_hides_everything_and_gives_it_back_to_the_same_person(clinic: Clinic, owner: engine.Connection) -> None:
    appointments.book(clinic.context, clinic.request(1, "blood", clinic.slot("blood")))

    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        await seat.press("]")
        await seat.sees("08:00")
        await seat.press("enter")
        await seat.sees("Ana Müller")
        await seat.press("escape", "down", "d", "text:next mon")
        await seat.press("escape", "ctrl+l")
        await seat.sees("Locked", "ana")
        assert "Laboratory" not in seat.text()
        await seat.eventually(lambda: clinic.row("SELECT count(*) FROM app.session WHERE locked_at IS NOT NULL")[0])
        await seat.press("escape", "q", "1", "question_mark", "enter")
        await seat.sees("The name or the password is wrong.")
        await seat.press(f"paste:{PASSWORD}", "enter")
        await seat.misses("Locked")
        await seat.sees("08:30–09:00")

    with _at_desk(clinic, owner) as desk:
        sit(desk, play)


def test_what_was_typed_waits_behind_the_lock_for_the_same_person(clinic: Clinic, owner: engine.Connection) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        await seat.press("d", "text:+4")
        await seat.sees("+4")
        seat.app.action_lock()
        await seat.sees("Locked")
        await seat.press(f"paste:{PASSWORD}", "enter")
        await seat.sees("Go to", "+4")
        await seat.press("text:d", "enter")
        await seat.sees(f"{clinic.day(4):%a %d %b}")

    with _at_desk(clinic, owner) as desk:
        sit(desk, play)


def test_somebody_else_finds_a_clean_desk(clinic: Clinic, owner: engine.Connection) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        await seat.press("]")
        await seat.sees("08:00")
        await seat.press("d", "text:+4")
        await seat.sees("+4")
        seat.app.action_lock()
        await seat.sees("Locked")
        await seat.press("shift+tab", "ctrl+u", "text:ben", "tab", f"paste:{PASSWORD}", "enter")
        await seat.sees("Clinic North", "ben", "today")
        assert "Go to" not in seat.text()
        assert "08:00" not in seat.text()

    with _at_desk(clinic, owner) as desk:
        sit(desk, play)


def test_the_desk_locks_itself_when_nobody_types(
    clinic: Clinic, owner: engine.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("Locked", "ana")

    with _at_desk(clinic, owner) as desk:
        object.__setattr__(desk.settings, "lock_minutes", "0.02")
        sit(desk, play)


def test_a_session_that_was_ended_elsewhere_asks_to_sign_in(clinic: Clinic, owner: engine.Connection) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        staff.revoke(clinic.context, name="ana")
        await seat.sees("Password")
        await seat.press(f"paste:{PASSWORD}", "enter")
        await seat.sees("No slots")

    with _at_desk(clinic, owner) as desk:
        sit(desk, play)


async def locks_before_the_answer(seat: Seat, key: str, frozen: contextlib.AbstractContextManager[None]) -> None:
    """Presses a key that changes something and locks the desk at once; returns when the answer has come."""
    with frozen:
        await seat.press(key)
        # As a lock does, which would tell the database too, and perhaps before the key.
        seat.app.ask_to_sign_in(name="ana")
        await seat.sees("Locked", "ana")
    await seat.eventually(lambda: not seat.app.calls._running, "everything answered")
    await seat.pilot.pause()
    await seat.sees("Locked", "ana")


def test_an_answer_under_the_lock_neither_opens_the_desk_nor_is_lost(
    clinic: Clinic, owner: engine.Connection, server: Server, database: str
) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("? Help", "No slots")
        await seat.press("3", "text:P1")
        await seat.sees("nothing ahead")
        await seat.press("enter")
        await seat.sees("Number    P1")
        await seat.press("e")
        await seat.sees("Edit P1", "^s Save")
        await seat.press("text: Schmidt")
        await seat.sees("Ana Müller Schmidt")
        await locks_before_the_answer(seat, "ctrl+s", outages.frozen(server, database))
        assert patients.get(clinic.context, "P1").name == "Ana Müller Schmidt"
        assert not seat.app._notifications
        assert "P1" not in seat.text()
        await seat.press("q", "escape", "1")
        await seat.sees("Locked")
        await seat.press("escape", f"paste:{PASSWORD}", "enter")
        await seat.misses("Locked", "Edit P1")
        await seat.hears("Patient P1 is changed.")
        await seat.sees("Name      Ana Müller Schmidt")

    with _at_desk(clinic, owner) as desk:
        sit(desk, play)


@pytest.mark.parametrize("who", ["ana", "ben"])
def test_a_booking_under_the_lock_is_shown_to_whoever_booked_and_to_nobody_else(
    clinic: Clinic, owner: engine.Connection, server: Server, database: str, who: str
) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        await seat.press("]")
        await seat.sees("Laboratory", "08:00")
        await seat.press("right", "n")
        await seat.sees("Patient", "mri · mri-contrast")
        await seat.press("text:muller")
        await seat.sees("P1", "nothing ahead")
        await seat.takes_patient()
        await seat.press("text:mri", "enter")
        await seat.sees("◐ Held 4:5")
        await locks_before_the_answer(seat, "enter", outages.frozen(server, database))
        assert clinic.row("SELECT status::text FROM appointment") == ("booked",)
        assert "Müller" not in seat.text()
        await seat.press("shift+tab", "ctrl+u", f"text:{who}", "tab", f"paste:{PASSWORD}", "enter")
        await seat.misses("Locked")
        if who == "ana":
            await seat.sees("BOOKED", "Ana Müller P1")
            await seat.press("enter")
            await seat.misses("BOOKED", "mri · mri-contrast")
        else:
            await seat.sees("Clinic North", "ben", "today")
            assert "BOOKED" not in seat.text()
            assert not seat.app._notifications

    with _at_desk(clinic, owner) as desk:
        sit(desk, play)


def test_an_answer_that_comes_when_somebody_else_sits_there_is_told_to_nobody(
    clinic: Clinic, owner: engine.Connection
) -> None:
    come, told = threading.Event(), []

    def slow(_: Context) -> str:
        assert come.wait(60)
        return "for Ana"

    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        seat.app.calls.ask(seat.app, slow, on_done=told.append, on_error=told.append)
        await seat.press("ctrl+l")
        await seat.sees("Locked")
        await seat.press("shift+tab", "ctrl+u", "text:ben", "tab", f"paste:{PASSWORD}", "enter")
        await seat.sees("Clinic North", "ben", "today")
        come.set()
        await seat.eventually(lambda: not seat.app.calls._running, "everything answered")
        await seat.pilot.pause()
        seat.app.calls.ask(seat.app, lambda _: "for Ben", on_done=told.append)
        await seat.eventually(lambda: told, "told")

    with _at_desk(clinic, owner) as desk:
        sit(desk, play)
    assert told == ["for Ben"]
