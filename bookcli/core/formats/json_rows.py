"""JSON Lines ↔ rows: one object with plain values on each line; numbers keep the digits they were written with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, BinaryIO, TextIO

from .rows import Row, not_a_table
from .text_lines import TextLines


def read_jsonl(stream: BinaryIO, *, encoding: str = "utf-8") -> Iterator[Row]:
    """A row for each line that is not blank; null is empty, true and false are themselves.

    A line that cannot be read is a row with a problem. Raises InvalidInput `not-utf8` or `not-a-table`; the first row
    is read before this returns.
    """
    rows = _rows(TextLines(stream, encoding))
    first = next(rows, None)
    return chain([first], rows) if first else rows


def write_jsonl(rows: Iterable[Mapping[str, str]], stream: TextIO) -> None:
    """One object on each line, characters beyond ASCII as they are."""
    for row in rows:
        stream.write(json.dumps(dict(row), ensure_ascii=False) + "\n")


def _rows(lines: TextLines) -> Iterator[Row]:
    for line in lines:
        if lines.number == 1 and line.lstrip().startswith("["):
            raise not_a_table("The file is one JSON array, not JSON Lines.", "write one object on each line")
        if line.strip():
            yield _row(lines.number, line)


class _DuplicateKey(ValueError):
    """An object names a key twice, and which value counts would be a guess."""


def _row(line_number: int, line: str) -> Row:
    try:
        # Numbers stay text: a float would round long patient numbers.
        found = json.loads(line, parse_int=str, parse_float=str, parse_constant=_no_constant, object_pairs_hook=_pairs)
    except _DuplicateKey:
        return Row(line_number, {}, "duplicate-key")
    except (ValueError, RecursionError):
        return Row(line_number, {}, "broken-json")
    if not isinstance(found, dict):
        return Row(line_number, {}, "not-an-object")
    values = {name: _text(value) for name, value in found.items() if not isinstance(value, dict | list)}
    return Row(line_number, values, "" if len(values) == len(found) else "not-a-scalar")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DuplicateKey
    return found


def _no_constant(name: str) -> str:
    raise ValueError(name)


def _text(value: str | bool | None) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else str(value).lower()
