"""A picture made of a table: heads stay where they are, arrows walk over it, and it is drawn for the room there is.

What must stay true: every cell is a Text or a bar, never a string, which a table would read as markup; nothing is told
by a colour alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from rich.console import RenderableType
from rich.style import Style
from rich.text import Text
from textual import events
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate
from textual.message import Message
from textual.widgets import DataTable

Styles = Callable[[str], Style]
HEATS = 5
LEAST_ROOM = 40


@dataclass(frozen=True, slots=True)
class Line:
    """A row: what names it, its cells, and what is said of each of them; or of all of them, when that is one."""

    key: str
    cells: Sequence[RenderableType]
    facts: Sequence[str]


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture for a certain room: (heading, width) of every column, and the rows.

    The first `fixed` columns and the first row stay where they are; `walk` is over cells or over rows.
    """

    columns: Sequence[tuple[Text, int]]
    lines: Sequence[Line]
    fixed: int
    walk: Literal["cell", "row"]


class Picture(DataTable[RenderableType]):
    """Shows what `draw(room, styles)` makes of so many cells across; posts `Moved` with what is under the cursor."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"picture--heat-{n}" for n in range(HEATS)), "picture--sum", "picture--bar", "picture--few"
    }  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "cursor_up", "Up", id="picture.up", show=False),
        Binding("down,j", "cursor_down", "Down", id="picture.down", show=False),
        Binding("left,h", "cursor_left", "Left", id="picture.left", show=False),
        Binding("right,l", "cursor_right", "Right", id="picture.right", show=False),
        Binding("pageup", "page_up", "Page up", id="picture.page-up", show=False),
        Binding("pagedown", "page_down", "Page down", id="picture.page-down", show=False),
        Binding("home", "scroll_home", "First column", id="picture.first", show=False),
        Binding("end", "scroll_end", "Last column", id="picture.last", show=False),
        Binding("ctrl+home", "scroll_top", "First row", id="picture.top", show=False),
        Binding("ctrl+end", "scroll_bottom", "Last row", id="picture.bottom", show=False),
    ]

    class Moved(Message):
        """The cursor is elsewhere, or the picture is another one."""

        def __init__(self, fact: str) -> None:
            super().__init__()
            self.fact = fact

    def __init__(self) -> None:
        super().__init__(cell_padding=0, zebra_stripes=False, cursor_background_priority="css")
        self._draw: Callable[[int, Styles], Drawing] | None = None
        self._drawing: Drawing | None = None
        self._room = 0

    def show(self, draw: Callable[[int, Styles], Drawing]) -> None:
        """Shows another picture; the cursor stays on the row and the column that it is on, if they are still there."""
        self._draw = draw
        self._redraw()

    def on_resize(self, event: events.Resize) -> None:
        if self.scrollable_content_region.width != self._room:
            self._redraw()

    def notify_style_update(self) -> None:
        """The colours are others."""
        super().notify_style_update()
        if self._drawing is not None:
            self.call_later(self._redraw)

    def _style(self, name: str) -> Style:
        return self.get_component_rich_style(f"picture--{name}")

    def _redraw(self) -> None:
        self._room = self.scrollable_content_region.width
        if self._draw is None or not self._room:
            return
        was, row, column = self._drawing, *self.cursor_coordinate
        key = was.lines[row].key if was is not None and row < len(was.lines) else ""
        head = was.columns[column][0].plain if was is not None and column < len(was.columns) else ""
        now = self._drawing = self._draw(max(self._room, LEAST_ROOM), self._style)
        self.clear(columns=True)
        self.cursor_type, self.fixed_columns, self.fixed_rows = now.walk, now.fixed, 1
        for heading, width in now.columns:
            self.add_column(heading, width=width)
        for line in now.lines:
            self.add_row(*line.cells)
        rows = [line.key for line in now.lines]
        heads = [heading.plain for heading, _ in now.columns]
        self.move_cursor(
            row=rows.index(key) if key in rows else 0,
            column=heads.index(head) if head in heads else min(1, len(heads) - 1),
        )
        self._say()

    def watch_cursor_coordinate(self, old_coordinate: Coordinate, new_coordinate: Coordinate) -> None:
        super().watch_cursor_coordinate(old_coordinate, new_coordinate)
        self._say()

    def _say(self) -> None:
        drawing, (row, column) = self._drawing, self.cursor_coordinate
        if drawing is not None and row < len(drawing.lines):
            facts = drawing.lines[row].facts
            self.post_message(self.Moved(facts[min(column, len(facts) - 1)] if facts else ""))


def cell(words: Any, width: int, style: Style | None = None, *, right: bool = False) -> Text:
    """Words in exactly so many cells, with a space at their end; what is too long ends in an ellipsis."""
    made = Text(str(words), style or "", no_wrap=True, end="")
    made.truncate(max(width - 1, 1), overflow="ellipsis")
    short = max(width - 1 - made.cell_len, 0)
    made.pad_left(short) if right else made.pad_right(short)
    made.pad_right(width - made.cell_len)
    return made
