"""The day board, by keys pressed and text seen, on the real database."""

from __future__ import annotations

from tests.clinic import Clinic
from tests.tui.harness import SMALL, Seat, sit


def test_the_board_shows_how_full_every_slot_is(clinic: Clinic) -> None:
    from bookcli.core.services import appointments

    slot = clinic.slot("blood", 1, 2)
    for patient in (1, 2):
        appointments.book(clinic.context, clinic.request(patient, "blood", slot))

    async def play(seat: Seat) -> None:
        await seat.sees("Clinic North", "tests")
        await seat.press("]")
        await seat.sees("Laboratory", "MRI 1", "09:00")
        (line,) = [line for line in seat.text().splitlines() if line.strip().startswith("09:00")]
        assert "2/4" in line
        assert "0/1" in line

    sit(clinic.context, play, SMALL)
