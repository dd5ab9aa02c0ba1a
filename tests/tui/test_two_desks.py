"""Two desks in two terminals and a command, on one database and one Valkey: what one does the others are shown."""

from __future__ import annotations

import subprocess

from tests.clinic import Clinic
from tests.tui import terminal
from tests.tui.terminal import BOOKCLI, Terminal
from tests.valkeys import Valkey


def at_tomorrow(desk: Terminal, clinic: Clinic) -> None:
    """The board of the first day with slots, the cursor on its first one."""
    desk.sees("No slots", "● worker")
    desk.press("]")
    desk.sees("Laboratory", "08:00–08:30 Laboratory", "0/4")


def line(desk: Terminal, begins: str) -> str:
    """The line of the board that begins with a time of day."""
    return next((one for one in desk.text().splitlines() if one.strip(" ▸").startswith(begins)), "")


def test_what_one_desk_or_a_command_does_the_other_desks_show(clinic: Clinic, valkey: Valkey) -> None:
    with terminal.opened("tui") as one, terminal.opened("tui") as two:
        for desk in (one, two):
            at_tomorrow(desk, clinic)

        where = ["--site", "north", "--at", f"{clinic.day(1)} 08:00"]
        said = subprocess.run(
            [BOOKCLI, "book", "--patient", "P1", "--test", "blood", *where], capture_output=True, text=True, check=True
        )
        assert "\tbooked\t" in said.stdout
        for desk in (one, two):
            desk.sees("▃ 1/4", "3 of 4 free")

        one.press("right", "n")
        one.sees("mri · mri-contrast")
        one.press("text:silva")
        one.sees("P2")
        one.press("enter")
        one.sees("no birth date")
        one.press("text:mri", "enter")
        one.sees("◐ Held 4:5")
        two.sees("█ 1/1 ◐")
        one.press("enter")
        one.sees("✔ BOOKED")
        one.press("enter")
        for desk in (one, two):
            desk.misses("◐")
            desk.sees("█ 1/1")

        two.press("enter")
        two.sees("Ana Müller")
        two.press("enter")
        two.sees("History")
        two.press("x")
        two.sees("Cancel it")
        two.press("right", "enter")
        two.sees("✕ cancelled")
        one.misses("▃ 1/4")
        assert "0/4" in line(one, "08:00") and "█ 1/1" in line(one, "08:00")
    assert clinic.sound()
    assert clinic.rows("SELECT status::text FROM appointment ORDER BY 1") == [("booked",), ("cancelled",)]
