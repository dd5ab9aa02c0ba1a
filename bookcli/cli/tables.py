"""Tables for people; rich is imported here alone, and gets Text, never markup."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .output import View, shown

if TYPE_CHECKING:
    from .output import Record

Column = tuple[str, list[str]]
_STYLES = {"free": "green", "busy": "yellow", "cancelled": "dim", "noshow": "dim", "failed": "bold", "closed": "dim"}

_UNBROKEN = {"Day", "Time", "Reference"}


def text(view: View, records: Sequence[Record], *, people: bool, color: str) -> str:
    """An aligned table without empty columns: as wide as the terminal for people, as needed elsewhere."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    columns = [(heading, [shown(show(record)) for record in records]) for heading, show in view.columns]
    filled = _with_one_zone([(heading, cells) for heading, cells in columns if any(cells)])
    for heading, _ in filled:
        table.add_column(Text(heading), overflow="fold", no_wrap=heading.split(",")[0] in _UNBROKEN)
    for row in zip(*(cells for _, cells in filled), strict=True):
        table.add_row(*(_cell(words) for words in row))
    buffer = io.StringIO()
    console = Console(
        file=buffer,
        force_terminal=color == "always" or (people and color == "auto" and os.environ.get("TERM") != "dumb"),
        no_color=True if color == "never" else False if color == "always" else None,
        width=None if people else 10_000,
        highlight=False,
        markup=False,
        emoji=False,
    )
    console.print(table)
    return "".join(line.rstrip(" ") + "\n" for line in buffer.getvalue().splitlines())


def _cell(words: str) -> Text:
    return Text(words, style=_STYLES.get(words, ""))


def _with_one_zone(columns: list[Column]) -> list[Column]:
    """The columns with a zone that is the same in every row said once, in the heading of the time."""
    zones = {zone for heading, cells in columns if heading == "Zone" for zone in cells}
    if len(zones) != 1:
        return columns
    named = {"Time": f"Time, {zones.pop()}"}
    return [(named.get(heading, heading), cells) for heading, cells in columns if heading != "Zone"]
