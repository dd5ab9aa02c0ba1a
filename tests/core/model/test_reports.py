"""Pictures of reports: sums by hand, and shares that do not say more than they know."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookcli.core.model.reports import (
    Missed,
    Taken,
    all_missed,
    grid,
    lengths,
    level,
    longest_first,
    percent,
    recent,
    stepped,
    worst_first,
)

LAB, CT = ("north", "lab"), ("north", "ct")


def taken(resource: str, hour: int, booked: int, capacity: int, slots: int = 2) -> dict[str, object]:
    return {
        "site": "north", "resource": resource, "hour": hour, "slots": slots, "booked": booked, "capacity": capacity,
        "share": 0.0,
    }  # fmt: skip


def test_a_grid_has_every_cell_and_the_sums_of_rows_and_columns() -> None:
    made = grid([taken("lab", 8, 3, 8), taken("lab", 10, 8, 8), taken("ct", 10, 0, 2)])
    assert made.resources == (CT, LAB)
    assert made.hours == (8, 9, 10)
    assert made.taken[LAB, 8] == Taken(2, 3, 8)
    assert (LAB, 9) not in made.taken
    assert made.taken[LAB, None] == Taken(4, 11, 16)
    assert made.taken[None, 10] == Taken(4, 8, 10)
    assert made.taken[None, None] == Taken(6, 11, 18)


def test_a_grid_of_nothing_has_no_hours() -> None:
    assert (grid([]).resources, grid([]).hours, grid([]).taken) == ((), (), {})


@pytest.mark.parametrize(
    ("part", "whole", "shown"),
    [(0, 9, 0), (1, 1000, 1), (999, 1000, 99), (7, 7, 100), (1, 3, 33), (2, 3, 67), (0, 0, 0)],
)
def test_a_percentage_is_nothing_only_of_none_and_a_hundred_only_of_all(part: int, whole: int, shown: int) -> None:
    assert percent(part, whole) == shown


@given(st.integers(1, 10_000).flatmap(lambda whole: st.tuples(st.integers(0, whole), st.just(whole))))
def test_the_first_level_is_for_none_and_the_last_for_all(of: tuple[int, int]) -> None:
    found = level(*of, 8)
    assert (found == 0) == (of[0] == 0)
    assert (found == 7) == (of[0] == of[1])
    assert 0 <= found <= 7


@given(st.lists(st.integers(0, 10_000), min_size=4, max_size=4), st.integers(4, 120))
def test_a_bar_is_full_and_shows_whatever_is_there(counts: list[int], room: int) -> None:
    drawn = lengths(counts, room)
    assert sum(drawn) == (room if any(counts) else 0)
    assert all((length > 0) == (count > 0) for count, length in zip(counts, drawn, strict=True))


def test_a_bar_is_divided_as_the_counts_are() -> None:
    assert lengths([1, 1, 0, 2], 20) == [5, 5, 0, 10]
    assert lengths([1, 0, 0, 999], 10) == [1, 0, 0, 9]


def missed(test: str, weekday: int, appointments: int, missed: int) -> dict[str, object]:
    return {
        "site": "north", "test": test, "weekday": weekday, "appointments": appointments, "missed": missed, "share": 0.0
    }  # fmt: skip


def test_the_worst_comes_first_and_a_share_of_few_after_those_of_many() -> None:
    rows = [missed("ct", 1, 100, 3), missed("ct", 2, 10, 2), missed("mri", 1, 9, 9), missed("mri", 2, 2, 0)]
    found = worst_first(rows)
    assert [(one.test, one.weekday, one.few) for one in found] == [
        ("ct", 2, False), ("ct", 1, False), ("mri", 1, True), ("mri", 2, True)
    ]  # fmt: skip
    assert all_missed(found) == Missed(121, 14)


def test_the_longest_wait_comes_first() -> None:
    rows = [
        {
            "site": "north", "test": test, "appointments": 6, "days_median": median, "days_ninetieth": 40.0,
            "same_day": 1, "within_week": 2, "within_month": 3, "later": 0,
        }
        for test, median in (("blood", 0.5), ("mri", 12.5))
    ]  # fmt: skip
    first, second = longest_first(rows)
    assert (first.test, first.median, first.counts, second.test) == ("mri", 12.5, (1, 2, 3, 0), "blood")


def test_a_period_is_followed_by_one_of_its_length_and_a_month_by_a_month() -> None:
    usual = recent(date(2026, 11, 25))
    assert usual == (date(2026, 10, 29), date(2026, 11, 25))
    assert stepped(usual, -1) == (date(2026, 10, 1), date(2026, 10, 28))
    assert stepped((date(2026, 11, 1), date(2026, 11, 30)), 1) == (date(2026, 12, 1), date(2026, 12, 31))
    assert stepped((date(2026, 3, 1), date(2026, 3, 31)), -1) == (date(2026, 2, 1), date(2026, 2, 28))
    for edge, by in ((date.max, 1), (date.min, -1)):
        assert stepped((edge, edge), by) == (edge, edge)
    december = (date(9999, 12, 1), date.max)
    assert stepped(december, 1) == december


@given(st.dates(date(1990, 1, 1), date(2100, 1, 1)), st.integers(0, 400))
def test_a_step_back_undoes_a_step(first: date, more: int) -> None:
    days = (first, first + timedelta(days=more))
    assert stepped(stepped(days, 1), -1) == days or more in (27, 28, 29, 30)
