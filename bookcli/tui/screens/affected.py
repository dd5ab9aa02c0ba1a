"""Who is booked in a time that is closed: a list to go through, one appointment after another.

What must stay true: it is asked for when it is opened, and every such look is written down.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Static

from ...core import clock
from ...core.errors import BookcliError
from ..calls import Later
from ..kit import SIGN_IN, Dialog, Notice, Table, said, text
from ..widgets.frame import KeyLine
from ..widgets.patient_finder import pad
from ..widgets.statuses import worded

if TYPE_CHECKING:
    from ...core.services import schedules
else:
    schedules = Later("schedules")

NAME = 18
"""How much of a name is shown, so that where somebody goes is on a small screen too."""
Fact = Mapping[str, Any]


def who_and_what(row: Fact) -> tuple[str, ...]:
    """The first cells of an appointment: name, test, when."""
    start = clock.to_local(row["starts_at"], row["zone"])
    return pad(row["patient_name"], NAME).rstrip(), row["test"], f"{start:%d %b %H:%M}"


class Affected(Dialog[None]):
    """Opened with site and resource ("" for all) and [start, end); Enter opens an appointment.

    `undoable`: it was closed just now, and `u` takes that back.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("r", "reload", "Refresh", id="affected.refresh"),
        Binding("u", "undo", "Undo the closing", id="affected.undo"),
    ]

    def __init__(
        self, heading: str, place: tuple[str, str], period: tuple[datetime, datetime], *, undoable: bool = False
    ) -> None:
        super().__init__()
        self._heading, self._place, self._period, self._undoable = heading, place, period, undoable

    def body(self) -> ComposeResult:
        yield Static(text(self._heading), classes="heading")
        yield Notice()
        yield Table(("Name", "Test", "When", "Status", "Patient", "Reference"), _cells, lambda row: row["reference"])
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(Table).display = False
        self.action_reload()

    def action_reload(self) -> None:
        self.query_one(Notice).say("loading", "Who is booked then is on its way.")
        args = (*self._place, *self._period)
        self.call(schedules.affected, *args, on_done=self._shown, on_error=self._failed, group="affected")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What was closed long ago is re-opened, and not undone."""
        return action != "undo" or self._undoable

    def action_undo(self) -> None:
        self.desk.action_undo()
        self.dismiss(None)

    def _shown(self, rows: list[Fact]) -> None:
        notice, table = self.query_one(Notice), self.query_one(Table)
        table.display = bool(rows)
        if rows:
            notice.clear()
            table.show(rows)
            table.focus()
        else:
            notice.say("empty", "Nobody is booked then.")

    def _failed(self, problem: BookcliError) -> None:
        self.query_one(Notice).say("error", text(said(problem)), "r tries again")
        if problem.code in SIGN_IN:
            self.desk.explain(problem)

    def on_table_opened(self, event: Table.Opened) -> None:
        self.desk.open_appointment(event.row["reference"], on_done=lambda _: self.action_reload())


def _cells(row: Fact) -> Iterable[object]:
    return *who_and_what(row), worded(row["status"]), row["patient"], row["reference"]
