"""One picture of every screen, small and large; `pytest --snapshot-update tests/tui/test_snapshots.py` takes them anew.

What must stay true: days, names and clock are fixed, so that a picture changes only when a screen does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from textual.pilot import Pilot

from bookcli.core import clock
from bookcli.core.db import kernel
from bookcli.core.services import appointments, schedules
from bookcli.tui.app import DeskApp
from tests.clinic import Clinic
from tests.tui.harness import LARGE, SMALL, Seat

DAY = date(2031, 3, 4)
NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
Compare = Callable[..., bool]


@pytest.fixture
def far_day(clinic: Clinic) -> Iterator[Clinic]:
    """The clinic with a day that is the same in every run, while the clocks of the desk stand still."""
    clinic.run("UPDATE test SET window_days = 3650")
    rows = []
    for code, minutes, capacity in (("lab", 20, 4), ("mri-1", 30, 1)):
        (resource,) = clinic.row("SELECT resource_id FROM resource WHERE code = %s", (code,))
        for n in range(8 * 60 // minutes):
            local = datetime.combine(DAY, time(8)) + timedelta(minutes=n * minutes)
            start = clock.to_absolute(local, "Europe/Berlin")
            ends = start + timedelta(minutes=minutes)
            place = {"resource_id": resource, "starts_at": start.isoformat(), "ends_at": ends.isoformat()}
            rows.append({**place, "local_start": local.isoformat(), "capacity": capacity})
    kernel.publish(clinic.owner, rows)
    _fill(clinic)
    clock.set_source(lambda: NOW)
    yield clinic
    clock.set_source(None)


def _fill(clinic: Clinic) -> None:
    """Some bookings, and a closure."""
    for patient, code, n in ((1, "lab", 0), (2, "lab", 0), (3, "lab", 1), (4, "mri-1", 1), (5, "mri-1", 4)):
        slot = _slot(clinic, code, n)
        appointments.book(clinic.context, clinic.request(patient, "blood" if code == "lab" else "mri", slot))
    for patient in (6, 7, 8, 9):
        appointments.book(clinic.context, clinic.request(patient, "blood", _slot(clinic, "lab", 3)))
    noon = clock.to_absolute(datetime.combine(DAY, time(11)), "Europe/Berlin")
    schedules.close(clinic.context, "north", "mri-1", noon, noon + timedelta(hours=1), "Maintenance")


def _slot(clinic: Clinic, code: str, n: int) -> int:
    found = clinic.row(
        "SELECT slot_id FROM slot JOIN resource USING (resource_id) WHERE code = %s AND local_start >= %s"
        " ORDER BY starts_at OFFSET %s LIMIT 1",
        (code, DAY, n),
    )
    return int(found[0])


def picture(compare: Compare, clinic: Clinic, size: tuple[int, int], play: Callable[[Seat], Any]) -> bool:
    """Whether the desk looks as it did, after it was played and has nothing left to do."""

    async def before(pilot: Pilot[None]) -> None:
        assert isinstance(pilot.app, DeskApp)
        seat = Seat(pilot.app, pilot)
        await seat.sees("No slots", "● worker")
        await play(seat)
        await seat.eventually(lambda: seat.app.calls.waited() == 0, "quiet")
        seat.app.screen.refresh(layout=True)
        await pilot.pause()

    return compare(DeskApp(clinic.context), terminal_size=size, run_before=before)


async def board(seat: Seat) -> None:
    await seat.press("d", f"paste:{DAY}", "enter")
    await seat.sees("Tue 04 Mar 2031", "█ 4/4")


async def keys(seat: Seat) -> None:
    await board(seat)  # today would be behind the help, and is another day tomorrow
    await seat.press("question_mark")
    await seat.sees("Keys", "Day after", "bookcli")


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "120x40"])
@pytest.mark.parametrize("play", [board, keys], ids=["board", "help"])
def test_a_screen_looks_as_it_did(
    snap_compare: Compare, far_day: Clinic, size: tuple[int, int], play: Callable[[Seat], Any]
) -> None:
    assert picture(snap_compare, far_day, size, play)
