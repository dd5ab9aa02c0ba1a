"""A list to choose one of some things from, best first, while the focus is perhaps elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

One = TypeVar("One")


class ChoiceList(OptionList, Generic[One]):
    """`row` says one of them on a line, `key` names it; `shown` are all, `current` is the one under the cursor."""

    def __init__(self, row: Callable[[One], Content], key: Callable[[One], object]) -> None:
        super().__init__(compact=True)
        self._row, self._key = row, key
        self.shown: tuple[One, ...] = ()

    def show(self, others: Sequence[One]) -> None:
        """Shows others; the cursor stays on the same one if it is still there."""
        was = self.current
        self.shown = tuple(others)
        self.clear_options()
        self.add_options(Option(self._row(one)) for one in self.shown)
        keys = [self._key(one) for one in self.shown]
        here = keys.index(self._key(was)) if was is not None and self._key(was) in keys else 0
        self.highlighted = here if self.shown else None

    @property
    def current(self) -> One | None:
        """The one under the cursor."""
        where = self.highlighted
        return self.shown[where] if where is not None and where < len(self.shown) else None

    def step(self, by: int) -> None:
        """Moves the cursor, and stops at the ends."""
        if self.shown:
            self.highlighted = min(max((self.highlighted or 0) + by, 0), len(self.shown) - 1)
