"""Words to read, above a view: nothing is done here, `esc` goes back.

What must stay true: whatever is given is shown as characters, line by line.
"""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from ..kit import Dialog, paragraph, text
from ..widgets.frame import KeyLine


class Reading(Dialog[None]):
    """Opened with a heading of one line and what there is to read, which scrolls when it is long."""

    def __init__(self, heading: str, words: str) -> None:
        super().__init__()
        self._heading, self._words = heading, words

    def body(self) -> ComposeResult:
        yield Static(text(self._heading), classes="heading")
        with VerticalScroll(id="words"):
            yield Static(paragraph(self._words))
        yield KeyLine()
