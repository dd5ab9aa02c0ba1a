"""The day board: how full every resource of a site is, and from there to booking and to who is booked.

What must stay true: what is on the screen is never older than the banner says; looking at it is no look at a patient.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from ...core import clock
from ...core.errors import BookcliError
from ...core.model.board import Board, Cell
from ...core.services import board, slots
from ..calls import Following
from ..kit import Notice, View, literal, text
from ..widgets.board_grid import BoardGrid

POLL_SECONDS, CALM_SECONDS = 5.0, 60.0


class BoardScreen(View):
    """Shows one local day of the site."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "book", "Book", id="board.book"),
        Binding("t", "go(0)", "Today", id="board.today"),
        Binding("left_square_bracket", "go(-1)", "Day before", id="board.before", show=False),
        Binding("right_square_bracket", "go(1)", "Day after", id="board.after", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._day: date | None = None
        self._board: Board | None = None
        self._following: Following | None = None
        self._site = ""
        self._said: Content | None = None

    def body(self) -> ComposeResult:
        yield Notice()
        yield BoardGrid()
        yield Static(id="detail")

    def on_mount(self) -> None:
        self.notice("loading", "The day is on its way.")
        self.query_one(BoardGrid).display = False
        self.set_interval(1.0, self._tick)

    def heading(self) -> Content:
        site, shown = self.desk.site, self._board
        if site is None or shown is None:
            return Content("")
        return Content.assemble((literal(site.name), "bold"), f"  {shown.day:%A %d %B %Y}")

    def as_of(self) -> float | None:
        return None if self._board is None else (clock.now() - self._board.as_of).total_seconds()

    def placed(self) -> None:
        self._board = None
        self.reload()

    def reload(self) -> None:
        site = self.desk.site
        if site is not None:
            self.call(board.day, site.code, self._day, on_done=self._shown, on_error=self._failed, group="day")

    def _shown(self, found: Board) -> None:
        self._board = found
        notice, grid = self.query_one(Notice), self.query_one(BoardGrid)
        grid.display = bool(found.rows)
        if found.rows:
            notice.clear()
            grid.show(found, clock.now())
            if self.focused is None:
                grid.focus()
        else:
            notice.say("empty", f"No slots on {found.day:%A %d %B}.", "] next day · [ day before · d another date")
        self._follow(found.place.code)

    def _failed(self, problem: BookcliError) -> None:
        self.desk.explain(problem)
        if self._board is None:
            self.notice("error", text(problem.message), hint="r tries again")

    def _follow(self, site: str) -> None:
        if self._following is not None and self._site == site:
            return
        if self._following is not None:
            self._following.stop()
        self._site = site
        self._following = self.desk.calls.follow(
            self, slots.changes, [site], on_item=self._changed, on_end=self._unfollowed
        )

    def _changed(self, told: tuple[str, date]) -> None:
        if self._board is not None and told[1] == self._board.day:
            self.reload()

    def _unfollowed(self) -> None:
        self._following = None

    def _tick(self) -> None:
        grid = self.query_one(BoardGrid)
        grid.tick(clock.now())
        self._say_detail()

    def on_board_grid_moved(self) -> None:
        self._say_detail()

    def _say_detail(self) -> None:
        detail = self._detail(self.query_one(BoardGrid).cell)
        if detail != self._said:
            self._said = detail
            self.query_one("#detail", Static).update(detail)

    def _detail(self, cell: Cell | None) -> Content:
        if cell is None or self._board is None:
            return Content("")
        zone = self._board.place.zone
        start, end = clock.to_local(cell.start, zone), clock.to_local(cell.end, zone)
        return text(f"{start:%H:%M}-{end:%H:%M} {cell.resource} {cell.taken} of {cell.capacity} taken")

    def action_go(self, days: int) -> None:
        shown = self._board
        if days == 0 or shown is None:
            self._day = None
        else:
            self._day = shown.day + timedelta(days=days)
        self.reload()

    def on_board_grid_opened(self, event: BoardGrid.Opened) -> None:
        event.stop()

    def action_book(self) -> None:
        cell = self.query_one(BoardGrid).cell
        if cell is not None and self.desk.opens("booking"):
            self.desk.open("booking", cell)
