"""Any file a user names: read as what it is, or refused in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import openpyxl
import pytest

from bookcli.core.errors import BookcliError, InvalidInput, NotFound
from bookcli.core.formats.table_rows import read_rows


def _spreadsheet(path: Path) -> Path:
    workbook = openpyxl.Workbook()
    workbook.active.append(["a"])
    workbook.active.append([1])
    with path.open("wb") as stream:
        workbook.save(stream)
    return path


def _file(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [("t.csv", b"a\n1\n"), ("t.TSV", b"a\n1\n"), ("t.jsonl", b'{"a": 1}\n'), ("t.ndjson", b'{"a": 1}\n'),
     ("t", b"a\n1\n"), ("t.unknown", b' {"a": 1}\n'), ("t.csv", "\ufeffa\n1\n".encode())],
)  # fmt: skip
def test_the_kind_of_a_file_is_told_by_name_or_content(tmp_path: Path, name: str, content: bytes) -> None:
    assert [row.values for row in read_rows(_file(tmp_path / name, content))] == [{"a": "1"}]


def test_a_spreadsheet_is_told_by_name_or_content(tmp_path: Path) -> None:
    for name in ("t.xlsx", "t.XLSM", "t"):
        assert [row.values for row in read_rows(str(_spreadsheet(tmp_path / name)))] == [{"a": "1"}]


def test_a_kind_that_is_said_wins(tmp_path: Path) -> None:
    rows = read_rows(_file(tmp_path / "t.txt", b'{"a": 1}\n'), kind="jsonl")
    assert [row.values for row in rows] == [{"a": "1"}]
    with pytest.raises(InvalidInput):
        read_rows(tmp_path / "t.txt", kind="pdf")


@pytest.mark.parametrize(
    ("content", "code", "hint"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not-a-table", "CSV"),
        (b"%PDF-1.7\n", "not-a-table", "CSV"),
        (b"PK\x03\x04rest", "not-a-table", "--kind xlsx"),
        ("a,b\n1,2\n".encode("utf-16"), "not-utf8", "--encoding utf-16"),
        ("a,b\n1,2\n".encode("utf-16-le"), "not-a-table", "--encoding utf-16"),
        (b"", "not-a-table", "columns"),
    ],
)
def test_a_csv_file_that_is_something_else_is_refused(tmp_path: Path, content: bytes, code: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_rows(_file(tmp_path / "t.csv", content))
    assert caught.value.code == code
    assert hint in caught.value.hint


def test_utf16_is_read_when_it_is_said(tmp_path: Path) -> None:
    path = _file(tmp_path / "t.csv", "a,b\n1,é\n".encode("utf-16"))
    assert [row.values for row in read_rows(path, encoding="utf-16")] == [{"a": "1", "b": "é"}]


def test_a_text_file_called_xlsx_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_rows(_file(tmp_path / "t.xlsx", b"a,b\n1,2\n"))
    assert caught.value.code == "not-a-table"


def test_a_file_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_rows(tmp_path / "missing.csv")
    for path in (tmp_path, "a\0b"):
        with pytest.raises(InvalidInput) as caught:
            read_rows(path)
        assert caught.value.code == "file-unreadable"


def test_a_file_of_somebody_else_is_one_sentence(tmp_path: Path) -> None:
    path = _file(tmp_path / "t.csv", b"a\n1\n")
    path.chmod(0)
    if os.geteuid() == 0:  # root may read everything, so ask as somebody who may not
        tmp_path.chmod(0o755)
        script = f"import os; os.setuid(65534)\n{_SCRIPT}"
        assert _run(script, str(path), b"") == "file-unreadable"
    else:
        assert _run(_SCRIPT, str(path), b"") == "file-unreadable"


@pytest.mark.parametrize("content", [b"a\n1\n", b'{"a": 1}\n'])
def test_a_dash_is_stdin(content: bytes) -> None:
    assert _run(_SCRIPT, "-", content) == "1"


def test_a_spreadsheet_can_come_through_a_pipe(tmp_path: Path) -> None:
    assert _run(_SCRIPT, "-", _spreadsheet(tmp_path / "t.xlsx").read_bytes()) == "1"


_SCRIPT = """
import sys
from bookcli.core.errors import BookcliError
from bookcli.core.formats.table_rows import read_rows
try:
    print(*[row.values["a"] for row in read_rows(sys.argv[1])])
except BookcliError as problem:
    print(problem.code)
"""


def _run(script: str, path: str, stdin: bytes) -> str:
    # Everything needed is imported before the rights are given up.
    script = "from bookcli.core.formats import csv_rows, json_rows, table_rows\n" + script
    done = subprocess.run(
        [sys.executable, "-c", script, path], input=stdin, capture_output=True, check=True, timeout=30
    )
    return done.stdout.decode().strip()


def test_every_refusal_is_one_of_ours(tmp_path: Path) -> None:
    for content in (b"\xff" * 50, bytes(range(256)), b'"' * 1001, b"{" * 1001, b",\n" * 50):
        for name in ("t.csv", "t.jsonl", "t.xlsx", "t"):
            try:
                rows = list(read_rows(_file(tmp_path / name, content)))
            except BookcliError as problem:
                assert problem.message.endswith(".")
            else:
                assert all(row.problem for row in rows)
