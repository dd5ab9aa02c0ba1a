"""The grid of the day board: resources across, time down, drawn line by line; heads stay where they are.

What must stay true: how full a slot is can be read without any colour; drawing asks nobody anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time
from itertools import chain
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.cache import LRUCache
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from ...core import clock
from ...core.model.board import Board, Cell
from ...core.model.text import visible

FULLNESS = "▁▂▃▄▅▆▇█"
CLOSED, HELD, GOES_ON, MARKED = "✕", "◐", "┆", "◆"
TIME_WIDTH = 7
LEAST_WIDTH, MOST_WIDTH = 11, 22


def glyph(cell: Cell) -> str:
    """How full a slot is, as a shape."""
    if cell.closed:
        return CLOSED
    if cell.taken <= 0:
        return FULLNESS[0]
    if cell.taken >= cell.capacity:
        return FULLNESS[-1]
    return FULLNESS[1 + (len(FULLNESS) - 3) * cell.taken // cell.capacity]


def figures(cell: Cell) -> str:
    """What stands in a cell: shape, places taken of how many, and whether one is held."""
    if cell.closed:
        return f"{CLOSED} {cell.taken}/{cell.capacity}" if cell.taken else f"{CLOSED} closed"
    return f"{glyph(cell)} {cell.taken}/{cell.capacity}{' ' + HELD if cell.holds else ''}"


def state(cell: Cell) -> str:
    """The class of a cell: closed, held, full or free."""
    if cell.closed:
        return "closed"
    return "full" if not cell.free else "held" if cell.holds else "free"


class BoardGrid(ScrollView, can_focus=True):
    """Arrows walk over the slots; posts `Moved` when the cursor is elsewhere and `Opened` for Enter."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "board--head", "board--time", "board--now", "board--free", "board--held", "board--full", "board--closed",
        "board--cursor", "board--empty",
    }  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "walk(0, -1)", "Up", id="board.up", show=False),
        Binding("down,j", "walk(0, 1)", "Down", id="board.down", show=False),
        Binding("left,h", "walk(-1, 0)", "Left", id="board.left", show=False),
        Binding("right,l", "walk(1, 0)", "Right", id="board.right", show=False),
        Binding("pageup", "walk(0, -10)", "Ten up", id="board.page-up", show=False),
        Binding("pagedown", "walk(0, 10)", "Ten down", id="board.page-down", show=False),
        Binding("home", "edge(-1)", "First of the day", id="board.first", show=False),
        Binding("end", "edge(1)", "Last of the day", id="board.last", show=False),
        Binding("enter", "choose", "Open", id="board.open"),
        Binding("enter", "choose('put')", "Put here", id="board.put"),
    ]
    DEFAULT_CSS = """
    BoardGrid { height: 1fr; width: 1fr; scrollbar-size-horizontal: 1; scrollbar-size-vertical: 1; }
    """

    class Moved(Message):
        """The cursor is on another slot, or on none."""

    class Opened(Message):
        """Somebody wants to see a slot."""

        def __init__(self, cell: Cell) -> None:
            super().__init__()
            self.cell = cell

    def __init__(self) -> None:
        super().__init__()
        self._board: Board | None = None
        self._now = clock.now()
        self._column, self._row = 0, 0
        self._marked: frozenset[int] | None = None
        self._lines: LRUCache[tuple[int, int], Strip] = LRUCache(512)
        self._wide = LEAST_WIDTH

    # What is shown

    def show(self, board: Board, now: datetime, marked: frozenset[int] | None = None) -> None:
        """Shows a board; the cursor stays at its resource and time of day when they are still there.

        `marked`: the slots of what is moved here, if anything is.
        """
        if marked != self._marked:
            self._marked = marked
            self.refresh_bindings()
        was, moment = self._place()
        self._board, self._now = board, now
        self._column = next((n for n, one in enumerate(board.columns) if one.code == was), 0)
        later = (n for n, row in enumerate(board.rows) if moment is not None and _time(board, row) >= moment)
        self._row = next(later, max(len(board.rows) - 1, 0)) if moment is not None else self._row_of(now)
        self._arrange()
        self.post_message(self.Moved())

    def point_at(self, slot: int) -> None:
        """Puts the cursor on a slot, if it is there."""
        columns = enumerate(self._board.grid) if self._board is not None else ()
        cells = ((n, row, cell) for n, down in columns for row, cell in enumerate(down))
        found = next(((n, row) for n, row, cell in cells if cell is not None and cell.slot_id == slot), None)
        if found is not None:
            self._go(*found)

    def tick(self, now: datetime) -> None:
        """Draws the now-line where it is by now."""
        if self._board is not None and self._row_of(now) != self._row_of(self._now):
            self._now = now
            self._lines.clear()
            self.refresh()
        self._now = now

    @property
    def cell(self) -> Cell | None:
        """The slot under the cursor."""
        if self._board is None or not self._board.columns or not self._board.rows:
            return None
        return self._board.grid[self._column][self._row]

    def _place(self) -> tuple[str, time | None]:
        board = self._board
        if board is None or not board.columns or not board.rows:
            return "", None
        return board.columns[self._column].code, _time(board, board.rows[self._row])

    def _row_of(self, now: datetime) -> int:
        """The row that runs now; the first one on another day."""
        rows = self._board.rows if self._board is not None else ()
        if not rows or now < rows[0] or now > max(cell.end for column in self._board.columns for cell in column.cells):  # type: ignore[union-attr]
            return 0
        return max(n for n, row in enumerate(rows) if row <= now)

    def _is_today(self) -> bool:
        board = self._board
        return (
            board is not None and bool(board.rows) and clock.to_local(self._now, board.place.zone).date() == board.day
        )

    def on_resize(self) -> None:
        self._arrange()

    def _arrange(self) -> None:
        board = self._board
        self._lines.clear()
        if board is None:
            return
        room = self.size.width - TIME_WIDTH
        columns = max(len(board.columns), 1)
        self._wide = min(max(room // columns, LEAST_WIDTH), MOST_WIDTH)
        self.virtual_size = Size(TIME_WIDTH + columns * self._wide, 1 + len(board.rows))
        self._keep_in_sight()
        self.refresh()

    # Drawing

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        board = self._board
        if board is None or not board.columns:
            return Strip.blank(width, self.rich_style)
        scroll_x, scroll_y = self.scroll_offset
        row = y - 1 + scroll_y
        if y == 0:
            head, line = Strip([Segment(" " * TIME_WIDTH, self._style("head"))]), self._head_line(board)
        elif row < len(board.rows):
            head, line = self._time(board, row), self._line(board, row)
        else:
            return Strip.blank(width, self.rich_style)
        line = line.crop(scroll_x, scroll_x + width - TIME_WIDTH)
        return Strip.join([head, line]).extend_cell_length(width, self.rich_style)

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"board--{name}")

    def _head_line(self, board: Board) -> Strip:
        segments = []
        for n, column in enumerate(board.columns):
            style = self._style("head")
            called = visible(column.name)
            segments.append(Segment(_fitted(called, self._wide), style + Style(underline=n == self._column)))
        return Strip(segments)

    def _time(self, board: Board, row: int) -> Strip:
        local = clock.to_local(board.rows[row], board.place.zone)
        now = self._is_today() and row == self._row_of(self._now)
        mark = "▸" if now else " "
        return Strip([Segment(f"{mark}{local:%H:%M} ".ljust(TIME_WIDTH), self._style("now" if now else "time"))])

    def _line(self, board: Board, row: int) -> Strip:
        here = board.grid[self._column]
        chosen = row == self._row or (here[row] is not None and here[row] is here[self._row])
        cursor = self._column if chosen else -1
        key = (row, cursor)
        if key not in self._lines:
            tiles = (self._tile(board, n, row, n == cursor) for n in range(len(board.columns)))
            self._lines[key] = Strip(chain.from_iterable(tiles))
        return self._lines[key]

    def _tile(self, board: Board, column: int, row: int, cursor: bool) -> Iterator[Segment]:
        cell = board.grid[column][row]
        words, style = "", self._style("empty")
        if cell is not None:
            words, style = figures(cell), self._style(state(cell))
            if cell.start != board.rows[row]:
                words, style = GOES_ON, style + Style(dim=True)
            if cell.end <= self._now:
                style += Style(dim=True)
        if cursor:
            style += self._style("cursor")
        mark = MARKED if cell is not None and cell.slot_id in (self._marked or ()) else " "
        yield Segment(_fitted(f"{mark}{words}", self._wide - 1), style)
        yield Segment(" ", self.rich_style)

    # Keys and the mouse

    def action_walk(self, across: int, down: int) -> None:
        row = self._row
        for _ in range(abs(down)):
            row = self._next_row(row, 1 if down > 0 else -1)
        self._go(self._column + across, row)

    def _next_row(self, row: int, step: int) -> int:
        """The row in which the slot after or before the one in a row starts; the same row when there is none."""
        board = self._board
        if board is None or not board.columns:
            return row
        down = board.grid[self._column]
        here, n = down[row], row + step
        while 0 <= n < len(down) and (down[n] is here if here is not None else False):
            n += step
        while step < 0 < n < len(down) and down[n] is not None and down[n - 1] is down[n]:
            n -= 1
        return n if 0 <= n < len(down) else row

    def action_edge(self, end: int) -> None:
        self._go(self._column, 0 if end < 0 else 10**6)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The same key opens a slot, or puts there what is moved."""
        return action != "choose" or bool(parameters) == (self._marked is not None)

    def action_choose(self, _: str = "") -> None:
        if self.cell is not None:
            self.post_message(self.Opened(self.cell))

    def _go(self, column: int, row: int) -> None:
        board = self._board
        if board is None or not board.columns or not board.rows:
            return
        self._column = min(max(column, 0), len(board.columns) - 1)
        self._row = min(max(row, 0), len(board.rows) - 1)
        self._keep_in_sight()
        self.refresh()
        self.post_message(self.Moved())

    def _keep_in_sight(self) -> None:
        """Scrolls so that the cursor is between the heads and the edge."""
        left, width = self._column * self._wide, self.size.width - TIME_WIDTH
        height = self.size.height - 1
        x, y = self.scroll_offset
        if left < x or left + self._wide > x + width:
            x = left if left < x else left + self._wide - width
        if self._row < y or self._row >= y + height:
            y = self._row if self._row < y else self._row - height + 1
        self.scroll_to(max(x, 0), max(y, 0), animate=False)

    def on_click(self, event: events.Click) -> None:
        board = self._board
        offset = event.get_content_offset(self)
        if board is None or offset is None or offset.y == 0 or offset.x < TIME_WIDTH:
            return
        column = (offset.x - TIME_WIDTH + self.scroll_offset.x) // self._wide
        row = offset.y - 1 + self.scroll_offset.y
        if column < len(board.columns) and row < len(board.rows):
            again = (column, row) == (self._column, self._row)
            self._go(column, row)
            if again:
                self.action_choose()


def _time(board: Board, row: datetime) -> time:
    """The local time of day of a row: the same on another day, and at another site."""
    return clock.to_local(row, board.place.zone).time()


def _fitted(words: str, width: int) -> str:
    """Exactly so many cells wide, a space at the end; wide characters count twice."""
    return Content(words).truncate(width - 1, ellipsis=True).plain.ljust(width)
