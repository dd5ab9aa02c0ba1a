"""The quick line understands words in any order, says what it took each for, and never stumbles."""

from __future__ import annotations

from datetime import date, time
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookcli.core.model.quick_line import KINDS, Known, Line, understand
from bookcli.core.model.references import reference_of

TODAY = date(2026, 11, 25)  # a Wednesday
TUESDAY = date(2026, 12, 1)
KNOWN = Known.of(
    [("mri", "MRI"), ("blood", "Blood draw"), ("ct", "CT"), ("mri-contrast", "MRI with contrast")],
    [("north", "Clinic North"), ("riverside", "Riverside")],
)


def read(line: str) -> Line:
    return understand(line, KNOWN, TODAY)


def kinds(line: str) -> list[tuple[str, str]]:
    return [(word.text, word.kind) for word in read(line).words]


def test_the_line_of_the_desk() -> None:
    line = read("khan, mri+blood, tue am")
    assert (line.patient, line.tests, line.days) == ("khan", ("mri", "blood"), (TUESDAY, TUESDAY))
    assert line.hours == (time(0), time(12))
    assert line.unknown == ()
    assert [(word.text, word.kind, word.meaning) for word in line.words] == [
        ("khan", "name", "khan"),
        ("mri", "test", "mri"),
        ("+", "test", ""),
        ("blood", "test", "blood"),
        ("tue", "days", "2026-12-01"),
        ("am", "part", "00:00–12:00"),
    ]


@pytest.mark.parametrize("order", list(permutations(["müller jan", "mri+blood", "tue 9:20", "north"])))
def test_the_parts_come_in_any_order(order: tuple[str, ...]) -> None:
    line = read(", ".join(order))
    assert (line.patient, line.tests, line.at, line.site) == ("müller jan", ("mri", "blood"), time(9, 20), "north")
    assert line.days == (TUESDAY, TUESDAY)
    assert read(" ".join(order)).tests == line.tests


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("DEMO-002 mri", [("DEMO-002", "number"), ("mri", "test")]),
        ("123456, ct", [("123456", "number"), ("ct", "test")]),
        ("+49 1701234567", [("+49 1701234567", "number")]),
        ("12 dec 1980 blood", [("12 dec 1980", "birth-date"), ("blood", "test")]),
        ("khan 1980-12-01", [("khan", "name"), ("1980-12-01", "birth-date")]),
        ("2026-12-01", [("2026-12-01", "days")]),
        ("1 dec 9", [("1 dec", "days"), ("9", "time")]),
        ("tue 0920", [("tue", "days"), ("0920", "time")]),
        ("next week pm", [("next week", "days"), ("pm", "part")]),
        ("mon..fri 9-12", [("mon..fri", "days"), ("9-12", "part")]),
        ("9 am blood draw", [("9 am", "time"), ("blood draw", "test")]),
        ("mri with contrast, clinic north", [("mri with contrast", "test"), ("clinic north", "site")]),
        ('"tue nguyen" ct', [('"tue nguyen"', "name"), ("ct", "test")]),
        ('"khan, tue" ct', [('"khan, tue"', "name"), ("ct", "test")]),
        ("020 7946 0958 ct", [("020 7946 0958", "number"), ("ct", "test")]),
        ("sun, mri, tue", [("sun", "name"), ("mri", "test"), ("tue", "days")]),
        ("mri+blod", [("mri", "test"), ("+", "test"), ("blod", "unknown")]),
        ("MRI + Blood", [("MRI", "test"), ("+", "test"), ("Blood", "test")]),
        ("khan ??", [("khan", "name"), ("??", "unknown")]),
    ],
)
def test_each_word_is_told_what_it_was_taken_for(typed: str, expected: list[tuple[str, str]]) -> None:
    assert kinds(typed) == expected


@pytest.mark.parametrize(
    "day", ["31 feb", "2026-02-30", "30.2.", "30.2.2027", "feb 31 2027", "29 feb 2027", "30 feb..3 mar"]
)
def test_a_day_that_is_none_is_neither_a_name_nor_a_number(day: str) -> None:
    line = read(f"khan, mri, {day}")
    assert (line.patient, line.days, line.no_day, [word.text for word in line.unknown]) == ("khan", None, day, [day])


@pytest.mark.parametrize("number", ["20260230", "2026-13", "41", "P-31"])
def test_a_number_that_only_looks_like_a_day_stays_one(number: str) -> None:
    assert kinds(number) == [(number, "number")]


def test_a_number_is_looked_for_alone_and_a_name_with_its_birth_date() -> None:
    assert read("khan DEMO-002, mri").patient == "DEMO-002"
    assert read("khan, mri, 12 dec 1980").patient == "khan 12 dec 1980"
    assert read('"tue" nguyen').patient == "tue nguyen"


def test_what_is_nearly_a_test_is_said() -> None:
    (word,) = read("mri+blod").unknown
    assert word.meaning == "no such test; blood?"


def test_a_reference_is_known_by_its_check_character() -> None:
    reference = reference_of(42)
    assert read(f"{reference.lower()} tue").reference == reference


WORDS = st.sampled_from(
    ["khan", "mri", "+", "blood", "tue", "am", "9:20", ",", "12", "dec", "1980", '"', "north", "..", ";"]
)


@given(
    st.one_of(
        st.text(max_size=400), st.lists(WORDS, max_size=20).map(" ".join), st.lists(WORDS, max_size=20).map("".join)
    )
)
def test_whatever_is_typed_every_letter_is_in_one_word_and_nothing_stumbles(typed: str) -> None:
    line = read(typed)
    covered: list[int] = []
    for word in line.words:
        assert word.kind in KINDS
        assert typed[word.start : word.end] == word.text
        covered += range(word.start, word.end)
    assert covered == sorted(set(covered)), "in order, no two at one place"
    left = {char for n, char in enumerate(typed) if n not in set(covered) and not char.isspace()}
    assert left <= {",", ";"}


@given(st.lists(st.sampled_from(["khan", "mri+ct", "tue am", "riverside"]), min_size=1, max_size=4, unique=True))
def test_every_beginning_of_a_line_is_understood(parts: list[str]) -> None:
    typed = ", ".join(parts)
    for length in range(len(typed) + 1):
        read(typed[:length])
    assert ("mri+ct" in parts) == (read(typed).tests == ("mri", "ct"))
