"""The day board: how full every resource of a site is, and from there to booking and to who is booked.

What must stay true: what is on the screen is never older than the banner says; walking over it is no look at a patient.
"""

from __future__ import annotations

import time
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content

from ...core import clock
from ...core.errors import BookcliError
from ...core.model.board import Board, Cell
from ...core.model.text import visible
from ..calls import Following, Later
from ..kit import Notice, View, literal, text
from ..widgets.board_grid import BoardGrid
from ..widgets.slot_detail import SlotDetail
from .choices import Choices
from .days import Days
from .slot import Slot

if TYPE_CHECKING:
    from ...core.services import board, slots
else:
    board, slots = Later("board"), Later("slots")

POLL_SECONDS, CALM_SECONDS = 5.0, 60.0
"""Between two readings when nobody tells of changes, and when somebody does."""
BURST_SECONDS = 0.1
"""Changes that are told so shortly one after another are read together."""


class BoardScreen(View):
    """Shows one local day of the site: today, unless another one was chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "book", "Book", id="board.book"),
        Binding("t", "today", "Today", id="board.today"),
        Binding("left_square_bracket", "step(-1)", "Day before", id="board.before", key_display="["),
        Binding("right_square_bracket", "step(1)", "Day after", id="board.after", key_display="]"),
        Binding("d", "date", "Date", id="board.date"),
        Binding("f", "filter", "Test", id="board.filter"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._day: date | None = None
        self._board: Board | None = None
        self._read_at = 0.0
        self._ahead = timedelta()
        self._test = ""
        self._following: Following | None = None
        self._followed = ""
        self._soon = False

    def body(self) -> ComposeResult:
        yield Notice()
        with Horizontal(id="day"):
            yield BoardGrid()
            yield SlotDetail()

    def on_mount(self) -> None:
        self._test = self.desk.kept.get("test", "")
        self.query_one("#day").display = False
        self.notice("loading", "The day is on its way.")
        self.set_interval(1.0, self._tick)

    @property
    def now(self) -> datetime:
        """What the database's clock says, by which holds end."""
        return clock.now() + self._ahead

    # What is said around the grid

    def heading(self) -> Content:
        shown, site = self._board, self.desk.site
        if shown is None or site is None:
            return Content(literal(site.name) if site is not None else "")
        away = (shown.day - clock.to_local(self.now, shown.place.zone).date()).days
        near = {-1: " yesterday", 0: " today", 1: " tomorrow"}.get(away, "")
        cells = [cell for column in shown.columns for cell in column.cells]
        free = f"{sum(cell.free for cell in cells)} of {sum(cell.capacity for cell in cells)} places free"
        only = f"  only {visible(self._test)}" if self._test else ""
        return Content.assemble(
            (literal(site.name), "bold"), f"  {shown.day:%a %d %b %Y}", (near, "$text-accent"), f"  {free}", only
        )

    def as_of(self) -> float | None:
        return None if self._board is None else self._board.age + time.monotonic() - self._read_at

    # Reading

    def placed(self) -> None:
        self._board = None
        self.reload()

    def reload(self) -> None:
        """Asks for the day; what is shown stays until the answer is there."""
        site = self.desk.site
        self._soon = False
        # A look that nobody sees would be written down all the same; coming to the front asks anew.
        if site is not None and self.is_active:
            self.call(board.day, site.code, self._day, on_done=self._shown, on_error=self._failed, group="day")

    def _shown(self, found: Board) -> None:
        self._read_at = time.monotonic()
        self._ahead = timedelta() if found.stale else found.as_of - clock.now()
        shown = self._board = found.only(self._test)
        notice, day = self.query_one(Notice), self.query_one("#day")
        day.display = bool(shown.rows)
        if shown.rows:
            notice.clear()
            self._show_grid(shown)
        else:
            only = f" for {literal(self._test)}" if self._test else ""
            hint = "] day after · [ day before · d another date" + (" · f another test" if only else "")
            notice.say("empty", f"No slots{only} on {found.day:%A %d %B %Y}.", hint)
        self.say_frame()
        self._follow(found.place.code)

    def _show_grid(self, shown: Board) -> None:
        grid = self.query_one(BoardGrid)
        grid.show(shown, self.now)
        if self.focused is None:
            grid.focus()
        self._say_detail()

    def _failed(self, problem: BookcliError) -> None:
        self.desk.explain(problem)
        if self._board is None:
            self.query_one("#day").display = False
            self.notice("error", text(problem.message), hint="r tries again")

    # Staying true

    def _follow(self, site: str) -> None:
        if self._following is not None and self._followed == site:
            return
        if self._following is not None:
            self._following.stop()
        self._followed = site
        follow = self.desk.calls.follow
        self._following = follow(self, slots.changes, [site], on_item=self._changed, on_end=self._unfollowed)

    def _changed(self, told: tuple[str, date]) -> None:
        if self._board is not None and told[1] == self._board.day and not self._soon:
            self._soon = True
            self.set_timer(BURST_SECONDS, self.reload)

    def _unfollowed(self) -> None:
        self._following = None

    def _tick(self) -> None:
        shown = self._board
        if shown is None or not self.is_active:
            return
        self.query_one(BoardGrid).tick(self.now)
        self._say_detail()
        ends = shown.next_change()
        patience = POLL_SECONDS if self._following is None or shown.stale else CALM_SECONDS
        old = time.monotonic() - self._read_at > patience
        if (old or (ends is not None and ends <= self.now)) and not self.desk.calls.is_asking(self, "day"):
            self.reload()

    def on_board_grid_moved(self) -> None:
        self._say_detail()

    def on_resize(self) -> None:
        self._say_detail()

    def _say_detail(self) -> None:
        if self._board is not None:
            cell = self.query_one(BoardGrid).cell
            beside = self.has_class("-wide") or self.has_class("-huge")
            self.query_one(SlotDetail).say(self._board, cell, self.now, beside=beside)

    # Keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is no key for what nothing here can do."""
        return action != "book" or self.desk.opens("booking")

    def action_today(self) -> None:
        self._go(None)

    def action_step(self, days: int) -> None:
        if self._board is not None:
            self._go((self._day or self._board.day) + timedelta(days=days))

    def action_date(self) -> None:
        zone = self.desk.site.zone if self.desk.site is not None else "UTC"
        self.app.push_screen(Days(clock.today(zone)), lambda day: self._go(day) if day is not None else None)

    def _go(self, day: date | None) -> None:
        self._day = day
        self.reload()

    def action_filter(self) -> None:
        self.call(board.tests, on_done=self._choose_test, group="tests")

    def _choose_test(self, tests: list[tuple[str, str]]) -> None:
        question = Choices("Only resources that perform", [("all", "every test"), *tests], self._test or "all")
        self.desk.show(question, self._filtered)

    def _filtered(self, test: str | None) -> None:
        if test is not None:
            self._test = "" if test == "all" else test
            self.desk.keep(test=self._test)
            self.reload()

    def on_board_grid_opened(self, event: BoardGrid.Opened) -> None:
        event.stop()
        if self._board is not None:
            self.app.push_screen(Slot(self._board, event.cell), lambda wish: self._book(event.cell) if wish else None)

    def action_book(self) -> None:
        cell = self.query_one(BoardGrid).cell
        if cell is not None:
            self._book(cell)

    def _book(self, cell: Cell) -> None:
        self.desk.open_booking(cell, self._test)
