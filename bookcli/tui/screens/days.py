"""Jump to a date, as people type it."""

from __future__ import annotations

from datetime import date

from textual.app import ComposeResult
from textual.widgets import Input

from ...core.errors import InvalidInput
from ...core.model.periods import parse_day
from ..kit import Dialog, Field, text


class Days(Dialog[date]):
    """Ends with the day that was typed; says how it is understood while it is typed."""

    HEADING = "Go to"

    def __init__(self, today: date) -> None:
        super().__init__()
        self._today = today

    def body(self) -> ComposeResult:
        yield Field("Day", self._understood, placeholder="tomorrow, mon, +3d, 2026-12-01, 1 dec")

    def on_mount(self) -> None:
        self.query_one(Field).input.focus()

    def _understood(self, words: str) -> date:
        return parse_day(words, self._today)

    def on_input_changed(self, event: Input.Changed) -> None:
        try:
            day = self._understood(event.value) if event.value.strip() else None
        except InvalidInput:
            day = None
        self.query_one(".dialog").border_subtitle = text(f"{day:%A %d %B %Y}" if day else "")

    def on_input_submitted(self) -> None:
        try:
            self.dismiss(self.query_one(Field).value())
        except InvalidInput:
            self.query_one(Field).input.focus()
