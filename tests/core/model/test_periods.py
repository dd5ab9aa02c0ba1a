"""Days, times and periods as they are typed at a desk."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bookcli.core.errors import InvalidInput
from bookcli.core.model.periods import (
    END_OF_DAY,
    Moment,
    parse_day,
    parse_moment,
    parse_part_of_day,
    parse_period,
    parse_time,
)

TODAY = date(2026, 11, 4)  # a Wednesday


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("today", date(2026, 11, 4)), (" Tomorrow ", date(2026, 11, 5)), ("yesterday", date(2026, 11, 3)),
        ("wed", date(2026, 11, 4)), ("thu", date(2026, 11, 5)), ("Tuesday", date(2026, 11, 10)),
        ("thurs", date(2026, 11, 5)), ("+3d", date(2026, 11, 7)), ("-1d", date(2026, 11, 3)),
        ("+2w", date(2026, 11, 18)), ("2026-12-01", date(2026, 12, 1)), ("2026/12/01", date(2026, 12, 1)),
        ("20261201", date(2026, 12, 1)), ("1.12.", date(2026, 12, 1)), ("3.11.", date(2027, 11, 3)),
        ("1.12.2026", date(2026, 12, 1)), ("01.12.2026", date(2026, 12, 1)),
        ("13/12/2026", date(2026, 12, 13)), ("12/13/2026", date(2026, 12, 13)), ("12/12/2026", date(2026, 12, 12)),
        ("1 dec", date(2026, 12, 1)), ("dec 1", date(2026, 12, 1)), ("1st December 2027", date(2027, 12, 1)),
        ("4 nov", date(2026, 11, 4)), ("3 nov", date(2027, 11, 3)), ("29 feb", date(2028, 2, 29)),
        ("Sept 3, 2027", date(2027, 9, 3)),
    ],
)  # fmt: skip
def test_a_day_is_understood(text: str, day: date) -> None:
    assert parse_day(text, TODAY) == day


@pytest.mark.parametrize(
    "text",
    ["", "soon", "mo", "32 dec", "2026-02-30", "2026-13-01", "0/12/2026", "1.12.26", "1/12", "30 feb", "1 foo",
     "+99999d", "٢٠٢٦-١٢-٠١", "0920", "dec 1 0920", "2026-1201", "x" * 10**6, "\udc80", "2026-12-01\0"],
)  # fmt: skip
def test_an_unclear_day_is_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_day(text, TODAY)
    assert caught.value.code == "date-unclear"
    assert "2026-12-01" in caught.value.hint


def test_a_day_with_two_readings_is_refused_and_both_are_shown() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_day("01/12/2026", TODAY)
    assert caught.value.code == "date-unclear"
    assert caught.value.hint == "write 2026-12-01 or 2026-01-12"


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("9", time(9)), ("9:20", time(9, 20)), ("09:20", time(9, 20)), ("9.20", time(9, 20)), ("0920", time(9, 20)),
        ("920", time(9, 20)), ("9am", time(9)), ("9:20PM", time(21, 20)), ("12am", time(0)), ("12 pm", time(12)),
        ("noon", time(12)), ("0:00", time(0)), ("23:59:30", time(23, 59, 30)),
    ],
)  # fmt: skip
def test_a_time_is_understood(text: str, moment: time) -> None:
    assert parse_time(text) == moment


@pytest.mark.parametrize(
    "text", ["", "24:00", "25", "9:60", "9:5", "13pm", "0am", "soon", "9:20:61", "2460", "-9", "٩"]
)
def test_an_unclear_time_is_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_time(text)
    assert caught.value.code == "time-unclear"
    assert "9:20" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-12-01", Moment(date(2026, 12, 1))),
        ("2026-12-01 9:20", Moment(date(2026, 12, 1), time(9, 20))),
        ("2026-12-01T09:20+01:00", Moment(date(2026, 12, 1), time(9, 20), timedelta(hours=1))),
        ("2026-12-01T09:20:00-0330", Moment(date(2026, 12, 1), time(9, 20), -timedelta(hours=3, minutes=30))),
        ("20261201T0920Z", Moment(date(2026, 12, 1), time(9, 20), timedelta(0))),
        ("tomorrow 9:20", Moment(date(2026, 11, 5), time(9, 20))),
        ("mon 14:00", Moment(date(2026, 11, 9), time(14))),
        ("1 dec 9 am", Moment(date(2026, 12, 1), time(9))),
        ("dec 1 2026", Moment(date(2026, 12, 1))),
        ("dec 1 2026 0920", Moment(date(2026, 12, 1), time(9, 20))),
        ("sat noon", Moment(date(2026, 11, 7), time(12))),
    ],
)
def test_a_moment_is_understood(text: str, moment: Moment) -> None:
    assert parse_moment(text, TODAY) == moment


@pytest.mark.parametrize(
    ("text", "day"),
    [("tomorrow 12:00", date(2026, 11, 8)), ("+1d 12:00", date(2026, 11, 21)), ("mon 12:00", date(2026, 11, 23))],
)
def test_an_end_counts_from_its_start_but_tomorrow_is_tomorrow(text: str, day: date) -> None:
    assert parse_moment(text, date(2026, 11, 7), date(2026, 11, 20)) == Moment(day, time(12))


@pytest.mark.parametrize(
    ("text", "code"),
    [("9:20", "date-unclear"), ("soon 9:20", "date-unclear"), ("mon soon", "time-unclear"), ("", "date-unclear"),
     ("mon 9:20+20:00", "time-unclear"), ("mon 25:00", "time-unclear"), ("01/12/2026 9:20", "date-unclear")],
)  # fmt: skip
def test_an_unclear_moment_is_refused(text: str, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_moment(text, TODAY)
    assert caught.value.code == code


def test_an_offset_tells_the_two_halves_of_a_repeated_hour_apart() -> None:
    first = parse_moment("2026-10-25 02:30+02:00", TODAY).absolute("Europe/Berlin")
    second = parse_moment("2026-10-25 02:30+01:00", TODAY).absolute("Europe/Berlin")
    assert first == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert second - first == timedelta(hours=1)
    with pytest.raises(InvalidInput):
        parse_moment("2026-10-25 02:30", TODAY).absolute("Europe/Berlin")
    with pytest.raises(InvalidInput):
        parse_moment("2026-10-25", TODAY).absolute("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("am", (time(0), time(12))), ("PM", (time(12), END_OF_DAY)), ("morning", (time(0), time(12))),
        ("afternoon", (time(12), time(17))), ("evening", (time(17), END_OF_DAY)), ("9-12", (time(9), time(12))),
        ("9:00 - 11:30", (time(9), time(11, 30))), ("9–12", (time(9), time(12))), ("2-4pm", (time(14), time(16))),
        ("11-1pm", (time(11), time(13))), ("9am-1pm", (time(9), time(13))), ("0900-2pm", (time(9), time(14))),
        ("noon-2pm", (time(12), time(14))), ("18-24", (time(18), END_OF_DAY)), ("9 to 12", (time(9), time(12))),
    ],
)  # fmt: skip
def test_a_part_of_the_day_is_understood(text: str, part: tuple[time, time]) -> None:
    assert parse_part_of_day(text) == part


@pytest.mark.parametrize("text", ["", "9", "12-9", "9-9", "9-", "-12", "night", "9-12-15", "24-25"])
def test_an_unclear_part_of_the_day_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_part_of_day(text)
    assert caught.value.code == "time-unclear"
    assert "9-12" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("tomorrow", date(2026, 11, 5), date(2026, 11, 5)),
        ("2026-12-01..2026-12-07", date(2026, 12, 1), date(2026, 12, 7)),
        ("today .. fri", date(2026, 11, 4), date(2026, 11, 6)),
        ("2026-12-01 to 2026-12-07", date(2026, 12, 1), date(2026, 12, 7)),
        ("mon..fri", date(2026, 11, 9), date(2026, 11, 13)),
        ("28 dec..3 jan", date(2026, 12, 28), date(2027, 1, 3)),
        ("2026-12-01..+7d", date(2026, 12, 1), date(2026, 12, 8)),
        ("..fri", date(2026, 11, 4), date(2026, 11, 6)),
        ("week", date(2026, 11, 4), date(2026, 11, 10)),
        ("this week", date(2026, 11, 2), date(2026, 11, 8)),
        ("next week", date(2026, 11, 9), date(2026, 11, 15)),
        ("last week", date(2026, 10, 26), date(2026, 11, 1)),
        ("month", date(2026, 11, 4), date(2026, 11, 30)),
        ("next month", date(2026, 12, 1), date(2026, 12, 31)),
        ("2028-02", date(2028, 2, 1), date(2028, 2, 29)),
        ("+7d", date(2026, 11, 4), date(2026, 11, 11)),
        ("-7d", date(2026, 10, 28), date(2026, 11, 4)),
    ],
)
def test_a_period_is_understood(text: str, first: date, last: date) -> None:
    assert parse_period(text, TODAY) == (first, last)


@pytest.mark.parametrize(
    "text", ["", "..", "fri..", "2026-12-07..2026-12-01", "2026-13", "a..b..c", "next year", "week week"]
)
def test_an_unclear_period_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_period(text, TODAY)
    assert caught.value.code == "date-unclear"
    assert "2026-12-01" in caught.value.hint


@given(st.dates(date(1900, 1, 1), date(2199, 12, 31)), st.dates(date(1900, 1, 1), date(2199, 12, 31)))
def test_a_full_day_reads_the_same_on_every_day(day: date, today: date) -> None:
    forms = (f"{day}", f"{day:%Y%m%d}", f"{day.day}.{day.month}.{day.year}", f"{day.day} {day:%b} {day.year}")
    assert {parse_day(form, today) for form in forms} == {day}


@given(
    st.sampled_from(["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]),
    st.dates(date(1900, 1, 1), date(2199, 1, 1)),
)
def test_a_weekday_is_within_seven_days_from_today(name: str, today: date) -> None:
    day = parse_day(name[:3], today)
    assert f"{day:%A}".lower() == name
    assert 0 <= (day - today).days < 7


@given(
    st.text(st.sampled_from("0123456789-+./: tzdwampmonecjnf,\u0661"), max_size=16) | st.text(max_size=12), st.dates()
)
@example("+9999w", date.max)
@example("next month", date(9999, 12, 1))
@example("week", date.max)
@example("today..tomorrow", date.max)
@example("mon", date.max)
@example("yesterday", date.min)
@example("last week", date.min)
@example("last month", date.min)
@example("29 feb", date.max)
def test_whatever_is_typed_is_understood_or_refused_in_one_sentence(text: str, today: date) -> None:
    for parse in (parse_day, parse_moment, parse_period):
        try:
            parse(text, today)
        except InvalidInput as problem:
            assert problem.code in ("date-unclear", "time-unclear")
    for parse_of_day in (parse_time, parse_part_of_day):
        try:
            parse_of_day(text)
        except InvalidInput as problem:
            assert problem.code == "time-unclear"


def test_both_ends_of_a_range_are_counted_from_today_when_both_say_how_far_off_they_are() -> None:
    monday = date(2026, 11, 23)
    assert parse_period("+7d..+8d", monday) == (date(2026, 11, 30), date(2026, 12, 1))
    assert parse_period("2026-12-01..+7d", monday) == (date(2026, 12, 1), date(2026, 12, 8))
