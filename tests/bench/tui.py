"""The terminal UI: how soon it paints, how long the event loop draws, memory; and keys at a frozen server.

Start is measured in a pseudo-terminal against a bare Textual app, both sides alternating, first byte to painted words.
"""

from __future__ import annotations

import asyncio
import os
import pty
import resource
import select
import signal
import statistics
import struct
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from fcntl import ioctl

from bookcli.core.model.board import Board, Cell, Column, Hold, Place
from bookcli.tui.app import DeskApp
from bookcli.tui.widgets.board_grid import BoardGrid
from tests.bench import frozen, ground

RUNS = 7
RESOURCES, SLOTS = 12, 40
_BARE = """
from textual.app import App
from textual.widgets import Static
class Bare(App):
    def compose(self):
        yield Static("bare words")
Bare().run()
"""
_MARKS = {"bare": b"bare", "desk": b"Board"}


def measure(place: ground.Ground) -> Iterator[str]:
    """The figures, a line each."""
    place.create("tui")
    yield _start(place)
    yield from asyncio.run(_inside(place))
    yield from frozen.measure(place, "tui")


def _start(place: ground.Ground) -> str:
    environment = {
        **os.environ,
        "TERM": "xterm-256color",
        "BOOKCLI_DATABASE_URL": place.desk_dsn("tui"),
        "BOOKCLI_HOME": str(place.paths.data.parent),
    }
    commands = {"bare": [sys.executable, "-c", _BARE], "desk": [sys.executable, "-m", "bookcli.cli.main", "tui"]}
    figures: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS):
        for name, command in commands.items():
            figures[name].append(first_paint(command, environment, _MARKS[name]))
    desk, bare = ground.median(figures["desk"]), ground.median(figures["bare"])
    return (
        f"desk, start to first paint: {1000 * desk:.0f} ms, a bare Textual app {1000 * bare:.0f} ms, "
        f"ratio {desk / bare:.2f}"
    )


def first_paint(command: Sequence[str], environment: dict[str, str], words: bytes) -> float:
    """Seconds from the start of a process until it has written the words to its terminal."""
    began = time.perf_counter()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], list(command), environment)
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    seen = b""
    try:
        while words not in seen:
            ready, _, _ = select.select([terminal], [], [], 30)
            assert ready, "nothing was painted"
            seen += os.read(terminal, 65536)
        return time.perf_counter() - began
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(terminal)


async def _inside(place: ground.Ground) -> list[str]:
    with place.context("tui") as context:
        app = DeskApp(context)
        async with app.run_test(size=(200, 60)) as pilot:
            await pilot.pause(1.0)
            drawn = await _redrawn(app)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return [
        f"desk, board of {RESOURCES} x {SLOTS} refreshed: {drawn[0]:.1f} ms of the event loop, worst {drawn[1]:.1f}",
        f"desk, memory: {peak:.0f} MiB at most, with the tools of the bench",
    ]


async def _redrawn(app: DeskApp) -> tuple[float, float]:
    """(median, worst) milliseconds that the event loop takes to show another board and to draw every line of it."""
    grid = app.screen.query_one(BoardGrid)
    app.screen.query_one("#day").display = True
    await asyncio.sleep(0.1)
    times = []
    for turn in range(50):
        fresh = board(turn)
        began = time.perf_counter()
        grid.show(fresh, fresh.as_of)
        for line in range(grid.size.height):
            grid.render_line(line)
        times.append(1000 * (time.perf_counter() - began))
        await asyncio.sleep(0)
    return statistics.median(times), max(times)


def board(turn: int) -> Board:
    """A full day: 12 resources, 40 slots of 15 minutes, some held, some closed, others each turn."""
    begins = datetime(2031, 3, 4, 7, tzinfo=UTC)
    columns = tuple(
        Column(f"r{c}", f"Resource {c}", ("mri",), tuple(_cell(begins, c, n, turn) for n in range(SLOTS)))
        for c in range(RESOURCES)
    )
    return Board(Place("bench", "Bench", "UTC"), date(2031, 3, 4), begins + timedelta(hours=3), columns)


def _cell(begins: datetime, column: int, n: int, turn: int) -> Cell:
    start = begins + timedelta(minutes=15 * n)
    holds = (Hold(start + timedelta(days=1), "ana"),) if (column + n + turn) % 9 == 0 else ()
    status = "busy-unavailable" if (column * n + turn) % 11 == 0 else "free"
    taken = (column + n + turn) % 5
    end = start + timedelta(minutes=15)
    return Cell(column * SLOTS + n, f"r{column}", start, end, 4, taken, turn, status, "", holds)
