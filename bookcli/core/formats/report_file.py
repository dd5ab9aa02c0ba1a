"""The report of an import: the rows as they came, each behind its verdict, ready to be corrected and fed back."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..model.imports import REPORT_COLUMNS, RowVerdict
from .cells import neutralise
from .private_file import PrivateFile


class NoReport:
    """Takes what a report takes, and keeps nothing of it."""

    def header(self, columns: Sequence[str]) -> None:
        """As `ReportFile.header`."""

    def row(self, verdict: RowVerdict, values: Mapping[str, str]) -> None:
        """As `ReportFile.row`."""

    def finish(self) -> None:
        """As `ReportFile.finish`."""


class ReportFile(PrivateFile):
    """A private file with a header and one line per row; formulas in it are neutralised."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._columns: Sequence[str] = ()
        self._writer = csv.writer(self)

    def header(self, columns: Sequence[str]) -> None:
        """The original columns, in their order; those of an earlier report are left out."""
        self._columns = [column for column in columns if column not in REPORT_COLUMNS]
        self._cells([*REPORT_COLUMNS, *self._columns])

    def row(self, verdict: RowVerdict, values: Mapping[str, str]) -> None:
        """One row of the file behind what became of it."""
        cells = [str(verdict.line), verdict.verdict, verdict.reason, verdict.reference]
        self._cells(cells + [values.get(column, "") for column in self._columns])

    def _cells(self, cells: list[str]) -> None:
        self._writer.writerow([neutralise(cell) for cell in cells])
