"""What is said of the slot under the cursor: beside the grid where there is room, below it in two lines elsewhere.

What must stay true: it says how many, never who; who is booked there is asked for by opening the slot.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from textual.content import Content
from textual.widgets import Static

from ...core import clock
from ...core.model.board import Board, Cell, Column, Hold
from ...core.model.text import visible
from .board_grid import CLOSED, FULLNESS, HELD

BAR = 20


class SlotDetail(Static):
    """Redrawn only when it says something else."""

    DEFAULT_CSS = """
    SlotDetail { width: 1fr; height: 2; padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__(Content(""))
        self._said: Content | None = None

    def say(self, board: Board, cell: Cell | None, now: datetime, *, beside: bool) -> None:
        """Says what is known of a slot at a moment of the database's clock."""
        lines = list(_all(board, cell, now) if beside else _short(board, cell, now))
        content = Content("\n").join(lines)
        if content != self._said:
            self._said = content
            self.update(content)


def _times(board: Board, cell: Cell) -> str:
    start, end = (clock.to_local(moment, board.place.zone) for moment in (cell.start, cell.end))
    return f"{start:%H:%M}–{end:%H:%M}"


def _column(board: Board, cell: Cell) -> Column | None:
    return next((column for column in board.columns if column.code == cell.resource), None)


def _name(board: Board, cell: Cell) -> str:
    column = _column(board, cell)
    return visible(column.name if column is not None else cell.resource)


def count(cell: Cell) -> str:
    """How full, in words."""
    if cell.closed:
        return "closed" + (f" with {cell.taken} booked" if cell.taken else "")
    if not cell.free:
        return "full" if cell.capacity > 1 else "taken"
    return f"{cell.free} of {cell.capacity} free"


def held(hold: Hold, now: datetime) -> str:
    """Who holds a place, and for how long."""
    seconds = max(int((hold.until - now) / timedelta(seconds=1)), 0)
    left = f"{seconds} s" if seconds < 100 else f"{seconds // 60}:{seconds % 60:02d} min"
    return f"{HELD} held {'by ' + visible(hold.staff) + ', ' if hold.staff else ''}{left} left"


def _short(board: Board, cell: Cell | None, now: datetime) -> Iterator[Content]:
    if cell is None:
        yield Content.styled("No slot here.", "$text-muted")
        return
    yield Content.assemble((_times(board, cell), "bold"), f" {_name(board, cell)}  {count(cell)}")
    yield Content("  ".join([*(held(hold, now) for hold in cell.holds), visible(cell.closed_for)]))


def _all(board: Board, cell: Cell | None, now: datetime) -> Iterator[Content]:
    if cell is None:
        yield Content.styled("No slot here.", "$text-muted")
        return
    column = _column(board, cell)
    yield Content.styled(_name(board, cell), "bold $text-primary")
    yield Content.styled(_times(board, cell), "bold")
    yield Content("")
    yield Content(f"{CLOSED} {count(cell)}" if cell.closed else count(cell))
    yield _bar(cell)
    for hold in cell.holds:
        yield Content.styled(held(hold, now), "$text-warning")
    if cell.closed_for:
        yield Content(visible(cell.closed_for))
    yield Content("")
    if column is not None and column.tests:
        yield Content.styled("Tests", "$text-muted")
        yield from (Content(visible(test)) for test in column.tests)


def _bar(cell: Cell) -> Content:
    full = min(BAR * cell.taken // cell.capacity, BAR)
    return Content.assemble(FULLNESS[-1] * full, (FULLNESS[0] * (BAR - full), "$text-muted"))
