"""An appointment on its way to another place: which one it is, where to, and what has come of it.

What must stay true: it keeps its place until the new one is its own; while nobody knows whether it was moved the same
is asked again under the same key, and nothing else.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from textual.content import Content

from ..core import clock
from ..core.errors import BookcliError, OutcomeUnknown, Unavailable
from ..core.model.appointments import Outcome, sentence
from ..core.model.board import Board, Cell
from ..core.model.requests import new_key
from .calls import AGAIN_SECONDS, Later
from .kit import SIGN_IN, literal, said, text, together
from .widgets.board_grid import MARKED

if TYPE_CHECKING:
    from ..core.services import reception
    from .app import DeskApp
    from .kit import View
    from .screens.board import BoardScreen
else:
    reception = Later("reception")

MOVABLE = frozenset({"pending", "booked", "arrived"})
"""The statuses in which an appointment can be moved; the kernel decides, as always."""
NAME = 24
UNKNOWN = (
    "◷ UNKNOWN — perhaps moved, perhaps not. The answer was lost; it is asked again. Do not book it a second time."
)
Facts = Mapping[str, Any]


def on_board(desk: DeskApp, facts: Facts) -> None:
    """Shows the board, on which somebody walks to the new place; nothing while the desk is locked."""
    if not desk.is_locked:
        desk.open("board")
        cast("BoardScreen", desk.screen_stack[0]).move(facts)


class Move:
    """One appointment that is moved. `changed` is told when there is more to say, `over` that it has moved."""

    def __init__(self, view: View, facts: Facts, changed: Callable[[], None], over: Callable[[Outcome], None]) -> None:
        self._view, self._changed, self._over = view, changed, over
        self.facts = facts
        self.under_way = self._unknown = False
        self._asked: tuple[int, uuid.UUID] | None = None
        self._said = Content("")

    # What it is

    @property
    def test(self) -> str:
        """The code of its test."""
        return str(self.facts["test"])

    @property
    def _start(self) -> datetime:
        return clock.to_local(self.facts["starts_at"], self.facts["zone"])

    def places(self) -> frozenset[int]:
        """The slots that it has now."""
        return frozenset(self.facts["slots"] or (self.facts["slot_id"],))

    def line(self) -> Content:
        """Which one is moved, and how; below it what has come of the last question."""
        name = text(self.facts["patient_name"], "bold").truncate(NAME, ellipsis=True)
        which = text(f" {self.facts['reference']} {self.facts['test_name']} from {self._start:%a %d %b %H:%M}")
        keys = "" if self.under_way else " — Enter puts it here, Esc stops"
        first = together(Content.styled(f"{MARKED} Moving ", "bold"), name, which, keys)
        return Content("\n").join([first, self._said]) if self._said else first

    def question(self) -> str:
        """What is asked before it is moved."""
        return f"Move {self.facts['reference']} {literal(self.facts['test_name'])} of {self.facts['patient_name']}?"

    def from_to(self, board: Board, cell: Cell) -> str:
        """Where it is and where it would be."""
        start = clock.to_local(cell.start, board.place.zone)
        called = next((one.name for one in board.columns if one.code == cell.resource), cell.resource)
        facts = self.facts
        return (
            f"From {self._start:%a %d %b %Y %H:%M}, {facts['resource']}, {facts['site_name']}\n"
            f"To   {start:%a %d %b %Y %H:%M}, {called}, {board.place.name}"
        )

    # Where to

    def to(self, slot: int) -> None:
        """Moves it; the same again under the same key as long as it is not known what came of that."""
        if self.under_way:
            return
        if slot == self.facts["slot_id"]:
            self.say("▲ It is there already.", "$text-warning")
            return
        if self._asked is None or self._asked[0] != slot:
            self._asked = (slot, new_key())
        self.under_way = True
        self.say("… moves", "$text-muted")
        self._go()

    def say(self, words: str, style: str) -> None:
        """What has come of the last question."""
        self._said = text(words, style)
        self._changed()
        if not (self._view.is_active or self.under_way):
            self._view.desk.toast(f"{self.facts['reference']}: {words}", "warning")

    def _go(self) -> None:
        assert self._asked is not None
        args = (self.facts["reference"], *self._asked)
        self._view.call(reception.move, *args, on_done=self._answered, on_error=self._failed)

    def _answered(self, outcome: Outcome) -> None:
        self.under_way = self._unknown = False
        # A refusal is kept under its key; the next attempt is another question.
        self._asked = None
        if outcome.outcome == "refused":
            why = sentence(outcome.reason or "refused", outcome.numbers)
            self.say(f"✕ REFUSED  {why} It keeps its place.", "$text-error")
        else:
            self._over(outcome)

    def _failed(self, problem: BookcliError) -> None:
        unanswered = isinstance(problem, Unavailable) or problem.code in SIGN_IN
        self._unknown = isinstance(problem, OutcomeUnknown) or (self._unknown and unanswered)
        self.under_way = self._unknown
        if self._unknown:
            self.say(UNKNOWN, "bold $text-warning")
            self._view.set_timer(AGAIN_SECONDS, self._go)
        else:
            self.say(f"▲ {said(problem)}", "$text-error")
        if problem.code in SIGN_IN:
            self._view.desk.explain(problem)
