"""One picture of every screen, small and large; `pytest --snapshot-update tests/tui/test_snapshots.py` takes them anew.

What must stay true: days, names and clock are fixed, so that a picture changes only when a screen does; it is taken,
and a dialog is opened above another screen, only when that screen stands still.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from bookcli.core import clock
from bookcli.core.adapters.spool import Spool
from bookcli.core.db import kernel
from bookcli.core.model.pending import Kept
from bookcli.core.model.pending import booking as kept
from bookcli.core.model.requests import BookingRequest, Place
from bookcli.core.services import agenda, appointments, notifications, schedules
from bookcli.tui import app
from bookcli.tui.app import DeskApp
from bookcli.tui.holding import Held
from bookcli.tui.screens.appointment import AppointmentScreen
from bookcli.tui.screens.booking import Booking
from bookcli.tui.widgets import frame
from tests.clinic import Clinic
from tests.tui.harness import LARGE, SMALL, Seat

DAY = date(2031, 3, 4)
NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
TEN_O_CLOCK = datetime(2031, 3, 4, 9, tzinfo=UTC)
Compare = Callable[..., bool]


@pytest.fixture
def far_day(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clinic]:
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
    _stop(monkeypatch)
    _let_happen(monkeypatch)
    yield clinic
    clock.set_source(None)


def _stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """What changes by itself does not: holds, the cursor, the lights after the first look, how long an answer takes."""
    monkeypatch.setattr(Held, "seconds", 299.0)
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _: None)
    monkeypatch.setattr(app, "LOOK_SECONDS", 3600.0)
    monkeypatch.setattr(frame, "PATIENT_SECONDS", 3600.0)


def _let_happen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the database would date now: somebody has arrived, a message has failed."""
    day, look = agenda.day, notifications.to_look_after
    came = {"status": "arrived", "arrived_at": TEN_O_CLOCK - timedelta(minutes=25), "waiting_minutes": 25}
    failed = {"state": "failed", "channel": "email", "reason": "smtp-away"}
    monkeypatch.setattr(
        agenda, "day", lambda *of: [{**row, **(came if row["patient"] == "P1" else {})} for row in day(*of)]
    )
    monkeypatch.setattr(
        notifications,
        "to_look_after",
        lambda *of: [{**row, "due_at": NOW, **({} if n else failed)} for n, row in enumerate(look(*of))],
    )


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
        await still(seat, "No slots", "● worker", "n Book")
        await play(seat)

    return compare(DeskApp(clinic.context), terminal_size=size, run_before=before)


async def still(seat: Seat, *words: str) -> None:
    """Returns when the words are on the screen, nothing is on its way, and it was drawn twice in the same way."""
    await seat.sees(*words)
    drawn = [""]

    def same() -> bool:
        asking = bool(seat.app.calls._running)
        drawn.append("" if asking else seat.app.export_screenshot())
        return not asking and drawn[-1] == drawn[-2]

    await seat.eventually(same, f"still: {words}")


async def board(seat: Seat) -> None:
    await seat.press("d")
    await still(seat, "Date")
    await seat.press(f"paste:{DAY}", "enter")
    await still(seat, "Tue 04 Mar 2031", "█ 4/4", "08:00–08:20", "⏎ Open")


async def keys(seat: Seat) -> None:
    await board(seat)  # today would be behind the help, and is another day tomorrow
    await seat.press("question_mark")
    await still(seat, "Keys", "Day after", "bookcli")


async def booking(seat: Seat) -> None:
    await board(seat)
    await seat.press("home", "right", "n")
    await still(seat, "mri · mri-contrast", "^n New patient")
    await seat.press("text:cohen דוד", "ctrl+u", "text:P10")
    await seat.sees("김민준")
    await seat.takes_patient()
    await seat.press("text:mri", "enter")
    await still(seat, "◐ Held 4:59", "Read aloud", "30 min  mri")
    screen = seat.app.screen
    assert isinstance(screen, Booking) and screen._holding.held is not None
    screen._holding.held = replace(screen._holding.held, until=NOW + timedelta(minutes=5))
    screen._say_state()
    await still(seat, "until 10:35")


async def new_patient(seat: Seat) -> None:
    await board(seat)
    await seat.press("b")
    await still(seat, "blood · mri · mri-contrast", "^n New patient")
    await seat.press("ctrl+n")
    await still(seat, "empty: the next one is given", "^s Save")
    await seat.press("text:ana muller", "tab", "text:1980-13-40", "tab")
    await still(seat, "May be there already", "▲", "The birth date is not", "^t Take that one")


async def quick(seat: Seat) -> None:
    await board(seat)
    await seat.press("slash")
    await still(seat, "^n New patient")
    await seat.press(f"paste:zolc, mri+blood, {DAY} am")
    await still(seat, "Łukasz Żółć", "mri 09:00 mri-1")


async def appointment(seat: Seat) -> None:
    await board(seat)
    await seat.press("slash")
    await still(seat, "^n New patient")
    await seat.press("paste:QD3G-6Z9H", "enter")
    await still(seat, "● booked", "History", "confirmation waiting", "p Print")
    screen = seat.app.screen
    assert isinstance(screen, AppointmentScreen) and screen._whole is not None
    whole = screen._whole
    steps = tuple({**one, "at": NOW} for one in whole.steps)
    messages = tuple({**one, "due_at": NOW} for one in whole.messages)
    screen._shown(replace(whole, steps=steps, messages=messages))
    await still(seat, "25 Nov 10:30 book", "25 Nov 10:30 ◷")


async def cancelling(seat: Seat) -> None:
    await appointment(seat)
    await seat.press("x")
    await still(seat, "Cancel it", "oth-oerr")


async def moving_on_board(seat: Seat) -> None:
    await appointment(seat)
    await seat.press("m")
    await still(seat, "◆ Moving", "◆", "m Nearest")


async def moving(seat: Seat) -> None:
    await moving_on_board(seat)
    await seat.press("m")
    await still(seat, "From Tue 04 Mar 2031", "min  blood", "esc Back")


async def waiting_room(seat: Seat) -> None:
    clock.set_source(lambda: TEN_O_CLOCK)
    await seat.press("2")
    await still(seat, "▶ arrived", "25 min", "● booked", "a Arrive")


async def patients(seat: Seat) -> None:
    await seat.press("3", "text:an")
    await still(seat, "Ana Müller")
    await seat.takes_patient()
    await still(seat, "Tue 04 Mar 2031")


async def edit_patient(seat: Seat) -> None:
    await patients(seat)
    await seat.press("e")
    await still(seat, "^s Save")


async def pending(seat: Seat) -> None:
    spool = Spool(seat.app.context.paths.spool)
    for n, minutes in ((3, 9), (4, 4)):
        wanted = BookingRequest(f"P{n}", "mri", Place(site="north", start=NOW + timedelta(days=1)), key=UUID(int=n))
        at = NOW - timedelta(minutes=minutes)
        spool.add(wanted.key, Kept(kept(wanted), at, "tests", "desk", "elsewhere", "another").document())
    await seat.press("4")
    await still(seat, "2 waiting", "4 min ago", "s Send now")


async def messages(seat: Seat) -> None:
    await seat.press("5")
    await still(seat, "▲ failed", "◷ waiting", "t Send now")


async def schedules_view(seat: Seat) -> None:
    hours = {"site": "north", "weekdays": "mon-fri", "opens": "8", "closes": "16"}
    for resource, minutes, capacity in (("mri-1", "30", "1"), ("lab", "20", "4")):
        schedules.add(seat.app.context, {**hours, "resource": resource, "slot_minutes": minutes, "capacity": capacity})
    await seat.press("6")
    await still(seat, "mon-fri", "1 closed ahead", "Maintenance", "c Close")


async def closing(seat: Seat) -> None:
    await schedules_view(seat)
    await seat.press("down", "c")
    await still(seat, "Close for a time", "mri-1")
    await seat.press(f"paste:{DAY} 8:00", "enter", f"paste:{DAY} 10:30", "enter")
    await seat.press("paste:repair", "enter")
    await still(seat, "Close mri-1", "Наталья Иванова", "Close only")


async def reports(seat: Seat) -> None:
    await seat.press("7")
    await still(seat, "How full")
    await seat.press("d", f"paste:{DAY}", "enter")
    await still(seat, "Laboratory", "09:00" if seat.app.size.width > 100 else "09")


async def sign_in(seat: Seat) -> None:
    await board(seat)
    await seat.press("ctrl+l")
    await still(seat, "Password")


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "120x40"])
@pytest.mark.parametrize(
    "play",
    [
        *(board, keys, booking, new_patient, quick, appointment, cancelling, moving, moving_on_board),
        *(waiting_room, patients, edit_patient, pending, messages, sign_in),
        *(schedules_view, closing, reports),
    ],
    ids=lambda play: play.__name__.replace("_", "-").replace("keys", "help").removesuffix("-view"),
)
def test_a_screen_looks_as_it_did(
    snap_compare: Compare, far_day: Clinic, size: tuple[int, int], play: Callable[[Seat], Any]
) -> None:
    assert picture(snap_compare, far_day, size, play)
