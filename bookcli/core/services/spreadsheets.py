"""Rows as CSV that any spreadsheet may open: no cell is ever run as a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from ..formats.cells import neutralise


def csv_text(rows: Iterable[Sequence[str]]) -> str:
    """The rows as CSV with a line feed after each; quoted where needed."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerows([neutralise(cell) for cell in row] for row in rows)
    return buffer.getvalue()
