"""Cells of a CSV file that a spreadsheet would run as a formula; `restore(neutralise(cell))` is always the cell."""

from __future__ import annotations

import re

# Source: OWASP, "CSV Injection". The full-width forms run in East Asian versions of Excel.
_STARTS_A_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NEGATIVE_NUMBER = re.compile(r"-\d+(?:\.\d+)?", re.ASCII)


def neutralise(cell: str) -> str:
    """The cell with `'` in front if a spreadsheet would run it; negative numbers stay numbers.

    A cell that has quotes before such a start gets one more, so that `restore` can tell them apart.
    """
    if cell.lstrip("'").startswith(_STARTS_A_FORMULA) and not _NEGATIVE_NUMBER.fullmatch(cell):
        return "'" + cell
    return cell


def restore(cell: str) -> str:
    """The cell before `neutralise`: exactly one leading `'` is taken away, if a formula start follows the quotes."""
    if cell[:1] == "'" and cell.lstrip("'").startswith(_STARTS_A_FORMULA):
        return cell[1:]
    return cell
