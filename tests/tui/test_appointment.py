"""The appointment screen, by keys pressed and text seen, on the real database."""

from __future__ import annotations

from pathlib import Path

from bookcli.core.services import appointments
from tests.clinic import Clinic
from tests.faults import outages
from tests.servers import Server
from tests.tui.harness import SMALL, Seat, sit


def booked(clinic: Clinic, patient: int = 1, test: str = "mri", index: int = 0) -> str:
    """The reference of an appointment of the first day."""
    outcome = appointments.book(clinic.context, clinic.request(patient, test, clinic.slot(test, 1, index)))
    return outcome.verdicts[0].reference or ""


def status(clinic: Clinic, reference: str) -> str:
    """What an appointment is."""
    return str(
        clinic.row("SELECT status::text FROM appointment WHERE app.reference_of(appointment_id) = %s", (reference,))[0]
    )


async def opened(seat: Seat, reference: str) -> None:
    """The appointment, opened by the quick line."""
    await seat.sees("? Help", "● worker")
    await seat.press("slash")
    await seat.sees("Book in one line")
    await seat.press(f"text:{reference}", "enter")
    await seat.sees(reference, "p Print")


def test_all_facts_history_and_messages_are_there(clinic: Clinic) -> None:
    reference = booked(clinic)

    async def play(seat: Seat) -> None:
        await opened(seat, reference)
        await seat.sees("● booked", "Ana Müller  P1", "08:00–08:30", "mri-1, Clinic North", "No metal.")
        await seat.sees("History", "Messages", "book, tests", "◷ confirmation waiting")
        print(seat.text())

    sit(clinic.context, play, SMALL)


def test_it_is_cancelled_with_a_reason_and_taken_back(clinic: Clinic) -> None:
    reference = booked(clinic)

    async def play(seat: Seat) -> None:
        await opened(seat, reference)
        await seat.press("x")
        await seat.sees("Cancel " + reference, "Keep")
        await seat.press("enter")
        await seat.misses("Cancel it")
        assert status(clinic, reference) == "booked"
        await seat.press("x")
        await seat.sees("Keep")
        await seat.sees("The patient asked, or is ill", "Clinic: machine broken", "Booked by mistake")
        await seat.misses("member terminated")
        await seat.press("up", "down", "down", "enter", "enter")
        await seat.sees("✕ cancelled", "Equipment maintenance")
        assert clinic.row("SELECT reason FROM appointment") == ("maint",)
        await seat.press("u")
        await seat.sees("● booked", "Taken back: cancel")
        assert status(clinic, reference) == "booked"

    sit(clinic.context, play, SMALL)


def test_every_other_reason_is_found_by_typing(clinic: Clinic) -> None:
    reference = booked(clinic)

    async def play(seat: Seat) -> None:
        await opened(seat, reference)
        await seat.press("x")
        await seat.sees("Keep")
        await seat.press("down", "text:no int", "enter", "right", "right")
        await seat.misses("Booked by mistake")
        await seat.sees("Other: no interpreter available")
        assert status(clinic, reference) == "booked"
        await seat.press("enter")
        await seat.sees("✕ cancelled")
        assert clinic.row("SELECT reason FROM appointment") == ("oth-int",)

    sit(clinic.context, play, SMALL)


def test_without_a_reason_nothing_is_cancelled(clinic: Clinic) -> None:
    reference = booked(clinic)

    async def play(seat: Seat) -> None:
        await opened(seat, reference)
        await seat.press("x")
        await seat.sees("Keep")
        await seat.press("slash", "text:zzz")
        await seat.misses("Booked by mistake")
        await seat.press("tab", "tab", "tab", "enter")
        await seat.sees("Cancel it")
        await seat.press("escape")
        await seat.misses("Cancel it")
        assert status(clinic, reference) == "booked"

    sit(clinic.context, play, SMALL)


def test_it_is_moved_to_one_of_the_nearest_free_places_and_keeps_its_reference(clinic: Clinic) -> None:
    reference = booked(clinic)

    async def play(seat: Seat) -> None:
        await opened(seat, reference)
        await seat.press("m")
        await seat.sees("◆ Moving", "m Nearest")
        await seat.press("m")
        await seat.sees("Move", "mri 08:30 mri-1", "Enter moves it")
        await seat.press("shift+tab", "text:31 feb")
        await seat.sees("31 feb is no day.")
        await seat.press("ctrl+u")
        await seat.sees("mri 08:30 mri-1")
        await seat.press("enter", "enter")
        await seat.hears(f"{reference} was moved to", "08:30", "u takes it back")
        assert clinic.row("SELECT slot_id FROM appointment") == (clinic.slot("mri", 1, 1),)
        await opened(seat, reference)
        await seat.sees("08:30–09:00", "reschedule")
        await seat.press("u")
        await seat.sees("08:00–08:30", "Taken back: reschedule")

    sit(clinic.context, play, SMALL)


def test_the_steps_of_the_day_are_a_key_each_and_each_is_taken_back(clinic: Clinic) -> None:
    reference = booked(clinic)
    clinic.happens_today(reference)

    async def play(seat: Seat) -> None:
        await opened(seat, reference)
        await seat.press("a")
        await seat.sees("▶ arrived", "has arrived. u takes it back.")
        await seat.press("i")
        await seat.sees("▶ checked in")
        await seat.press("f")
        await seat.sees("Is it done already?", "It only begins on", "at 08:00.")
        await seat.press("escape")
        await seat.misses("Is it done already?")
        await seat.press("f", "y")
        await seat.sees("✔ done")
        for step in ("▶ checked in", "▶ arrived", "● booked"):
            await seat.press("u")
            await seat.sees(step)

    sit(clinic.context, play)
    assert status(clinic, reference) == "booked"


def test_what_its_status_or_its_day_does_not_allow_has_no_key(clinic: Clinic) -> None:
    reference = booked(clinic)

    async def play(seat: Seat) -> None:
        await opened(seat, reference)
        await seat.sees("m Move", "x Cancel …")
        assert not any(one in seat.text() for one in ("Fulfilled", "a Arrived", "i Check in", "w No-show"))
        await seat.press("f", "a", "i", "w", "r")
        await seat.pilot.pause()
        await seat.eventually(lambda: not seat.app.calls._running, "everything answered")

    sit(clinic.context, play)
    assert status(clinic, reference) == "booked"


def test_what_is_held_is_booked_or_given_back_here(clinic: Clinic) -> None:
    held = appointments.hold(clinic.context, clinic.request(1, "mri", clinic.slot("mri"))).verdicts[0].reference or ""

    async def play(seat: Seat) -> None:
        await opened(seat, held)
        await seat.sees("◐ held", "until")
        await seat.press("c")
        await seat.sees("● booked", "is BOOKED")

    sit(clinic.context, play)


def test_a_slip_goes_through_the_printing_command_and_nowhere_else(clinic: Clinic, tmp_path: Path) -> None:
    reference, paper = booked(clinic), tmp_path / "paper"
    object.__setattr__(clinic.context.settings, "print_command", f"tee {paper}")

    async def play(seat: Seat) -> None:
        await opened(seat, reference)
        await seat.press("p")
        await seat.sees(f"The slip of {reference} is at the printer.")
        slip = paper.read_text()
        assert "Ana Müller  P1" in slip
        assert "No metal." in slip
        assert f"Reference {reference}" in slip
        object.__setattr__(seat.app.context.settings, "print_command", "false")
        await seat.press("p")
        await seat.sees("The printer does not answer.")
        await seat.press("y")
        await seat.sees(f"Copied {reference}.")
        assert seat.app.clipboard == reference

    sit(clinic.context, play)


def test_what_was_done_before_the_start_is_taken_back_after_a_question(clinic: Clinic) -> None:
    reference = booked(clinic)

    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        await seat.press("u")
        await seat.sees(f"Take back: book {reference}?", "mri on", "Keep")
        await seat.press("enter")
        await seat.misses("Take back:")
        assert status(clinic, reference) == "booked"
        await seat.press("u")
        await seat.sees("Take back:")
        await seat.press("y")
        await seat.hears("Taken back: book", "not booked any more")
        await seat.press("u")
        await seat.sees("There is nothing to take back.")

    sit(clinic.context, play)
    assert status(clinic, reference) == "entered-in-error"


def test_a_message_that_has_gone_already_is_said_when_it_is_taken_back(clinic: Clinic) -> None:
    reference = booked(clinic)
    clinic.run("UPDATE app.notification SET sent_at = now(), channel = 'email'")

    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        await seat.press("u")
        await seat.sees("Take back:")
        await seat.press("y")
        await seat.sees("may have been told already")

    sit(clinic.context, play)
    assert status(clinic, reference) == "entered-in-error"


def test_while_the_database_is_frozen_nothing_is_changed_and_it_is_said(
    clinic: Clinic, server: Server, database: str
) -> None:
    reference = booked(clinic)
    object.__setattr__(clinic.context.settings, "deadline", "1")

    async def play(seat: Seat) -> None:
        await opened(seat, reference)
        with outages.frozen(server, database):
            await seat.press("x")
            await seat.sees("Keep", "Cancel it")
            await seat.press("right", "enter")
            await seat.misses("Cancel it")
            await seat.press("y")
            await seat.sees(f"Copied {reference}.")
            await seat.eventually(lambda: any(one.severity == "error" for one in seat.app._notifications), "said")
            assert "✕ cancelled" not in seat.text()
        await seat.press("r")
        await seat.sees("History")

    sit(clinic.context, play)
