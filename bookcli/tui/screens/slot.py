"""Who is booked or held in one slot; opening it is a look at patients and is written down as one.

What must stay true: names are asked for when the slot is opened, never by walking over it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from ...core import clock
from ...core.errors import BookcliError
from ...core.model.board import Board, Cell
from ..calls import Later
from ..kit import SIGN_IN, Dialog, Notice, Table, said, text, together
from ..widgets.slot_detail import count
from ..widgets.statuses import worded

if TYPE_CHECKING:
    from ...core.services import board
else:
    board = Later("board")


class Slot(Dialog[str]):
    """Ends with `book` when somebody wants to book here; Enter on an appointment opens it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "book", "Book here", id="slot.book"),
        Binding("enter", "book_empty", "Book here", id="slot.book-empty", show=False),
        Binding("r", "reload", "Refresh", id="slot.refresh", show=False),
    ]

    def __init__(self, shown: Board, cell: Cell) -> None:
        super().__init__()
        self._board, self._cell = shown, cell
        self._empty = False

    def body(self) -> ComposeResult:
        start, end = (clock.to_local(moment, self._board.place.zone) for moment in (self._cell.start, self._cell.end))
        called = next((one.name for one in self._board.columns if one.code == self._cell.resource), self._cell.resource)
        yield Static(together(text(f"{start:%a %d %b %H:%M}–{end:%H:%M}  ", "bold"), text(called)), classes="heading")
        yield Static(text(" · ".join(filter(None, (count(self._cell), self._cell.closed_for)))), classes="more")
        yield Notice()
        yield Table(("Patient", "Name", "Test", "Status", "Reference"), self._cells, lambda row: row["reference"])

    def on_mount(self) -> None:
        self.query_one(Table).display = False
        self.action_reload()

    def action_reload(self) -> None:
        self.query_one(Notice).say("loading", "Who is there is on its way.")
        self.call(board.who, self._cell, on_done=self._shown, on_error=self._failed, group="who")

    def _cells(self, row: dict[str, Any]) -> tuple[object, ...]:
        return row["patient"], row["patient_name"], row["test"], worded(row["status"]), row["reference"]

    def _shown(self, rows: list[dict[str, Any]]) -> None:
        notice, table = self.query_one(Notice), self.query_one(Table)
        table.display = bool(rows)
        self._empty = not rows
        if rows:
            notice.clear()
            table.show(rows)
            table.focus()
        else:
            self.set_focus(None)
            notice.say("empty", "Nobody is booked here.", "Enter or n books here" if self._may_book else "")

    def _failed(self, problem: BookcliError) -> None:
        self.query_one(Notice).say("error", text(said(problem)), "r tries again")
        if problem.code in SIGN_IN:
            self.desk.explain(problem)

    def on_table_opened(self, event: Table.Opened) -> None:
        self.desk.open_appointment(event.row["reference"], on_done=self._seen)

    def _seen(self, then: str | None) -> None:
        """It is moved on the board, which this covers, or was perhaps changed."""
        if then == "move":
            self.dismiss(None)
        else:
            self.action_reload()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nobody can book where nothing is free, or where there is no dialog for it."""
        return {"book": self._may_book, "book_empty": self._may_book and self._empty}.get(action, True)

    @property
    def _may_book(self) -> bool:
        return self._cell.free > 0

    def action_book(self) -> None:
        self.dismiss("book")

    def action_book_empty(self) -> None:
        self.action_book()
