"""Cancels an appointment for one of FHIR's reasons; the harmless answer has the focus.

What must stay true: no single key that was meant for something else cancels anything; what is stored is FHIR's code,
whatever it is called here.
"""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Input, Static

from ...core.model.appointments import CANCELLATION_REASONS
from ...core.model.text import fold
from ..kit import Dialog, text, together
from ..widgets.choice_list import ChoiceList
from ..widgets.patient_finder import labelled

USUAL = {
    "pat": "The patient asked, or is ill",
    "prov": "Clinic: staff",
    "maint": "Clinic: machine broken",
    "oth-oerr": "Booked by mistake",
    "other": "Something else",
}
"""What it mostly is at a desk, by code; the other reasons are found by typing."""


class Cancelling(Dialog[str]):
    """Ends with the code of the reason, None when it is kept."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "keep", "Keep", id="cancel.keep", show=False),
        Binding("left,right", "app.focus_next", "Other answer", id="cancel.other", show=False),
        Binding("up,down", "why", "Why", id="cancel.why", show=False),
        Binding("slash", "find", "Other reasons", id="cancel.find", show=False),
    ]

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    def body(self) -> ComposeResult:
        yield Static(text(f"Cancel {self._what}?"), classes="heading")
        yield Static(text("Why: ↑ ↓ choose, / finds other reasons, Enter goes on"), classes="more")
        yield labelled("Find", Input(placeholder="weather, interpreter, moved …", compact=True, select_on_focus=False))
        yield ChoiceList(_row, str)
        with Horizontal(classes="buttons"):
            yield Button(text("Keep"), id="keep", compact=True)
            yield Button(text("Cancel it"), id="cancel", variant="error", compact=True)

    def on_mount(self) -> None:
        self.query_one(ChoiceList).show(tuple(USUAL))
        self.query_one("#keep", Button).focus()

    def action_why(self) -> None:
        self.query_one(ChoiceList).focus()

    def action_find(self) -> None:
        self.query_one(Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        words = fold(event.value).split()
        found = [code for code in CANCELLATION_REASONS if all(f" {word}" in _findable(code) for word in words)]
        self.query_one(ChoiceList).show(found if words else tuple(USUAL))

    def on_input_submitted(self) -> None:
        self.query_one(ChoiceList).focus()

    def on_key(self, event: events.Key) -> None:
        """Letters that are typed on the list are looked for."""
        if self.query_one(ChoiceList).has_focus and event.character and event.character.isalnum():
            self.action_find()
            self.query_one(Input).insert_text_at_cursor(event.character)
            event.stop()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Where letters are looked for, none of them keeps the appointment; `esc` does."""
        return action != "keep" or not self.query_one(ChoiceList).has_focus

    def action_keep(self) -> None:
        self.action_leave()

    def on_option_list_option_selected(self) -> None:
        self.query_one("#cancel", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        code = self.query_one(ChoiceList).current
        if event.button.id == "keep":
            self.dismiss(None)
        elif code is not None:
            self.dismiss(code)


def _row(code: str) -> Content:
    return together(text(USUAL.get(code, CANCELLATION_REASONS[code])), "  ", text(code, "$text-muted"))


def _findable(code: str) -> str:
    """What a reason is found by: words that begin so, each after a blank."""
    return fold(f" {code} {CANCELLATION_REASONS[code]} {USUAL.get(code, '')}")
