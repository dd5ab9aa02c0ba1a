"""CSV ↔ rows, one row in memory at a time; half a row is reported by its line and never taken for a whole one."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import BinaryIO, TextIO

from ..errors import InvalidInput
from .cells import neutralise, restore
from .rows import Row, as_row, check_header, not_a_table
from .text_lines import TextLines

LARGEST_FIELD = 1024 * 1024
_DELIMITERS = ",;\t|"


def read_csv(stream: BinaryIO, *, encoding: str = "utf-8", delimiter: str | None = None) -> Iterator[Row]:
    """The rows below the header line; blank rows are skipped, formula quotes taken away (see `cells`).

    Without `delimiter` the header decides between comma, semicolon, tab and bar. Raises InvalidInput `not-a-table`,
    `not-utf8`, `header-empty`, `header-duplicate`, `delimiter-unclear`; the header is checked before this returns.
    """
    csv.field_size_limit(LARGEST_FIELD)
    lines = TextLines(stream, encoding)
    first, delimiter = _first_line(iter(lines), _check_delimiter(delimiter))
    reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
    try:
        header = check_header(next(reader), lines.number)
    except csv.Error:
        raise not_a_table("The quotes in the header do not match.", "check the first line of the file") from None
    return _rows(reader, lines, header)


def write_csv(rows: Iterable[Mapping[str, str]], stream: TextIO, columns: Sequence[str]) -> None:
    """A header and the `columns` of every row, comma-separated, formulas neutralised; a missing value is empty."""
    writer = csv.writer(_LineEnds(stream))
    writer.writerow([neutralise(column) for column in columns])
    for row in rows:
        writer.writerow([neutralise(row.get(column, "")) for column in columns])


class _LineEnds:
    """Ends rows with `\\n`; the csv module quotes a lone CR inside a cell only when it is told to end rows by CR LF."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, row: str) -> int:
        return self._stream.write(row.removesuffix("\r\n") + "\n")


def _rows(reader: Iterator[list[str]], lines: TextLines, header: list[str]) -> Iterator[Row]:
    while True:
        start = lines.number + 1
        try:
            cells = next(reader, None)
        except csv.Error as problem:
            # The reader starts afresh on the next line.
            yield Row(start, dict.fromkeys(header, ""), _problem_code(problem, lines.number > start))
            continue
        if cells is None:
            return
        if any(cells):
            yield as_row(start, header, [restore(cell) if cell[:1] == "'" else cell for cell in cells])


def _problem_code(problem: csv.Error, many_lines: bool) -> str:
    what = str(problem)
    # A quote that opens on one line and fails on a later one was meant to end on its own line.
    if many_lines or "unexpected end" in what:
        return "unclosed-quote"
    return "field-too-large" if "field limit" in what else "broken-quote"


def _first_line(lines: Iterator[str], delimiter: str | None) -> tuple[str, str]:
    """The header's first line and the delimiter: as asked, as Excel's `sep=;` line says, or the most frequent one."""
    line = next((line for line in lines if line.strip()), "")
    if len(line.rstrip("\r\n")) == 5 and line.startswith("sep="):
        delimiter = delimiter or line[4]
        line = next(lines, "")
    if not line.strip():
        raise not_a_table("The file is empty.", "its first line must name the columns")
    return line, delimiter or _most_frequent(line)


def _most_frequent(line: str) -> str:
    outside_quotes = "".join(line.split('"')[::2])
    return max(_DELIMITERS, key=outside_quotes.count)


def _check_delimiter(delimiter: str | None) -> str | None:
    delimiter = {"tab": "\t", "\\t": "\t"}.get(delimiter or "", delimiter)
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n\0 '):
        raise InvalidInput("The delimiter must be one character.", hint="such as ; or tab", code="delimiter-unclear")
    return delimiter
