"""Rows of a spreadsheet (XLSX, XLS, ODS); a cell is rendered as it was meant: ISO dates, whole numbers without `.0`.

calamine reads a whole sheet at once, so unlike the text formats memory grows with the sheet.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from ..errors import InvalidInput, NotFound
from ..model.text import nearest
from .rows import Row, as_row, check_header, not_a_table

if TYPE_CHECKING:
    from python_calamine import CalamineSheet, CalamineWorkbook

_Cell = int | float | str | bool | datetime.date | datetime.time | datetime.timedelta


def read_xlsx(stream: BinaryIO, *, sheet: str | None = None) -> Iterator[Row]:
    """The rows below the first row that is not empty, of the named or the first sheet; `line` is the sheet's row.

    `stream` must be seekable. Raises InvalidInput `not-a-table`, `header-empty`, `header-duplicate`,
    `file-has-password`; NotFound `sheet-unknown`. The header is checked before this returns.
    """
    found = _sheet(_workbook(stream), sheet)
    rows = ((line, [_text(cell) for cell in cells]) for line, cells in enumerate(found.iter_rows(), 1))
    filled = ((line, cells) for line, cells in rows if any(cells))
    line, names = next(filled, (1, []))
    if not names:
        raise not_a_table("The sheet is empty.", "its first row must name the columns")
    header = check_header(_without_empty_end(names, 0), line)
    return (as_row(line, header, _without_empty_end(cells, len(header))) for line, cells in filled)


def _workbook(stream: BinaryIO) -> CalamineWorkbook:
    import python_calamine  # noqa: PLC0415 - only files that need it pay for it

    try:
        return python_calamine.CalamineWorkbook.from_filelike(stream)
    except python_calamine.PasswordError:
        raise InvalidInput(
            "The spreadsheet is protected by a password.", hint="save it without one", code="file-has-password"
        ) from None
    except (python_calamine.CalamineError, OSError):
        raise not_a_table("The file is not a spreadsheet.", "save it again as XLSX, or export it as CSV") from None


def _sheet(workbook: CalamineWorkbook, name: str | None) -> CalamineSheet:
    import python_calamine  # noqa: PLC0415 - only files that need it pay for it

    names = workbook.sheet_names
    if name is not None and name not in names:
        raise NotFound(
            "The spreadsheet has no such sheet.",
            hint="its sheets: " + ", ".join(nearest(name, names) or names[:10]),
            code="sheet-unknown",
        )
    try:
        return workbook.get_sheet_by_name(name) if name is not None else workbook.get_sheet_by_index(0)
    except python_calamine.CalamineError:
        raise not_a_table("The sheet cannot be read.", "save the file again as XLSX, or export it as CSV") from None


def _without_empty_end(cells: list[str], keep: int) -> list[str]:
    """Rows of a sheet are padded to its widest; the padding is not surplus fields."""
    last = max((place for place, cell in enumerate(cells, 1) if cell), default=0)
    return cells[: max(last, keep)] + [""] * (keep - len(cells))


def _text(cell: _Cell) -> str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else repr(cell)
    if isinstance(cell, datetime.date | datetime.time):  # a datetime is a date
        return cell.isoformat()
    return str(cell)
