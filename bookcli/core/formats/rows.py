"""One row of a table from outside, whatever file it came from; every value is text and nothing is guessed about it."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import InvalidInput


class Row(NamedTuple):
    """Where a row starts in its file (1 is the first line or sheet row), its values by column, and what is wrong.

    `problem` is empty or a code: `too-few-fields`, `too-many-fields`, `unclosed-quote`, `broken-quote`,
    `field-too-large`, `broken-json`, `not-an-object`, `not-a-scalar`, `duplicate-key`. The values of such a row are
    whatever could still be read.
    """

    line: int
    values: dict[str, str]
    problem: str = ""


def check_header(names: list[str], line: int) -> list[str]:
    """The column names, trimmed. Raises InvalidInput `header-empty` or `header-duplicate`."""
    header = [name.strip() for name in names]
    for place, name in enumerate(header):
        if not name:
            raise InvalidInput(
                f"Column {place + 1} has no name in the header on line {line}.",
                hint="name every column once",
                code="header-empty",
                details={"line": line, "column": place + 1},
            )
        if name in header[:place]:
            raise InvalidInput(
                f"The header on line {line} names the column {name} twice.",
                hint="name every column once",
                code="header-duplicate",
                details={"line": line, "column": place + 1},
            )
    return header


def as_row(line: int, header: list[str], cells: list[str]) -> Row:
    """The cells under their column names; missing ones are empty, surplus ones are left out, both with a problem."""
    values = dict(zip(header, cells, strict=False))
    if len(cells) == len(header):
        return Row(line, values)
    if len(cells) > len(header):
        return Row(line, values, "too-many-fields")
    return Row(line, {**dict.fromkeys(header, ""), **values}, "too-few-fields")


def not_a_table(what: str, hint: str) -> InvalidInput:
    """The refusal of a file that is no table at all, or no table of the kind it claims to be."""
    return InvalidInput(what, hint=hint, code="not-a-table")
