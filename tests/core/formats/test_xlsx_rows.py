"""Spreadsheets: cells as they were meant, rows by their number in the sheet."""

from __future__ import annotations

import io
from datetime import date, datetime, time
from typing import Any

import openpyxl
import pytest

from bookcli.core.errors import InvalidInput, NotFound
from bookcli.core.formats.rows import Row
from bookcli.core.formats.xlsx_rows import read_xlsx


def _workbook(**sheets: list[list[Any]]) -> io.BytesIO:
    workbook = openpyxl.Workbook()
    workbook.remove(workbook.active)
    for name, rows in sheets.items():
        sheet = workbook.create_sheet(name)
        for row in rows:
            sheet.append(row)
    content = io.BytesIO()
    workbook.save(content)
    content.seek(0)
    return content


def test_cells_are_rendered_as_they_were_meant() -> None:
    started = datetime(2026, 12, 1, 9, 20)  # noqa: DTZ001 - a cell knows no zone
    rows = [["id", "day", "start", "time", "n", "ok", "none"],
            [91353189799141, date(2026, 12, 1), started, time(9, 20), 1.5, True, None]]  # fmt: skip
    expected = {"id": "91353189799141", "day": "2026-12-01", "start": "2026-12-01T09:20:00", "time": "09:20:00",
                "n": "1.5", "ok": "true", "none": ""}  # fmt: skip
    assert list(read_xlsx(_workbook(A=rows))) == [Row(2, expected)]


def test_rows_keep_their_number_in_the_sheet() -> None:
    rows = [[], [], [None, "a", "b"], [None, 1, 2], [], [None, 3], [None, 4, 5, 6]]
    found = list(read_xlsx(_workbook(A=[row and row[1:] for row in rows])))
    assert [(row.line, row.problem) for row in found] == [(4, ""), (6, ""), (7, "too-many-fields")]
    assert found[1].values == {"a": "3", "b": ""}


def test_a_sheet_is_found_by_name() -> None:
    content = _workbook(Patients=[["a"], [1]], Slots=[["b"], [2]])
    assert [row.values for row in read_xlsx(content, sheet="Slots")] == [{"b": "2"}]
    with pytest.raises(NotFound) as caught:
        read_xlsx(_workbook(Patients=[["a"]], Slots=[["b"]]), sheet="slot")
    assert "Slots" in caught.value.hint


@pytest.mark.parametrize(
    ("rows", "code"), [([], "not-a-table"), ([["a", None, "b"]], "header-empty"), ([["a", "a"]], "header-duplicate")]
)
def test_a_sheet_without_a_proper_header_is_refused(rows: list[list[Any]], code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_xlsx(_workbook(A=rows))
    assert caught.value.code == code


def test_a_truncated_or_foreign_file_is_refused() -> None:
    whole = _workbook(A=[["a"], [1]]).getvalue()
    for content in (b"", b"a,b\n", whole[: len(whole) // 2], b"PK\x03\x04" + b"x" * 99):
        with pytest.raises(InvalidInput) as caught:
            read_xlsx(io.BytesIO(content))
        assert caught.value.code == "not-a-table"
