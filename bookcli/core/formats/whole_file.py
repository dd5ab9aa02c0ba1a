"""Reads a text file once before it is imported: a line that cannot be read refuses it before its first row."""

from __future__ import annotations

from pathlib import Path

from ..errors import InvalidInput
from .text_lines import TextLines

_SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")


def count_lines(path: str | Path, encoding: str) -> int | None:
    """How many lines a file of text has; None for a spreadsheet, a pipe and stdin, which can be read only once.

    Raises InvalidInput `not-utf8`, `not-in-encoding`, `not-a-table` as the readers of rows do, `file-unreadable`.
    """
    source = Path(path)
    if str(path) == "-" or not source.is_file():
        return None
    try:
        with source.open("rb") as stream:
            if stream.peek(4).startswith(_SPREADSHEETS):
                return None
            lines = TextLines(stream, encoding)
            for _ in lines:
                pass
            return lines.number
    except OSError:
        raise InvalidInput(
            f"The file {path} cannot be read.", hint="check its name and disk", code="file-unreadable"
        ) from None
