"""A clinic whose every name and note is hostile, on every view and in every dialog: shown, and never obeyed.

A new view is visited by itself; what has to be pressed there before a name is seen is a line in `SHOWN_AT`.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from bookcli.core import clock
from bookcli.core.model.pending import booking
from bookcli.core.model.text import visible
from bookcli.core.services import appointments, pending, schedules
from bookcli.tui.screens import VIEWS
from tests.clinic import Clinic
from tests.tui.harness import HOSTILE, SMALL, Seat, sit
from tests.tui.test_pending import keep

Shows = tuple[tuple[str, ...], str]
"""Keys, and what is on the screen after them besides a hostile name."""
SHOWN_AT: dict[str, Shows] = {
    "board": (("]",), "08:00"),
    "agenda": ((), "● booked"),
    "patients": (("text:P1", "enter"), "Number    P1"),
    "pending": (("enter",), "Asked     just now, by"),
    "messages": (("v",), "what it would say now"),
}
OVER_THE_BOARD: tuple[Shows, ...] = (
    (("home", "enter"), "P1"),
    (("enter",), "y Copy"),
    (("x",), "Cancel it"),
    (("escape", "m"), "◆ Moving"),
    (("m",), "From "),
    (("escape", "escape", "s"), "south"),
    (("escape", "f"), "every test"),
    (("escape", "slash", "text:P1"), "number P1"),
    (("escape", "right", "end"), "✕ closed"),
    (("home", "n", "text:P2"), "nothing ahead"),
    (("enter",), "no birth date"),
    (("text:mri", "enter"), "◐ Held 4:5"),
    (("enter",), "✔ BOOKED"),
)
OVER_A_PATIENT: tuple[Shows, ...] = (
    (("e",), "Birth date"),
    (("escape", "g", "text:P2", "enter"), "goes "),
)


@pytest.fixture
def hostile(clinic: Clinic, request: pytest.FixtureRequest) -> Clinic:
    """The clinic: somebody is booked today and tomorrow, the last slots of the MRI are closed, one request is kept."""
    name = str(request.param)
    for index in (9, 0):
        booked = appointments.book(clinic.context, clinic.request(1, "blood", clinic.slot("blood", 1, index)))
        if index:
            clinic.happens_today(booked.verdicts[0].reference or "")
    (ends,) = clinic.row("SELECT ends_at FROM slot WHERE slot_id = %s", (clinic.slot("mri", 1, 15),))
    schedules.close(clinic.context, "north", "mri-1", ends - timedelta(hours=1), ends, "Maintenance")
    for table, columns in (
        ("patient", ("name", "note")),
        ("site", ("name",)),
        ("resource", ("name",)),
        ("test", ("name", "preparation")),
        ("appointment", ("note",)),
        ("closure", ("reason",)),
    ):
        for column in columns:
            clinic.run(f"UPDATE app.{table} SET {column} = %s", (name,))
    asked = booking(clinic.request(3, "mri", clinic.slot("mri", 1, 1)))
    keep(clinic, pending.Kept(asked, clock.now(), name, "desk", "elsewhere", "another"))
    object.__setattr__(clinic.context.settings, "mail_from", "Clinic <appointments@clinic.example>")
    return clinic


async def shows(seat: Seat, begins: str, *steps: Shows) -> None:
    """Presses keys, step by step, and sees words and the beginning of the hostile name, and nothing of its power."""
    for keys, words in steps:
        await seat.press(*keys)
        await seat.sees(words, begins)
        assert not {"\x1b", "\u202e"} & set(seat.text())


AT_ONCE = ["".join(HOSTILE[n] for n in some) for some in ((0, 3, 4), (1, 2, 6), (5,))]
"""Several in one name, as many as fit a line of a small screen; each alone is in `make faults`."""


@pytest.mark.parametrize(
    ("hostile", "name"),
    [(name, name) for name in AT_ONCE] + [pytest.param(name, name, marks=pytest.mark.soak) for name in HOSTILE],
    ids=ascii,
    indirect=["hostile"],
)
def test_no_name_is_obeyed_on_any_view_or_in_any_dialog(hostile: Clinic, name: str) -> None:
    begins = visible(name)[:4]

    async def scene(seat: Seat) -> None:
        await seat.sees("▃ 1/4", begins)
        for entry in VIEWS:
            await seat.press(entry.key)
            await seat.eventually(lambda entry=entry: seat.app.current_mode == entry.id, entry.title)  # type: ignore[misc]
            await shows(seat, begins, SHOWN_AT.get(entry.id, ((), entry.title)))
            if entry.id == "patients":
                await shows(seat, begins, *OVER_A_PATIENT)
                await seat.press("escape")
            await seat.press("escape")
        await seat.press("1")
        await shows(seat, begins, ((), "08:00"), *OVER_THE_BOARD)

    sit(hostile.context, scene, SMALL)


def test_what_is_pasted_into_the_quick_line_is_not_obeyed(clinic: Clinic) -> None:
    async def scene(seat: Seat) -> None:
        await seat.sees("No slots")
        await seat.press("slash")
        for name in HOSTILE:
            await seat.press(f"paste:P1 {name}")
            await seat.sees("P1")
            assert not {"\x1b", "\u202e"} & set(seat.text())
            await seat.press("ctrl+u")

    sit(clinic.context, scene)
