"""The clock: what day it is, and that no local time is ever guessed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bookcli.core import clock
from bookcli.core.errors import InvalidInput

ZONES = ["Europe/Berlin", "America/Sao_Paulo", "Asia/Beirut", "Pacific/Apia", "Asia/Kolkata", "Australia/Lord_Howe",
         "America/St_Johns", "Africa/Monrovia", "UTC"]  # fmt: skip


def local_time(*parts: int) -> datetime:
    return datetime(*parts)  # type: ignore[arg-type]  # noqa: DTZ001 - what the clocks show, before it is converted


@pytest.fixture(autouse=True)
def _own_clock() -> Iterator[None]:
    yield
    clock.set_source(None)


def test_the_clock_can_be_frozen_and_today_is_the_local_day() -> None:
    clock.set_source(lambda: datetime(2026, 12, 1, 0, 30, tzinfo=timezone(timedelta(hours=1))))
    assert clock.now() == datetime(2026, 11, 30, 23, 30, tzinfo=UTC)
    assert clock.now().tzinfo is UTC
    assert clock.today("Europe/Berlin") == date(2026, 12, 1)
    assert clock.today("America/New_York") == date(2026, 11, 30)


def test_a_clock_without_a_zone_is_a_bug() -> None:
    clock.set_source(lambda: local_time(2026, 12, 1))
    with pytest.raises(ValueError, match="aware"):
        clock.now()


def test_a_time_the_clocks_skip_is_refused_and_the_next_one_named() -> None:
    for fold in (None, 0, 1):
        with pytest.raises(InvalidInput) as caught:
            clock.to_absolute(local_time(2026, 3, 29, 2, 30), "Europe/Berlin", fold=fold)
        assert caught.value.code == "time-does-not-exist"
        assert "2026-03-29 03:00" in caught.value.hint


def test_a_time_that_comes_twice_is_asked_about() -> None:
    twice = local_time(2026, 10, 25, 2, 30)
    with pytest.raises(InvalidInput) as caught:
        clock.to_absolute(twice, "Europe/Berlin")
    assert caught.value.code == "time-exists-twice"
    assert "02:30+02:00" in caught.value.hint
    assert "02:30+01:00" in caught.value.hint
    assert clock.to_absolute(twice, "Europe/Berlin", fold=0) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert clock.to_absolute(twice, "Europe/Berlin", fold=1) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


def test_an_ordinary_time_is_the_same_whichever_fold_is_asked_for() -> None:
    ordinary = local_time(2026, 12, 1, 9, 20)
    moments = {clock.to_absolute(ordinary, "Europe/Berlin", fold=fold) for fold in (None, 0, 1)}
    assert moments == {datetime(2026, 12, 1, 8, 20, tzinfo=UTC)}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ZONES), st.datetimes(local_time(1965, 1, 1), local_time(2040, 1, 1)))
def test_a_local_time_is_refused_or_shown_by_the_clocks_again(zone: str, local: datetime) -> None:
    try:
        moment = clock.to_absolute(local, zone)
    except InvalidInput as problem:
        assert problem.code in ("time-does-not-exist", "time-exists-twice")
    else:
        assert clock.to_local(moment, zone).replace(tzinfo=None) == local


@pytest.mark.parametrize(
    ("day", "zone", "hours"),
    [
        (date(2026, 10, 25), "Europe/Berlin", 25),
        (date(2026, 3, 29), "Europe/Berlin", 23),
        (date(2026, 12, 1), "Europe/Berlin", 24),
        (date(2018, 11, 4), "America/Sao_Paulo", 23),
        (date(2018, 2, 17), "America/Sao_Paulo", 25),
        (date(2022, 3, 27), "Asia/Beirut", 23),
        (date(2026, 4, 5), "Australia/Lord_Howe", 24.5),
        (date(2011, 12, 30), "Pacific/Apia", 0),
    ],
)
def test_a_day_is_as_long_as_the_local_clocks_make_it(day: date, zone: str, hours: float) -> None:
    start, end = clock.day_bounds(day, zone)
    assert end - start == timedelta(hours=hours)


def test_a_day_without_midnight_starts_with_its_first_moment() -> None:
    start, _ = clock.day_bounds(date(2018, 11, 4), "America/Sao_Paulo")
    assert clock.to_local(start, "America/Sao_Paulo").replace(tzinfo=None) == local_time(2018, 11, 4, 1)
    start, _ = clock.day_bounds(date(1919, 3, 31), "America/Toronto")  # 23:30 was followed by 00:30
    assert clock.to_local(start, "America/Toronto").replace(tzinfo=None) == local_time(1919, 3, 31, 0, 30)
    assert clock.to_local(start - timedelta(seconds=1), "America/Toronto").date() == date(1919, 3, 30)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ZONES), st.dates(date(1965, 1, 1), date(2040, 1, 1)))
def test_days_follow_each_other_without_gap_and_hold_their_own_noon(zone: str, day: date) -> None:
    start, end = clock.day_bounds(day, zone)
    assert clock.day_bounds(day + timedelta(days=1), zone)[0] == end
    if end > start:
        assert start <= clock.to_absolute(local_time(day.year, day.month, day.day, 12), zone) < end
        assert clock.to_local(start, zone).date() == day


@pytest.mark.parametrize(
    ("name", "meant"),
    [("europe/berlin", "Europe/Berlin"), ("Europe/Berln", "Europe/Berlin"), ("berlin", "Europe/Berlin"),
     ("New York", "America/New_York")],
)  # fmt: skip
def test_an_unknown_zone_is_refused_with_the_nearest_name(name: str, meant: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        clock.check_zone(name)
    assert caught.value.code == "zone-unknown"
    assert meant in caught.value.hint


@pytest.mark.parametrize(
    "name",
    ["", "../etc/passwd", "/etc/passwd", "Europe", "a\0b", "localtime", "right/Europe/Berlin", "x" * 5000, "\udc80"],
)
def test_nonsense_is_no_zone(name: str) -> None:
    with pytest.raises(InvalidInput):
        clock.check_zone(name)


def test_a_known_zone_is_itself() -> None:
    assert clock.check_zone("Asia/Beirut") == "Asia/Beirut"


@pytest.mark.parametrize("year", [1, 9999])
def test_the_edges_of_the_calendar_are_refused(year: int) -> None:
    for call in (
        lambda: clock.day_bounds(date(year, 1, 1), "Europe/Berlin"),
        lambda: clock.to_absolute(local_time(year, 1, 1), "Europe/Berlin"),
        lambda: clock.to_local(datetime(year, 1, 1, tzinfo=UTC), "Europe/Berlin"),
    ):
        with pytest.raises(InvalidInput):
            call()
