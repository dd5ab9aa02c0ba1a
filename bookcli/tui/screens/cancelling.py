"""Cancels an appointment for one of FHIR's reasons; the harmless answer has the focus.

What must stay true: no single key that was meant for something else cancels anything.
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Button, OptionList, Static
from textual.widgets.option_list import Option

from ...core.model.appointments import CANCELLATION_REASONS
from ..kit import Dialog, text, together


class Cancelling(Dialog[str]):
    """Ends with the code of the reason, None when it is kept."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "leave", "Keep", id="cancel.keep", show=False),
        Binding("left,right", "app.focus_next", "Other answer", id="cancel.other", show=False),
        Binding("up,down", "why", "Why", id="cancel.why", show=False),
    ]

    def __init__(self, what: str) -> None:
        super().__init__()
        self._what = what

    def body(self) -> ComposeResult:
        yield Static(text(f"Cancel {self._what}?"), classes="heading")
        yield Static(text("Why: ↑ ↓ choose, Enter goes on"), classes="more")
        reasons = CANCELLATION_REASONS.items()
        yield OptionList(*(Option(together(text(f"{code:<12}", "bold"), text(why))) for code, why in reasons))
        with Horizontal(classes="buttons"):
            yield Button(text("Keep"), id="keep", compact=True)
            yield Button(text("Cancel it"), id="cancel", variant="error", compact=True)

    def on_mount(self) -> None:
        self.query_one(OptionList).highlighted = 0
        self.query_one("#keep", Button).focus()

    def action_why(self) -> None:
        self.query_one(OptionList).focus()

    def on_option_list_option_selected(self) -> None:
        self.query_one("#cancel", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        where = self.query_one(OptionList).highlighted or 0
        self.dismiss(list(CANCELLATION_REASONS)[where] if event.button.id == "cancel" else None)
