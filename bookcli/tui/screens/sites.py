"""Choose the site that is shown, by its code or name."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from ...core.model.board import Place
from ..kit import Dialog, text, together


class Sites(Dialog[Place]):
    """Ends with the site that was chosen."""

    HEADING = "Site"

    def __init__(self, places: Sequence[Place], current: Place | None) -> None:
        super().__init__()
        self._places, self._current = places, current

    def body(self) -> ComposeResult:
        yield OptionList(*(Option(together(text(f"{one.code:<14}", "bold"), text(one.name))) for one in self._places))

    def on_mount(self) -> None:
        options = self.query_one(OptionList)
        if self._current is not None and self._current in self._places:
            options.highlighted = list(self._places).index(self._current)
        options.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._places[event.option_index])
