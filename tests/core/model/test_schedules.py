"""Weekdays and hours as people type them."""

from __future__ import annotations

from datetime import time

import pytest

from bookcli.core.errors import InvalidInput
from bookcli.core.model import schedules
from bookcli.core.model.periods import END_OF_DAY


@pytest.mark.parametrize(
    ("text", "weekdays"),
    [
        ("mon-fri", [1, 2, 3, 4, 5]),
        ("Mon, Wed", [1, 3]),
        ("1-5", [1, 2, 3, 4, 5]),
        ("fri-mon", [1, 5, 6, 7]),
        ("sat", [6]),
        ("daily", [1, 2, 3, 4, 5, 6, 7]),
        ("mon – wed, sunday", [1, 2, 3, 7]),
    ],
)
def test_weekdays_are_read_as_people_write_them(text: str, weekdays: list[int]) -> None:
    assert schedules.parse_weekdays(text) == weekdays


@pytest.mark.parametrize("text", ["", "m", "t", "8", "0-3", "monfri", "mon-", "weekdays"])
def test_weekdays_that_are_not_clear_are_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        schedules.parse_weekdays(text)
    assert refusal.value.code == "weekdays-unclear"


def test_a_day_can_end_at_midnight() -> None:
    closes = schedules.parse_closing("24:00")
    assert (closes, schedules.minutes_of(closes), schedules.shown_time(closes)) == (END_OF_DAY, 1440, "24:00")
    assert schedules.time_of(1440) == END_OF_DAY
    assert schedules.time_of(8 * 60 + 5) == time(8, 5)


@pytest.mark.parametrize(("opens", "closes"), [(time(9), time(9, 29)), (time(22), time(2)), (time(9, 0, 30), time(12))])
def test_hours_hold_at_least_one_slot_and_do_not_pass_midnight(opens: time, closes: time) -> None:
    with pytest.raises(InvalidInput) as refusal:
        schedules.check_hours(opens, closes, 30)
    assert refusal.value.code == "hours-invalid"
