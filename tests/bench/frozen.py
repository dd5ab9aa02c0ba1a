"""The desk while PostgreSQL is frozen, every process of it: from a key in a terminal to the answer painted there.

Nothing is simulated: `bookcli tui` runs in a pseudo-terminal of 120 x 40 and waits for a server that was sent SIGSTOP,
with as many questions on their way as it has threads.
"""

from __future__ import annotations

import itertools
import string
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg

from bookcli.core import clock
from bookcli.core.adapters.spool import Spool
from bookcli.core.model.pending import booking
from bookcli.core.model.requests import BookingRequest, Place, new_key
from bookcli.core.services import appointments, pending
from tests.bench import ground
from tests.faults import outages
from tests.tui import terminal
from tests.tui.terminal import Terminal

COLUMNS, ROWS = 120, 40
TURNS = 20
YARDSTICK = 100
ARROWS = ("down", "up")
WAITS = " s of "
BODY = range(3, ROWS - 3)
"""Lines that only a key paints while nothing answers: above are title, banner and heading, below keys and clock."""
Painted = Callable[[str, set[int]], bool]


@dataclass(frozen=True)
class Screen:
    """A screen: what opens it, and is there then, key by key; `asks` for a question that will hang; what is measured.

    `line` leads to a line to type in and `leaves` back from it, both empty where there is none; `tabs` go elsewhere and
    back.
    """

    name: str
    opens: tuple[tuple[str, str], ...]
    asks: str
    line: str
    leaves: str
    tabs: tuple[str, str]


SCREENS = (
    Screen("board", (("1", "1/100"),), "r", "/", "escape", ("5", "1")),
    Screen("waiting room", (("2", "● booked"),), "r", "w", "escape", ("1", "2")),
    Screen(
        "patients", (("3", "Who is it?"), ("text:B1", "born ?"), ("enter", "● booked")), "r", "w", "escape", ("1", "3")
    ),
    Screen("pending", (("4", "waiting, not booked"),), "s", "", "", ("1", "4")),
    Screen("messages", (("5", "◷ waiting"),), "r", "", "", ("1", "5")),
    Screen("booking dialog", (("b", "for whoever"), ("text:B2", "born ?")), "text:0", "end", "", ("tab", "shift+tab")),
)


def measure(place: ground.Ground, database: str) -> Iterator[str]:
    """A line for every screen; the database has the rows of the bench."""
    _fill(place, database)
    where = {"BOOKCLI_DATABASE_URL": place.desk_dsn(database), "BOOKCLI_HOME": str(place.paths.data.parent)}
    for screen in SCREENS:
        with terminal.opened("tui", size=(COLUMNS, ROWS), **where) as desk:
            _opens(desk, screen)
            before = [1000 * seconds for seconds in _moves(desk, screen)]
            with outages.frozen(place, ""):
                times = [1000 * seconds for seconds in _answers(desk, screen)]
        yield (
            f"desk, PostgreSQL frozen, {screen.name}: a key is painted after {ground.median(times):.0f} ms, worst "
            f"{max(times):.0f} of {len(times)} (yardstick {YARDSTICK}); before that {ground.median(before):.0f}, worst "
            f"{max(before):.0f} of {len(before)}"
        )


def _fill(place: ground.Ground, database: str) -> None:
    """Thirty appointments, twenty of them today and ten of one patient, each with its message; ten kept requests."""
    with place.context(database) as context:
        slots = [1 + 101 * n for n in range(30)]
        for n, slot in enumerate(slots):
            patient = "B1" if n < 10 else f"B{n}"
            outcome = appointments.book(context, BookingRequest(patient, "bench", Place(slot=slot), new_key()))
            assert outcome.outcome == "booked", outcome
        for n in range(10):
            request = BookingRequest(f"B{n + 1}", "bench", Place(slot=2), new_key())
            what = pending.Kept(booking(request), clock.now(), "bench", "desk", "elsewhere", "another")
            Spool(context.paths.spool).add(what.asked.key, what.document())
    with psycopg.connect(place.dsn(database), autocommit=True) as owner:
        today = "UPDATE app.slot SET local_start = now() AT TIME ZONE 'UTC' WHERE slot_id = %s"
        owner.cursor().executemany(today, [(slot,) for slot in slots[10:]])


def _opens(desk: Terminal, screen: Screen) -> None:
    desk.sees("bench bench", " worker")
    for key, words in screen.opens:
        desk.press(key)
        desk.sees(words)
        desk.rests(0.5)


def _answers(desk: Terminal, screen: Screen) -> Iterator[float]:
    desk.press(screen.asks)
    desk.sees(WAITS)
    yield from _paints(desk, ARROWS)
    if screen.line:
        yield from _letters(desk, screen)
    yield from _paints(desk, screen.tabs, screen.leaves)


def _moves(desk: Terminal, screen: Screen) -> Iterator[float]:
    yield from _paints(desk, ARROWS)
    yield from _paints(desk, screen.tabs, screen.leaves)


def _paints(desk: Terminal, keys: tuple[str, str], leaves: str = "") -> Iterator[float]:
    """`leaves` is pressed before the first of two keys, in case that a line to type in has the focus."""
    for key in itertools.islice(itertools.cycle(keys), TURNS):
        if leaves and key == keys[0]:
            desk.press(leaves)
            desk.rests(0.3)  # escape and a key at once are another key
        yield _timed(desk, key, lambda _, painted: bool(painted & set(BODY)))


def _letters(desk: Terminal, screen: Screen) -> Iterator[float]:
    desk.press(screen.line)
    desk.rests()
    desk.press("text:zq")
    for n in range(TURNS):
        typed = "zq" + string.ascii_lowercase[: n + 1]
        yield _timed(desk, typed[-1], lambda text, _, typed=typed: typed in text)
    if screen.leaves:
        desk.press(screen.leaves)
        desk.rests(0.5)


def _timed(desk: Terminal, key: str, painted: Painted) -> float:
    """Seconds from a key to its answer, once the screen has come to rest from the key before."""
    desk.rests()
    began = time.perf_counter()
    desk.press(key)
    desk.waits(painted, f"an answer to {key}")
    return time.perf_counter() - began
