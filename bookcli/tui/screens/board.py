"""The day board: how full every resource of a site is, and from there to booking and to who is booked.

What must stay true: what is on the screen is never older than the banner says; walking over it is no look at a patient.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Static

from ...core import clock
from ...core.model.appointments import Outcome
from ...core.model.board import Board, Cell, Place
from ...core.model.text import visible
from ..calls import Later
from ..kit import Confirm, Notice, literal
from ..live import READING, Live
from ..moves import Facts, Move
from ..undoing import of_appointment
from ..widgets.board_grid import BoardGrid
from ..widgets.slot_detail import SlotDetail
from .choices import Choices
from .days import Days
from .slot import Slot

if TYPE_CHECKING:
    from ...core.services import board
else:
    board = Later("board")

DAY_SECONDS = 2.0
"""How long keys wait for the day they are meant for."""


class BoardScreen(Live):
    """Shows one local day of the site: today, unless another one was chosen."""

    CSS_PATH = None  # the first that is shown has no need of what only others have
    BODY = "#day"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "book", "Book", id="board.book"),
        Binding("t", "today", "Today", id="board.today"),
        Binding("left_square_bracket", "step(-1)", "Day before", id="board.before", key_display="["),
        Binding("right_square_bracket", "step(1)", "Day after", id="board.after", key_display="]"),
        Binding("d", "date", "Date", id="board.date"),
        Binding("f", "filter", "Test", id="board.filter"),
        Binding("m", "nearest", "Nearest", id="board.nearest"),
        Binding("escape", "stop", "Stop", id="board.stop"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._day: date | None = None
        self._found: Board | None = None
        self._board: Board | None = None
        self._ahead = timedelta()
        self._test = ""
        self._move: Move | None = None
        self._point_at = 0

    def body(self) -> ComposeResult:
        yield Static(Content(""), id="moving")
        yield Notice()
        with Horizontal(id="day"):
            yield BoardGrid()
            yield SlotDetail()

    def on_mount(self) -> None:
        self._test = self.desk.kept.get("test", "")
        self._say_move()

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
        free = f"  {sum(cell.free for cell in cells)} of {sum(cell.capacity for cell in cells)} places free"
        only = f"  only {visible(self._filter)}" if self._filter else ""
        return Content.assemble(
            (literal(site.name), "bold"),
            f"  {shown.day:%a %d %b %Y}",
            (near, "$text-accent"),
            free if cells else "",
            only,
        )

    def as_of(self) -> float | None:
        return None if self._board is None else self._board.age + time.monotonic() - self._read_at

    # Reading

    @property
    def day_shown(self) -> date | None:
        return None if self._board is None else self._board.day

    def forget(self) -> None:
        self._found = self._board = None

    def question(self, site: Place) -> tuple[Callable[..., Any], *tuple[Any, ...]]:
        return board.day, site.code, self._day

    def show_answer(self, found: Board) -> None:
        self._ahead = timedelta() if found.stale else found.as_of - clock.now()
        self._found = found
        self._draw(found)

    @property
    def _filter(self) -> str:
        return self._test if self._move is None else self._move.test

    def _draw(self, found: Board) -> None:
        shown = self._board = found.only(self._filter)
        notice, day = self.query_one(Notice), self.query_one("#day")
        day.display = bool(shown.rows)
        if shown.rows:
            notice.clear()
            self._show_grid(shown)
        else:
            only = f" for {literal(self._filter)}" if self._filter else ""
            hint = "] day after · [ day before · d another date" + (
                " · f another test" if self._test == self._filter else ""
            )
            notice.say("empty", f"No slots{only} on {found.day:%A %d %B %Y}.", hint)
        self.say_frame()

    def _show_grid(self, shown: Board) -> None:
        grid = self.query_one(BoardGrid)
        grid.show(shown, self.now, self._move.places() if self._move is not None else None)
        if self._point_at:
            grid.point_at(self._point_at)
            self._point_at = 0
        if self.focused is None:
            grid.focus()
        self._say_detail()

    # Staying true

    @property
    def is_kept(self) -> bool:
        return self._failing or (self._board is not None and self._board.stale)

    @property
    def is_over(self) -> bool:
        ends = self._board.next_change() if self._board is not None else None
        return ends is not None and ends <= self.now

    def tick(self) -> None:
        self.query_one(BoardGrid).tick(self.now)
        self._say_detail()

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
        """There is no key for what nothing here can do, and none but for moving while something is moved."""
        if action in ("nearest", "stop"):
            return self._move is not None
        return action not in ("book", "filter") or self._move is None

    def action_today(self) -> None:
        self._go(None)

    def action_step(self, days: int) -> None:
        zone = self.desk.site.zone if self.desk.site is not None else "UTC"
        shown = self._board.day if self._board is not None else clock.today(zone)
        self._go((self._day or shown) + timedelta(days=days))

    def action_date(self) -> None:
        zone = self.desk.site.zone if self.desk.site is not None else "UTC"
        self.app.push_screen(Days(clock.today(zone)), lambda day: self._go(day) if day is not None else None)

    def _go(self, day: date | None) -> None:
        self._day = day
        self.reload()
        self.desk.ahead.until_answered(self, READING, DAY_SECONDS)

    def action_filter(self) -> None:
        self.call(board.tests, on_done=self._choose_test, group="tests")
        self.desk.ahead.until_answered(self, "tests")

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
        if self._move is not None:
            self._ask_to_move(self._move, event.cell)
        elif self._board is not None:
            self.app.push_screen(Slot(self._board, event.cell), lambda wish: self._book(event.cell) if wish else None)

    def action_book(self) -> None:
        """Books in the slot under the cursor; where there is none, the dialog asks when."""
        shown = self._board is not None and bool(self._board.rows)
        self._book(self.query_one(BoardGrid).cell if shown else None)

    def _book(self, cell: Cell | None) -> None:
        self.desk.open_booking(cell, self._test)

    # Moving an appointment

    def move(self, facts: Facts) -> None:
        """Lets somebody walk to where an appointment is moved, from where it is now."""
        if self._move is not None and self._move.under_way:
            self.desk.toast(
                "Another appointment is on its way still: nobody knows yet whether it has moved.", "warning"
            )
            return
        move = Move(self, facts, self._say_move, lambda outcome: self._moved(move, outcome))
        zone = facts["zone"]
        self._day = max(clock.to_local(facts["starts_at"], zone).date(), clock.today(zone))
        self._move, self._point_at = move, facts["slot_id"]
        self._say_move()
        place = next((one for one in self.desk.places if one.code == facts["site"]), self.desk.site)
        if place != self.desk.site:
            self.desk.choose_site(place)
        else:
            self.reload()

    def _say_move(self) -> None:
        line = self.query_one("#moving", Static)
        line.display = self._move is not None
        line.update(self._move.line() if self._move is not None else Content(""))
        self.refresh_bindings()

    def _ask_to_move(self, move: Move, cell: Cell) -> None:
        if self._board is not None and not move.under_way:
            question = Confirm(move.question(), move.from_to(self._board, cell), yes="Move", no="Cancel")
            self.app.push_screen(question, lambda agreed: move.to(cell.slot_id) if agreed else None)

    def action_nearest(self) -> None:
        move = self._move
        if move is not None and not move.under_way:
            self.desk.open(
                "moving", move.facts, on_done=lambda offer: move.to(offer.parts[0].slot_id) if offer else None
            )

    def action_stop(self) -> None:
        """Leaves it where it is, but not while nobody knows yet whether it has moved."""
        if self._move is not None and not self._move.under_way:
            self._end_move()

    def _end_move(self) -> None:
        self._move, self._point_at = None, 0
        self._say_move()
        if self._found is not None:
            self._draw(self._found)

    def _moved(self, move: Move, outcome: Outcome) -> None:
        first = outcome.verdicts[0]
        assert first.starts_at is not None and first.reference is not None
        start = clock.to_local(first.starts_at, first.zone or "UTC")
        self.desk.did(f"{first.reference} was moved to {start:%a %d %b %H:%M}.", of_appointment(first.reference))
        if self._move is move:
            self._end_move()
        self.reload_soon()
