"""The book dialog, by keys pressed and text seen, on the real database."""

from __future__ import annotations

from bookcli.core.services import appointments
from tests.clinic import Clinic
from tests.tui.harness import SMALL, Seat, sit


async def at_tomorrow(seat: Seat) -> None:
    """The board of the first day with slots, the cursor on the first slot of the laboratory."""
    await seat.sees("No slots")
    await seat.press("]")
    await seat.sees("Laboratory", "08:00")


async def booking_mri(seat: Seat) -> None:
    """The book dialog of the first slot of the MRI."""
    await at_tomorrow(seat)
    await seat.press("right", "n")
    await seat.sees("Patient", "mri-1", "mri-contrast")


def statuses(clinic: Clinic) -> list[tuple[str, ...]]:
    """(test, status) of every appointment."""
    return clinic.rows("SELECT t.code, a.status::text FROM appointment a JOIN test t USING (test_id) ORDER BY 1, 2")


def test_a_slot_of_the_board_is_booked_for_a_patient_found_by_typing(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await booking_mri(seat)
        await seat.press("text:muller")
        await seat.sees("Ana Müller", "P1", "nothing ahead")
        await seat.press("enter", "text:mri", "enter")
        await seat.sees("◐ Held 4:5", "Read aloud  No metal.")
        assert statuses(clinic) == [("mri", "pending")]
        await seat.press("text:claustrophobic", "ctrl+s")
        await seat.sees("BOOKED", "Ana Müller P1", "No metal.")
        assert clinic.row("SELECT note, status::text FROM appointment") == ("claustrophobic", "booked")
        await seat.press("enter")
        await seat.sees("█ 1/1")

    sit(clinic.context, play, SMALL)
