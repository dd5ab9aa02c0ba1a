"""The report of an import: the rows as they came, each behind its verdict, ready to be corrected and fed back.

It holds patient data: only its owner can read it, and under its own name there is only ever a complete one.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from ..errors import InvalidInput, Unavailable
from ..model.imports import REPORT_COLUMNS, RowVerdict
from .cells import neutralise


class ReportFile:
    """Written beside its name as `….part` and renamed by `finish`; a `….part` left by a crash is written anew.

    Raises InvalidInput `report-not-writable` or `report-in-use`; Unavailable `disk-full` while writing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._part = path.with_name(path.name + ".part")
        self._columns: Sequence[str] = ()
        self._stream = self._open()
        self._writer = csv.writer(self._stream)

    def header(self, columns: Sequence[str]) -> None:
        """The original columns, in their order; those of an earlier report are left out."""
        self._columns = [column for column in columns if column not in REPORT_COLUMNS]
        self._write([*REPORT_COLUMNS, *self._columns])

    def row(self, verdict: RowVerdict, values: Mapping[str, str]) -> None:
        """One row of the file behind what became of it."""
        cells = [str(verdict.line), verdict.verdict, verdict.reason, verdict.reference]
        self._write(cells + [values.get(column, "") for column in self._columns])

    def finish(self) -> None:
        """Makes the report appear under its name, whole and on the disk."""
        with self._disk():
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._part.replace(self.path)

    def close(self) -> None:
        """Without `finish` nothing remains of the report."""
        with contextlib.suppress(FileNotFoundError):
            if self._is_ours():
                self._part.unlink()
        with contextlib.suppress(OSError):
            self._stream.close()

    def __enter__(self) -> ReportFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, cells: list[str]) -> None:
        with self._disk():
            self._writer.writerow([neutralise(cell) for cell in cells])

    def _open(self) -> TextIO:
        if self.path.is_dir():
            raise self._not_writable("is a directory")
        try:
            descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as problem:
            raise self._not_writable(f"cannot be written ({problem.strerror})") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise InvalidInput(
                f"Another import is writing the report {self.path}.",
                hint="wait for it, or name another file with --report",
                code="report-in-use",
            ) from None
        os.fchmod(descriptor, 0o600)
        os.ftruncate(descriptor, 0)
        return open(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="")  # noqa: PTH123 - an open file

    def _is_ours(self) -> bool:
        """Whether `….part` is still the file that was opened, not one of a later import."""
        return os.path.samestat(os.fstat(self._stream.fileno()), self._part.stat())

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as problem:
            raise Unavailable(
                f"The report cannot be written: {problem.strerror}.",
                hint="make room and run the same command again: rows that are imported stay so",
                code="disk-full",
            ) from None

    def _not_writable(self, why: str) -> InvalidInput:
        return InvalidInput(
            f"The report {self.path} {why}.", hint="name another file with --report", code="report-not-writable"
        )
