"""The nearest free places for an appointment, or those of other days that are typed: the quick way to move it.

What must stay true: nothing is moved here; what was chosen is asked for by whoever has opened it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Input, OptionList, Static

from ...core import clock
from ...core.errors import BookcliError
from ...core.model import quick_line
from ...core.model.offers import Offer
from ..calls import Later
from ..kit import Dialog, said, text, together
from ..widgets.frame import KeyLine
from ..widgets.offer_list import OfferList
from ..widgets.patient_finder import labelled

if TYPE_CHECKING:
    from ...core.services import reception
    from ...core.services.reception import Offered
else:
    reception = Later("reception")

DEBOUNCE = 0.2
DAYS = timedelta(days=13)


class Moving(Dialog[Offer]):
    """Opened with the facts of an appointment; ends with the place that was chosen."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self._facts = facts
        self._timer: Timer | None = None

    def body(self) -> ComposeResult:
        facts = self._facts
        start = clock.to_local(facts["starts_at"], facts["zone"])
        yield Static(together("Move ", text(f"{facts['reference']}  {facts['test_name']}")), classes="heading")
        yield Static(text(f"From {start:%a %d %b %Y %H:%M}, {facts['resource']}, {facts['site_name']}"), classes="more")
        placeholder = "the nearest; or tue am, +3d, next week"
        yield labelled("To", Input(placeholder=placeholder, compact=True, select_on_focus=False))
        yield OfferList()
        yield Static(text("Enter moves it to the place under the cursor."), classes="more")
        yield Static(Content(""), id="problem")
        yield KeyLine()

    def on_mount(self) -> None:
        self._ask()
        self.query_one(OfferList).focus()

    def on_input_changed(self) -> None:
        # Nothing is chosen that was offered for other days.
        self.query_one(OfferList).show(())
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(DEBOUNCE, self._ask)

    def on_input_submitted(self) -> None:
        self.query_one(OfferList).focus()

    def _ask(self) -> None:
        facts = self._facts
        today = clock.today(facts["zone"])
        line = quick_line.understand(self.query_one(Input).value, quick_line.Known({}, {}), today)
        if line.no_day:
            self._say(text(f"▲ {line.no_day} is no day.", "$text-warning"))
            return
        near = None if line.days else (facts["slot_id"], facts["starts_at"])
        day = max(clock.to_local(facts["starts_at"], facts["zone"]).date(), today)
        days = line.days or (max(day - DAYS / 2, today), day + DAYS)
        line = replace(line, tests=(facts["test"],), site=facts["site"], days=days, patient="")
        self.call(reception.offered, line, "", near, on_done=self._offered, on_error=self._failed, group="offers")

    def _offered(self, found: Offered) -> None:
        free = [one for one in found.offers if one.parts[0].slot_id != self._facts["slot_id"]]
        self.query_one(OfferList).show(free)
        self._say(None if free else text("○ Nothing is free then. Type other days.", "$text-warning"))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self.query_one(OfferList).current)

    def _failed(self, problem: BookcliError) -> None:
        self._say(text(f"▲ {said(problem)}", "$text-error"))

    def _say(self, words: Content | None) -> None:
        self.query_one("#problem", Static).update(words or Content(""))
