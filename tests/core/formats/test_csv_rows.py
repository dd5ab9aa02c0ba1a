"""CSV files as they come: wrong delimiters, wrong encodings, half a line at the end."""

from __future__ import annotations

import io
import tracemalloc
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bookcli.core.errors import InvalidInput
from bookcli.core.formats.csv_rows import read_csv, write_csv
from bookcli.core.formats.rows import Row


def _read(content: bytes, encoding: str = "utf-8", delimiter: str | None = None) -> list[Row]:
    return list(read_csv(io.BytesIO(content), encoding=encoding, delimiter=delimiter))


def _code(content: bytes, encoding: str = "utf-8", delimiter: str | None = None) -> str:
    with pytest.raises(InvalidInput) as caught:
        _read(content, encoding, delimiter)
    return caught.value.code


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_delimiter_line_ends_and_byte_order_mark_do_not_matter(delimiter: str, end: str, mark: bytes) -> None:
    text = end.join([delimiter.join(["id", '"a,b;c"', "name"]), delimiter.join(["1", "", "Zoë"]), ""])
    assert _read(mark + text.encode()) == [Row(2, {"id": "1", "a,b;c": "", "name": "Zoë"})]


def test_the_delimiter_can_be_said_or_come_from_excel() -> None:
    assert _read(b"a,b:c\n1,2:3\n", delimiter=":")[0].values == {"a,b": "1,2", "c": "3"}
    assert _read(b"a,b\tc\n1,2\t3\n", delimiter="tab")[0].values == {"a,b": "1,2", "c": "3"}
    assert _read(b"sep=;\r\na;b\r\n1;2\r\n") == [Row(3, {"a": "1", "b": "2"})]
    assert _code(b"a,b\n", delimiter="::") == "delimiter-unclear"


def test_line_numbers_count_lines_of_the_file() -> None:
    rows = _read(b'a,b\n1,"x\ny"\n\n2,z\n')
    assert [(row.line, row.values["b"]) for row in rows] == [(2, "x\ny"), (5, "z")]


def test_blank_rows_are_left_out() -> None:
    assert [row.line for row in _read(b"\n\na,b\n,\n1,2\n\n,\n")] == [5]


@pytest.mark.parametrize(
    ("tail", "problem"),
    [(b"2", "too-few-fields"), (b"2,3,4", "too-many-fields"), (b'2,"3', "unclosed-quote"), (b'2,"3"x', "broken-quote"),
     (b'2,"3\n4,5\n', "unclosed-quote"), (b'2,"3\n4,"5\n', "unclosed-quote")],
)  # fmt: skip
def test_half_a_line_is_a_problem_of_its_row(tail: bytes, problem: str) -> None:
    whole, broken = _read(b"a,b\n1,2\n" + tail)[:2]
    assert whole == Row(2, {"a": "1", "b": "2"})
    assert (broken.line, broken.problem) == (3, problem)
    assert broken.values.keys() == {"a", "b"}


def test_rows_after_a_broken_one_are_read_again() -> None:
    rows = _read(b'a,b\n1,"2"x\n3,4\n')
    assert [(row.line, row.problem) for row in rows] == [(2, "broken-quote"), (3, "")]


def test_a_field_beyond_one_megabyte_is_a_problem_of_its_row() -> None:
    big = b"x" * (1024 * 1024 + 1)
    rows = _read(b"a,b\n1," + big + b"\n2,ok\n")
    assert [(row.line, row.problem) for row in rows] == [(2, "field-too-large"), (3, "")]


def test_a_file_cut_off_anywhere_loses_no_row_silently() -> None:
    content = 'a,b,c\n1,"x, ""y""",é\n2,"p\nq",r\n'.encode()
    whole = _read(content)
    for cut in range(len(b"a,b,c\n"), len(content)):
        try:
            rows = _read(content[:cut])
        except InvalidInput as problem:
            assert problem.code == "not-utf8"
            continue
        for row in rows[:-1]:
            assert row in whole
        for row in rows[-1:]:
            *others, last = next(known.values.items() for known in whole if known.line == row.line)
            # Only the end of the very last field can go missing unseen.
            assert row.problem or (list(row.values.items())[:-1] == others and last[1].startswith(row.values["c"]))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not-a-table"), (b"\n\n", "not-a-table"), (b'"a,b\n1,2\n', "not-a-table"), (b"a,\n1,2\n", "header-empty"),
        (b"a, a\n1,2\n", "header-duplicate"), (b"a,b\n1,\0\n", "not-a-table"), (b"a,b\n1,2\n\xff,3\n", "not-utf8"),
    ],
)  # fmt: skip
def test_what_is_no_table_is_refused(content: bytes, code: str) -> None:
    assert _code(content) == code


def test_a_line_that_is_not_utf8_is_named() -> None:
    with pytest.raises(InvalidInput) as caught:
        _read(b"a,b\n" + b"1,2\n" * 5000 + "é,3\n".encode("latin-1") + b"1,2\n" * 5000)
    assert caught.value.details == {"line": 5002}
    assert caught.value.hint == "--encoding latin-1"


def test_other_encodings_are_read_when_they_are_said() -> None:
    for encoding in ("latin-1", "cp1252", "utf-16", "utf-16-le", "UTF8"):
        assert _read("a;b\né;2\n".encode(encoding), encoding)[0].values == {"a": "é", "b": "2"}
    assert _code(b"a\n1\n", "hex") == "encoding-unknown"
    assert _code(b"a\n1\n", "klingon") == "encoding-unknown"
    assert _code(b"a\n\x81\n", "cp1252") == "not-in-encoding"


def test_a_file_without_line_ends_does_not_fill_the_memory() -> None:
    class Endless(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            buffer[:] = b"x" * len(buffer)
            return len(buffer)

    with pytest.raises(InvalidInput) as caught:
        list(read_csv(io.BufferedReader(Endless())))
    assert caught.value.code == "not-a-table"


def test_memory_stays_flat_over_many_rows() -> None:
    class Long(io.RawIOBase):
        left = 8_000

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            chunk = b"a,b\n" * 256 if self.left else b""
            self.left -= 1
            buffer[: len(chunk)] = chunk
            return len(chunk)

    rows: Iterator[Row] = read_csv(io.BufferedReader(Long(), 1024))
    for _ in range(1000):
        next(rows)
    tracemalloc.start()
    for _ in range(20_000):
        next(rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
NOTES = st.text(st.sampled_from("'=+-@\t\r\n\",;|5é "), max_size=8)


@settings(max_examples=80)
@given(st.lists(st.fixed_dictionaries({"id": NAMES, "note": NOTES}), max_size=5))
def test_what_is_exported_is_imported_unchanged(rows: list[dict[str, str]]) -> None:
    exported = io.StringIO(newline="")
    write_csv(rows, exported, ["id", "note"])
    assert [row.values for row in _read(exported.getvalue().encode())] == rows


def test_export_ends_lines_simply_and_leaves_missing_values_empty() -> None:
    exported = io.StringIO(newline="")
    write_csv([{"a": "=1", "x": "no"}, {"b": "l\r2"}], exported, ["a", "b"])
    assert exported.getvalue() == 'a,b\n\'=1,\n,"l\r2"\n'
