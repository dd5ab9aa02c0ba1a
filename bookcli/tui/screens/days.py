"""Jump to a date or a period, as people type it."""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from textual.app import ComposeResult
from textual.widgets import Input

from ...core.errors import InvalidInput
from ...core.model import periods
from ..kit import Dialog, Field, Result, text


class Understood(Dialog[Result]):
    """Ends with what the words that were typed mean; says how they are understood while they are typed."""

    LABEL: ClassVar[str]
    EXAMPLES: ClassVar[str]

    def __init__(self, today: date) -> None:
        super().__init__()
        self._today = today

    def body(self) -> ComposeResult:
        yield Field(self.LABEL, self.understood, placeholder=self.EXAMPLES)

    def on_mount(self) -> None:
        self.query_one(Field).input.focus()

    def understood(self, words: str) -> Result:
        """What the words mean. Raises InvalidInput."""
        raise NotImplementedError

    def said(self, meant: Result) -> str:
        """The same in full."""
        raise NotImplementedError

    def on_input_changed(self, event: Input.Changed) -> None:
        try:
            meant = self.said(self.understood(event.value)) if event.value.strip() else ""
        except InvalidInput:
            meant = ""
        self.query_one(".dialog").border_subtitle = text(meant)

    def on_input_submitted(self) -> None:
        try:
            self.dismiss(self.query_one(Field).value())
        except InvalidInput:
            self.query_one(Field).input.focus()


class Days(Understood[date]):
    """Ends with a day."""

    HEADING = "Go to"
    LABEL = "Day"
    EXAMPLES = "tomorrow, mon, +3d, 2026-12-01, 1 dec"

    def understood(self, words: str) -> date:
        return periods.parse_day(words, self._today)

    def said(self, meant: date) -> str:
        return f"{meant:%A %d %B %Y}"


class Period(Understood[tuple[date, date]]):
    """Ends with a first and a last day."""

    HEADING = "Show"
    LABEL = "Period"
    EXAMPLES = "last month, -7d, 2026-10, 2026-10-01 to 2026-10-31"

    def understood(self, words: str) -> tuple[date, date]:
        return periods.parse_period(words, self._today)

    def said(self, meant: tuple[date, date]) -> str:
        return period_in_words(meant)


def period_in_words(days: tuple[date, date]) -> str:
    """First and last day, and how many they are."""
    first, last = days
    if first == last:
        return f"{first:%a %d %b %Y}"
    begins = f"{first:%d %b}" if first.year == last.year else f"{first:%d %b %Y}"
    return f"{begins} – {last:%d %b %Y} ({(last - first).days + 1} days)"
