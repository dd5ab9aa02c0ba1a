"""Choose one of a few things that have a code and a name."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from ..kit import Dialog, text, together


class Choices(Dialog[str]):
    """Ends with the code that was chosen; letters go to the next code that begins so."""

    def __init__(self, heading: str, choices: Sequence[tuple[str, str]], current: str = "") -> None:
        super().__init__()
        self.HEADING = heading  # type: ignore[misc]
        self._choices, self._current = choices, current

    def body(self) -> ComposeResult:
        width = max((len(code) for code, _ in self._choices), default=0) + 2
        yield OptionList(
            *(Option(together(text(code.ljust(width), "bold"), text(name))) for code, name in self._choices),
            compact=True,
        )

    def on_mount(self) -> None:
        codes = [code for code, _ in self._choices]
        options = self.query_one(OptionList)
        options.highlighted = codes.index(self._current) if self._current in codes else 0
        options.focus()

    def on_key(self, event: object) -> None:
        letter = getattr(event, "character", None) or ""
        codes = [code for code, _ in self._choices]
        options = self.query_one(OptionList)
        here = (options.highlighted or 0) + 1
        order = [*range(here, len(codes)), *range(here)]
        found = next((n for n in order if n < len(codes) and letter.isalnum() and codes[n].startswith(letter)), None)
        if found is not None:
            options.highlighted = found

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._choices[event.option_index][0])
