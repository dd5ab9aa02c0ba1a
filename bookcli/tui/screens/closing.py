"""Closes a resource or a site for a time: who is booked then, where each could go, and all of it in one commit.

What must stay true: nothing is closed before everybody it hits has been shown; and after a lost answer nothing is
closed again before it is known whether it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Static

from ...core import clock
from ...core.errors import BookcliError, InvalidInput, OutcomeUnknown, Refused
from ...core.model.board import Place
from ...core.model.schedules import Closed, Closure
from ...core.model.text import clean_note
from ...core.services import places
from ..calls import Later
from ..kit import SIGN_IN, Dialog, Table, literal, said, text
from ..undoing import Undo
from ..widgets.frame import KeyLine
from ..widgets.statuses import worded
from .affected import who_and_what
from .form import Form, a_resource

if TYPE_CHECKING:
    from ...core.services import closings, schedules
    from ...core.services.closings import Done, Plan
else:
    closings, schedules = Later("closings"), Later("schedules")

FIELDS = {
    "resource": ("Resource", "mri-1; all: the whole site"),
    "from": ("From", "fri 10:00; fri: the whole day"),
    "to": ("To", "fri 14:00; empty: that day"),
    "reason": ("Reason", "without any patient's name"),
}
UNKNOWN = "◷ UNKNOWN — perhaps closed, perhaps not. The answer was lost: look again before anything else."
Fact = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be closed: a resource ("" for all) of a site in [start, end), aware."""

    place: Place
    resource: str
    period: tuple[datetime, datetime]
    reason: str

    @property
    def words(self) -> str:
        """Where and when, on one line."""
        return f"{self.resource or self.place.name}, {span(self.period, self.place.zone)}"


@dataclass(frozen=True, slots=True)
class Result:
    """What was done, said; how it is taken back; and how many are booked in it still."""

    asked: Asked
    sentence: str
    undo: Undo | None
    left: int


def span(period: tuple[datetime, datetime], zone: str) -> str:
    """A time at a site on one line; a day is told once."""
    start, end = (clock.to_local(moment, zone) for moment in period)
    last = end - timedelta(seconds=1)
    if start.date() == last.date():
        until = "24:00" if end.date() > last.date() else f"{end:%H:%M}"
    else:
        until = f"{last:%a %d %b %Y} 24:00" if end.date() > last.date() else f"{end:%a %d %b %Y %H:%M}"
    return f"{start:%a %d %b %Y %H:%M}–{until}"


class Closing(Form[Result]):
    """What to close, and why; ends when it is closed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+s", "go", "Who is affected", id="closing.look")]

    def __init__(self, place: Place, codes: Sequence[str], closures: Sequence[Closure], code: str = "") -> None:
        self._place, self._codes, self._known = place, list(codes), closures
        super().__init__("Close for a time", FIELDS, {"resource": code})

    def check(self, name: str, words: str) -> Any:
        if name == "resource":
            return a_resource(words, self._codes, everything=True)
        if name == "reason":
            return clean_note(words, label="reason", limit=200)
        if name == "from":
            return places.moments(self._place.zone, words, "")[0]
        try:
            self.check("from", self.typed("from"))
        except InvalidInput:
            return None
        start, end = places.moments(self._place.zone, self.typed("from"), words)
        if end <= start or end <= clock.now():
            wrong = "That ends before it begins." if end <= start else "That time is over."
            raise InvalidInput(wrong, code="period")
        return start, end

    def meaning(self) -> str:
        return span(places.moments(self._place.zone, self.typed("from"), self.typed("to")), self._place.zone)

    def go(self, values: Mapping[str, Any]) -> None:
        asked = Asked(self._place, values["resource"], values["to"], values["reason"])
        planned = partial(self._planned, asked)
        args = (asked.place.code, asked.resource, *asked.period)
        self.call(closings.plan, *args, on_done=planned, on_error=self._not_planned)

    def _planned(self, asked: Asked, plan: Plan) -> None:
        self.desk.show(Affecting(asked, plan, self._known), self._decided)

    def _not_planned(self, problem: BookcliError) -> None:
        self.failed(problem)
        if problem.code in SIGN_IN:
            self.desk.explain(problem)

    def _decided(self, result: Result | None) -> None:
        if result is None:
            self.again()
        else:
            self.dismiss(result)


class Affecting(Dialog[Result]):
    """Whom closing would hit and where each could go; leaving has the focus. Ends when it is closed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "leave", "Cancel", id="closing.cancel", show=False),
        Binding("left", "app.focus_previous", id="closing.before", show=False),
        Binding("right", "app.focus_next", id="closing.after", show=False),
        Binding("up,down", "walk", "Who", id="closing.who", show=False),
    ]

    def __init__(self, asked: Asked, plan: Plan, known: Sequence[Closure]) -> None:
        super().__init__()
        self._asked, self._plan = asked, plan
        self._known = {one.closure_id for one in known}
        self._busy = self._lost = False

    def body(self) -> ComposeResult:
        yield Static(text(f"Close {self._asked.words}?"), classes="heading")
        yield Static(Content(""), id="hit")
        yield Table(("Name", "Test", "From", "To", "Patient"), self._cells, lambda row: row["reference"])
        yield Static(Content(""), id="wrong")
        with Horizontal(classes="buttons"):
            yield Button(text("Cancel"), id="cancel", compact=True)
            yield Button(text("Close only"), id="only", variant="error", compact=True)
            yield Button(text("Close, move all"), id="all", variant="error", compact=True)
            yield Button(text("Move whom it can"), id="some", variant="error", compact=True)
            yield Button(text("Look again"), id="look", compact=True)
        yield KeyLine()

    def on_mount(self) -> None:
        self._show(self._plan)
        self.query_one("#cancel", Button).focus()

    # What is shown

    def _show(self, plan: Plan) -> None:
        self._plan = plan
        rows = sorted(
            [*(one.row for one in plan.moves), *plan.left], key=lambda row: (row["starts_at"], row["reference"])
        )
        table = self.query_one(Table)
        table.display = bool(rows)
        table.show(rows)
        self.query_one("#hit", Static).update(text(self._counted(len(plan.moves), len(plan.left))))
        self._offer()

    def _counted(self, moves: int, left: int) -> str:
        reason = f"For: {literal(self._asked.reason)}. " if self._asked.reason else ""
        if not moves and not left:
            return f"{reason}Nobody is booked then."
        none = f"▲ {left} ha{'s' if left == 1 else 've'} no place" if left else "everybody has a new place"
        return f"{reason}{moves + left} booked then; {none}. Who moves is told."

    def _offer(self) -> None:
        """Shows the buttons of what can be done now."""
        moves, left = len(self._plan.moves), len(self._plan.left)
        shown = {
            "only": not self._lost,
            "all": not self._lost and moves > 0 and not left,
            "some": not self._lost and moves > 0,
            "look": self._lost,
        }
        self.query_one("#only", Button).label = text("Close only" if moves or left else "Close")
        for name, display in shown.items():
            self.query_one(f"#{name}", Button).display = display
        self.query_one("#look" if self._lost else "#cancel", Button).focus()

    def _cells(self, row: Fact) -> Iterable[object]:
        slot = next((one.slot for one in self._plan.moves if one.row is row), None)
        if slot is not None:
            start = clock.to_local(slot.start, slot.zone)
            to = f"{start:%d %b %H:%M} {literal(slot.resource)}"
        else:
            to = "▲ no place" if row["status"] in ("booked", "pending") else f"▲ is {worded(row['status'])}"
        return *who_and_what(row), to, row["patient"]

    def _say(self, words: str) -> None:
        self.query_one("#wrong", Static).update(text(words, "$text-error"))

    # Keys

    def action_leave(self) -> None:
        """Leaves, but not while nobody knows yet whether it is closed."""
        if self._busy:
            return
        if self._lost:
            # The form would ask for the same again; behind it is what is closed.
            self.dismiss(Result(self._asked, UNKNOWN, None, 0))
        else:
            super().action_leave()

    def action_walk(self) -> None:
        if self.query_one(Table).display:
            self.query_one(Table).focus()

    def on_table_opened(self, event: Table.Opened) -> None:
        self.desk.open_appointment(event.row["reference"], on_done=lambda _: self._plan_again())

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if self._busy or event.button.id == "cancel":
            self.action_leave()
            return
        self._busy = True
        self._say("")
        asked = self._asked
        if event.button.id == "look":
            look = partial(closings.closed, but=self._known)
            self.call(look, self._plan, asked.reason, on_done=self._looked, on_error=self._failed)
        elif event.button.id == "only":
            args = (asked.place.code, asked.resource, *asked.period, asked.reason)
            self.call(schedules.close, *args, on_done=self._was_closed, on_error=self._failed)
        else:
            apply = partial(closings.apply, everybody=event.button.id == "all")
            self.call(apply, self._plan, asked.reason, on_done=self._moved, on_error=self._failed)

    # What came of it

    def _was_closed(self, done: Closed) -> None:
        left = len(done.affected)
        stay = f"; {left} stay{'s' if left == 1 else ''} booked then" if left else ""
        self._told(done.closure_id, f"Closed {self._asked.words}{stay}.", left)

    def _moved(self, done: Done) -> None:
        left = len(done.left)
        stay = f", {left} stay{'s' if left == 1 else ''} booked then" if left else ""
        self._told(done.closure_id, f"Closed {self._asked.words}; moved {len(done.moved)}{stay}.", left)

    def _told(self, closure: int, sentence: str, left: int) -> None:
        self.dismiss(Result(self._asked, sentence, Undo("", closings.taken_back, (closure,)), left))

    def _failed(self, problem: BookcliError) -> None:
        self._busy = False
        if problem.code in SIGN_IN:
            self.desk.explain(problem)
        elif isinstance(problem, OutcomeUnknown) and problem.code == "saved-not-shown":
            self.dismiss(
                Result(self._asked, f"Closed {self._asked.words}. Who is booked then could not be shown.", None, 1)
            )
        elif isinstance(problem, OutcomeUnknown) or self._lost:
            self._lost = True
            self._say(UNKNOWN)
            self._offer()
        elif isinstance(problem, Refused):
            self._say(f"✕ REFUSED  {said(problem)}")
            self._plan_again()
        else:
            self._say(f"▲ {said(problem)}")

    def _plan_again(self) -> None:
        args = (self._asked.place.code, self._asked.resource, *self._asked.period)
        self.call(closings.plan, *args, on_done=self._show, on_error=self.desk.failed, group="plan")

    def _looked(self, closure: int | None) -> None:
        self._busy = self._lost = False
        if closure is not None:
            self._told(closure, f"It was closed: {self._asked.words}.", 1)
            return
        self._say("○ It is not closed: nothing was changed.")
        self._plan_again()
