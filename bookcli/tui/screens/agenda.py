"""The waiting room: everybody of the site's day by status, and one key for each step of the day.

What must stay true: a step is asked of the person under the cursor when the key was pressed, whatever arrives since.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input

from ...core import clock
from ...core.errors import BookcliError
from ...core.model.appointments import only_begins
from ...core.model.board import Place
from ...core.model.text import fold
from ..calls import Later
from ..kit import Confirm, Notice, Table, literal
from ..live import Live
from ..moves import MOVABLE, on_board
from ..undoing import of_appointment
from ..widgets.patient_finder import labelled
from ..widgets.statuses import marked, worded

if TYPE_CHECKING:
    from ...core.services import agenda, appointments
else:
    agenda, appointments = Later("agenda"), Later("appointments")

ORDER = {"arrived": 0, "checked-in": 1, "booked": 2, "pending": 3, "fulfilled": 4, "noshow": 5, "cancelled": 6}
SENTENCES = {"arrived": "has arrived", "checked-in": "is checked in", "fulfilled": "is done", "noshow": "did not come"}
Fact = Mapping[str, Any]


class AgendaScreen(Live):
    """Shows today at the site."""

    # Whoever is first would get it, the hidden filter, which eats every key: the table is given it with its first rows.
    AUTO_FOCUS = ""
    BODY = "Table"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "step('arrived')", "Arrive", id="agenda.arrive"),
        Binding("c", "step('checked-in')", "Check in", id="agenda.check-in"),
        Binding("f", "step('fulfilled')", "Fulfil", id="agenda.fulfil"),
        Binding("x", "missed", "No-show…", id="agenda.noshow"),
        Binding("n", "app.open('booking')", "Book", id="agenda.book"),
        Binding("m", "move", "Move", id="agenda.move"),
        Binding("w", "find", "Find", id="agenda.find"),
        Binding("escape", "found", "All", id="agenda.all", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Fact] | None = None
        self._day: date | None = None

    def body(self) -> ComposeResult:
        line = labelled("Find", Input(placeholder="Name, MRN, test or status", compact=True))
        line.display = False
        yield line
        yield Notice()
        yield Table(("Time", "Status", "Waits", "Patient", "MRN", "Test", "Where"), self._cells, _reference)

    def heading(self) -> Content:
        site = self.desk.site
        if site is None or self._rows is None:
            return Content(literal(site.name) if site else "")
        waiting = sum(row["status"] == "arrived" for row in self._rows)
        return Content.assemble((literal(site.name), "bold"), f"  {waiting} waiting  {len(self._rows)} today")

    def as_of(self) -> float | None:
        return time.monotonic() - self._read_at if self._rows is not None and self._failing else None

    def _cells(self, row: Fact) -> tuple[object, ...]:
        begins = clock.to_local(row["starts_at"], row["zone"])
        who = (row["patient_name"], row["patient"])
        status = marked(row["status"], row["reason"])
        return (f"{begins:%H:%M}", status, self._waits(row), *who, row["test"], row["resource"])

    def _waits(self, row: Fact) -> str:
        since: datetime | None = row["arrived_at"] or row["checked_in_at"]
        if row["waiting_minutes"] is None or since is None:
            return ""
        return f"{max(0, int((clock.now() - since).total_seconds() // 60))} min"

    # Reading

    @property
    def day_shown(self) -> date | None:
        return None if self._rows is None else self._day

    def forget(self) -> None:
        self._rows = None

    def question(self, site: Place) -> tuple[Callable[..., Any], *tuple[Any, ...]]:
        self._day = clock.today(site.zone)
        return agenda.day, site.code, self._day

    def show_answer(self, rows: list[Fact]) -> None:
        self._rows = sorted(rows, key=lambda row: (ORDER.get(row["status"], 9), row["starts_at"], row["reference"]))
        self._show()

    def _show(self) -> None:
        table, notice, words = self.query_one(Table), self.query_one(Notice), fold(self.query_one(Input).value)
        rows = [row for row in self._rows or () if all(word in _words(row) for word in words.split())]
        table.display = bool(rows)
        if rows:
            notice.clear()
        else:
            notice.say("empty", "Nobody is found by these words." if self._rows else "Nobody is booked today.")
        table.show(rows)
        if rows and self.focused is None:
            table.focus()
        self.say_frame()

    def tick(self) -> None:
        """Lets the minutes go on without a question; only what has changed is painted."""
        table = self.query_one(Table)
        for n, row in enumerate(table.shown):
            waits = self._waits(row)
            if waits and str(table.get_cell_at((n, 2))) != waits:  # type: ignore[arg-type]
                table.update_cell_at((n, 2), waits)  # type: ignore[arg-type]

    # Keys

    def on_input_changed(self) -> None:
        if self._rows is not None:
            self._show()

    def on_input_submitted(self) -> None:
        self.query_one(Table).focus()

    def action_find(self) -> None:
        self.query_one(".line").display = True
        self.query_one(Input).focus()

    def action_found(self) -> None:
        self.query_one(Input).clear()
        self.query_one(".line").display = False
        self.query_one(Table).focus()

    def on_table_opened(self, event: Table.Opened) -> None:
        self.desk.open_appointment(event.row["reference"])

    def action_step(self, status: str) -> None:
        row = self.query_one(Table).current
        begins = only_begins(row) if row is not None and status == "fulfilled" else ""
        if row is not None and begins:
            question = Confirm(f"{row['patient_name']} is done already?", begins, yes="Fulfilled", no="Back")
            self.app.push_screen(question, lambda agreed: self._step(row, status) if agreed else None)
        elif row is not None:
            self._step(row, status)

    def action_move(self) -> None:
        row = self.query_one(Table).current
        if row is not None and row["status"] in MOVABLE:
            on_board(self.desk, row)
        elif row is not None:
            self.desk.toast(f"{row['reference']} cannot be moved: it is {worded(row['status'])}.")

    def action_missed(self) -> None:
        row = self.query_one(Table).current
        if row is not None and row["status"] != "booked":
            is_ = f"is {worded(row['status'])}"
            self.desk.toast(
                f"{row['patient_name']} {SENTENCES.get(row['status'], is_)}: that is no no-show.", "warning"
            )
        elif row is not None:
            question = Confirm(f"{row['patient_name']} did not come?", yes="No-show", no="Back")
            self.app.push_screen(question, lambda agreed: self._step(row, "noshow") if agreed else None)

    def _step(self, row: Fact, status: str) -> None:
        done = partial(self._stepped, row, status)
        self.call(appointments.set_status, row["reference"], status, on_done=done, on_error=self._not_stepped)

    def _not_stepped(self, problem: BookcliError) -> None:
        self.desk.failed(problem)
        self.reload()

    def _stepped(self, row: Fact, status: str, _: object) -> None:
        name = row["patient_name"]
        self.desk.did(f"{name} {SENTENCES[status]}.", of_appointment(row["reference"]))
        self.reload_soon()


def _reference(row: Fact) -> str:
    return str(row["reference"])


def _words(row: Fact) -> str:
    """What a row is found by, without accents."""
    return fold(" ".join(str(row[name] or "") for name in ("patient_name", "patient", "test", "resource", "status")))
