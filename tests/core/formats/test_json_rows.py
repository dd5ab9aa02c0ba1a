"""JSON Lines: plain objects in, plain objects out, no digit lost."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookcli.core.errors import InvalidInput
from bookcli.core.formats.json_rows import read_jsonl, write_jsonl
from bookcli.core.formats.rows import Row


def _read(content: bytes) -> list[Row]:
    return list(read_jsonl(io.BytesIO(content)))


def test_values_become_text_with_all_their_digits() -> None:
    line = b'{"id": 91353189799141.0, "n": 123456789012345678901234567890, "x": null, "y": true, "z": "\\u00e9"}\n'
    expected = {"id": "91353189799141.0", "n": "123456789012345678901234567890", "x": "", "y": "true", "z": "é"}
    assert _read(b"\xef\xbb\xbf\n" + line) == [Row(2, expected)]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b'{"a": 1', "broken-json"), (b"nonsense", "broken-json"), (b'{"a": NaN}', "broken-json"),
        (b"1", "not-an-object"), (b"[1]", "not-an-object"), (b'{"a": [1]}', "not-a-scalar"),
        (b'{"a": {"b": 1}}', "not-a-scalar"), (b'{"a": 1, "a": 2}', "duplicate-key"), (b"[" * 100_000, "broken-json"),
    ],
)  # fmt: skip
def test_a_broken_line_is_a_problem_of_its_row(line: bytes, problem: str) -> None:
    first, broken, last = _read(b'{"a": 1}\n' + line + b'\n{"a": 3}\n')
    assert (first.values, last.values) == ({"a": "1"}, {"a": "3"})
    assert (broken.line, broken.problem) == (2, problem)


@pytest.mark.parametrize(("content", "code"), [(b'[{"a": 1}]', "not-a-table"), (b'{"a": "\xff"}', "not-utf8")])
def test_what_is_not_json_lines_is_refused_at_once(content: bytes, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_jsonl(io.BytesIO(content))
    assert caught.value.code == code


def test_an_empty_file_has_no_rows() -> None:
    assert _read(b"") == []


@given(st.lists(st.dictionaries(st.text(max_size=5), st.text(max_size=20), min_size=1), max_size=4))
def test_what_is_exported_is_imported_unchanged(rows: list[dict[str, str]]) -> None:
    exported = io.StringIO()
    write_jsonl(rows, exported)
    assert [row.values for row in _read(exported.getvalue().encode())] == rows
