"""Moves an appointment: the nearest free places, or those of other days that are typed.

What must stay true: the appointment keeps its place until the new one is its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from textual.app import ComposeResult
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Input, OptionList, Static

from ...core import clock
from ...core.errors import BookcliError
from ...core.model import quick_line
from ...core.model.appointments import Outcome, sentence
from ...core.model.offers import Offer
from ...core.model.requests import new_key
from ...core.services import reception
from ..kit import Dialog, said, text, together
from ..widgets.frame import KeyLine
from ..widgets.offer_list import OfferList
from ..widgets.patient_finder import labelled

DEBOUNCE = 0.2
DAYS = timedelta(days=13)


class Moving(Dialog[Outcome]):
    """Opened with the facts of an appointment; ends with the outcome when it was moved."""

    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self._facts = facts
        self._timer: Timer | None = None
        self._busy = False
        self._key = new_key()

    def body(self) -> ComposeResult:
        facts = self._facts
        start = clock.to_local(facts["starts_at"], facts["zone"])
        yield Static(together("Move ", text(f"{facts['reference']}  {facts['test_name']}")), classes="heading")
        yield Static(text(f"From {start:%a %d %b %Y %H:%M}, {facts['resource']}, {facts['site_name']}"), classes="more")
        placeholder = "the nearest; or tue am, +3d, next week"
        yield labelled("To", Input(placeholder=placeholder, compact=True, select_on_focus=False))
        yield OfferList()
        yield Static(Content(""), id="problem")
        yield KeyLine()

    def on_mount(self) -> None:
        self._ask()
        self.query_one(OfferList).focus()

    def action_leave(self) -> None:
        """Leaves, but not while nobody knows yet whether it has moved."""
        if not self._busy:
            super().action_leave()

    def on_input_changed(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(DEBOUNCE, self._ask)

    def on_input_submitted(self) -> None:
        self.query_one(OfferList).focus()

    def _ask(self) -> None:
        facts = self._facts
        today = clock.today(facts["zone"])
        line = quick_line.understand(self.query_one(Input).value, quick_line.Known({}, {}), today)
        near = None if line.days else (facts["slot_id"], facts["starts_at"])
        day = max(clock.to_local(facts["starts_at"], facts["zone"]).date(), today)
        days = line.days or (max(day - DAYS / 2, today), day + DAYS)
        line = replace(line, tests=(facts["test"],), site=facts["site"], days=days, patient="")
        self.call(reception.offered, line, "", near, on_done=self._offered, on_error=self._say_failed, group="offers")

    def _offered(self, found: list[Offer]) -> None:
        free = [one for one in found if one.parts[0].slot_id != self._facts["slot_id"]]
        self.query_one(OfferList).show(free)
        self._say(None if free else text("○ Nothing is free then. Type other days.", "$text-warning"))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        offer = self.query_one(OfferList).current
        if offer is not None and not self._busy:
            self._busy = True
            args = (self._facts["reference"], offer.parts[0].slot_id, self._key)
            self.call(reception.move, *args, on_done=self._moved, on_error=self._failed)

    def _moved(self, outcome: Outcome) -> None:
        self._busy = False
        self._key = new_key()
        if outcome.outcome != "refused":
            self.dismiss(outcome)
            return
        why = sentence(outcome.reason or "refused", outcome.numbers)
        self._say(text(f"✕ REFUSED  {why} It keeps its place.", "$text-error"))
        if outcome.alternatives:
            self.query_one(OfferList).show([Offer((slot,)) for slot in outcome.alternatives])

    def _failed(self, problem: BookcliError) -> None:
        self._busy = False
        self._say_failed(problem)

    def _say_failed(self, problem: BookcliError) -> None:
        self._say(text(f"▲ {said(problem)}", "$text-error"))

    def _say(self, words: Content | None) -> None:
        self.query_one("#problem", Static).update(words or Content(""))
