"""Weekly hours become slots, closures take them away, and nobody who is booked is forgotten."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from bookcli.core import clock
from bookcli.core.context import Context
from bookcli.core.errors import InvalidInput, NotFound, Refused
from bookcli.core.model.schedules import Published
from bookcli.core.services import appointments, catalog, places, schedules
from tests.clinic import Clinic

HOURS = {"site": "a", "resource": "r", "weekdays": "daily", "opens": "8", "closes": "16:00", "slot_minutes": "30"}


@pytest.fixture
def room(context: Context) -> Context:
    """A site in Berlin with one resource and no hours yet."""
    catalog.save_site(context, {"code": "a", "zone": "Europe/Berlin"})
    catalog.save_test(context, {"code": "ct", "duration_minutes": "30"})
    catalog.save_resource(context, {"site": "a", "code": "r", "tests": "ct"})
    return context


def _starts(context: Context) -> list[tuple[datetime, datetime]]:
    return [
        (start, local)
        for start, local in context.connection().execute("SELECT starts_at, local_start FROM app.slot ORDER BY 1")
    ]


@pytest.mark.both_servers
def test_hours_are_listed_as_they_were_added(room: Context) -> None:
    fields = {**HOURS, "weekdays": "mon,wed", "closes": "24:00", "capacity": "3", "valid_until": "2030-12-31"}
    assert [schedules.add(room, fields) for _ in range(2)] == [2, 0]
    monday, wednesday = schedules.list_(room, site="a", resource="R")
    assert (monday.weekday, wednesday.weekday, monday.capacity, monday.slot_minutes) == (1, 3, 3, 30)
    assert (monday.opens.hour, monday.closes.hour, monday.closes.minute) == (8, 23, 59)
    assert (monday.valid_from, monday.valid_until) == (None, date(2030, 12, 31))


def test_hours_that_overlap_are_refused_by_weekday(room: Context) -> None:
    schedules.add(room, {**HOURS, "weekdays": "mon"})
    with pytest.raises(Refused) as refusal:
        schedules.add(room, {**HOURS, "weekdays": "mon-tue", "closes": "12"})
    assert (refusal.value.code, refusal.value.details) == ("hours-overlap", {"weekdays": ["mon"], "added": 1})


@pytest.mark.both_servers
def test_hours_are_changed_from_a_day_on_or_not_at_all(room: Context) -> None:
    monday, tuesday = schedules.added(room, {**HOURS, "weekdays": "mon-tue", "valid_from": "2027-01-01"})
    (late,) = schedules.added(room, {**HOURS, "weekdays": "wed", "opens": "12"})
    wanted = {**HOURS, "weekdays": "mon,wed", "opens": "10", "valid_from": "2027-03-01"}
    with pytest.raises(Refused) as refusal:
        schedules.change(room, [monday, tuesday], wanted)
    assert (refusal.value.code, refusal.value.details["weekdays"]) == ("hours-overlap", ["wed"])
    with pytest.raises(NotFound):
        schedules.change(room, [monday, 10**6], {**wanted, "weekdays": "mon"})
    assert {one.schedule_id for one in schedules.list_(room)} == {monday, tuesday, late}
    assert schedules.change(room, [monday, tuesday], {**wanted, "weekdays": "mon"}) == 1
    days = [(one.weekday, one.opens.hour, one.valid_from, one.valid_until) for one in schedules.list_(room)]
    ended, begins = date(2027, 2, 28), date(2027, 3, 1)
    assert days == [
        (1, 8, date(2027, 1, 1), ended),
        (1, 10, begins, None),
        (2, 8, date(2027, 1, 1), ended),
        (3, 12, None, None),
    ]


def test_a_change_of_hours_whose_answer_was_lost_is_made_again_and_is_one(room: Context) -> None:
    hours = schedules.added(room, {**HOURS, "weekdays": "mon-tue", "valid_from": "2027-01-01"})
    wanted = {**HOURS, "weekdays": "mon", "opens": "10", "valid_from": "2027-01-01"}
    for _ in range(2):
        assert schedules.change(room, hours, wanted) == 1, "nothing is left of the hours that were there"
    (changed,) = schedules.list_(room)
    assert (changed.weekday, changed.opens.hour) == (1, 10)
    for _ in range(2):
        schedules.end(room, [changed.schedule_id], date(2026, 12, 31))
    assert schedules.list_(room) == []
    with pytest.raises(NotFound):
        schedules.end(room, [changed.schedule_id], date(2026, 12, 30))


@pytest.mark.parametrize(
    "wrong",
    [
        *({"weekdays": "x"}, {"opens": "25"}, {"closes": "7"}, {"slot_minutes": "0"}, {"capacity": "0"}, {"opens": ""}),
        {"valid_from": "2030-01-02", "valid_until": "2030-01-01"},
    ],
)
def test_hours_that_cannot_be_are_refused(room: Context, wrong: dict[str, str]) -> None:
    with pytest.raises(InvalidInput):
        schedules.add(room, {**HOURS, **wrong})
    assert schedules.list_(room) == []


def test_hours_belong_to_a_resource_that_exists(room: Context) -> None:
    for wrong in ({"site": "b"}, {"resource": "q"}):
        with pytest.raises(NotFound):
            schedules.add(room, {**HOURS, **wrong})
    with pytest.raises(NotFound):
        schedules.list_(room, resource="q")


@pytest.mark.both_servers
def test_publishing_twice_is_harmless_and_a_dry_run_tells_the_same(room: Context) -> None:
    schedules.add(room, {**HOURS, "weekdays": "mon-fri"})
    week = (date(2027, 1, 4), date(2027, 1, 10))
    assert schedules.publish(room, *week, dry_run=True) == Published(80, 0, 80)
    assert _starts(room) == []
    assert schedules.publish(room, *week) == Published(80, 0, 80)
    wider = (week[0], week[1] + timedelta(days=1))
    assert schedules.publish(room, *wider, dry_run=True) == Published(16, 80, 96)
    assert schedules.publish(room, *wider) == Published(16, 80, 96)


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2027, 3, 28), 23),
        ("Europe/Berlin", date(2027, 10, 31), 25),
        ("America/Santiago", date(2027, 9, 5), 23),
        ("Asia/Kolkata", date(2027, 9, 5), 24),
    ],
)
def test_a_day_has_as_many_slots_as_it_has_time(room: Context, zone: str, day: date, hours: int) -> None:
    catalog.save_site(room, {"code": "a", "zone": zone})
    schedules.add(room, {**HOURS, "opens": "0:00", "closes": "24:00"})
    assert schedules.publish(room, day, day).published == 2 * hours
    starts = _starts(room)
    assert (starts[0][0], starts[-1][0] + timedelta(minutes=30)) == clock.day_bounds(day, zone)
    assert all(local == clock.to_local(start, zone).replace(tzinfo=None) for start, local in starts)


def test_hours_that_open_at_a_time_the_clocks_skip_open_when_there_is_one(room: Context) -> None:
    schedules.add(room, {**HOURS, "opens": "2:30", "closes": "4:00"})
    assert schedules.publish(room, date(2027, 3, 28), date(2027, 3, 28)).published == 2
    assert _starts(room)[0][1].isoformat() == "2027-03-28T03:00:00"


def test_hours_count_only_on_their_valid_days(room: Context) -> None:
    schedules.add(room, {**HOURS, "valid_from": "2027-01-05", "valid_until": "2027-01-06"})
    assert schedules.publish(room, date(2027, 1, 4), date(2027, 1, 10)).slots == 32
    (hours,) = [one for one in schedules.list_(room) if one.weekday == 3]
    schedules.end(room, [hours.schedule_id], date(2027, 1, 5))
    assert schedules.publish(room, date(2027, 1, 4), date(2027, 1, 10)).slots == 16
    with pytest.raises(NotFound):
        schedules.end(room, [10**6], date(2027, 1, 5))


def test_nothing_is_published_where_nothing_is_in_use(room: Context) -> None:
    schedules.add(room, HOURS)
    catalog.save_resource(room, {"site": "a", "code": "r", "active": "no"})
    assert schedules.publish(room, date(2027, 1, 4), date(2027, 1, 10)) == Published(0, 0, 0)
    with pytest.raises(InvalidInput):
        schedules.publish(room, date(2027, 1, 4), date(2027, 1, 3))


def test_more_slots_than_one_batch_are_published(room: Context) -> None:
    schedules.add(room, {**HOURS, "slot_minutes": "5"})
    assert schedules.publish(room, date(2027, 1, 1), date(2027, 1, 31)).published == 31 * 96 > schedules.BATCH


def _day(clinic: Clinic, day: int) -> tuple[datetime, datetime]:
    return clock.day_bounds(clinic.day(day), "Europe/Berlin")


def _references(rows: list[dict[str, Any]]) -> list[str]:
    return [row["reference"] for row in rows]


@pytest.mark.both_servers
def test_a_closure_says_whom_it_hits_and_can_be_taken_back(clinic: Clinic) -> None:
    context = clinic.context
    hit = appointments.book(context, clinic.request(1, "mri", clinic.slot("mri", 2))).verdicts[0].reference
    lab = appointments.book(context, clinic.request(2, "blood", clinic.slot("blood", 2))).verdicts[0].reference
    appointments.book(context, clinic.request(3, "mri", clinic.slot("mri", 3)))
    gone = appointments.book(context, clinic.request(4, "mri", clinic.slot("mri", 2, 5))).verdicts[0].reference
    appointments.cancel(context, str(gone))
    day = _day(clinic, 2)
    assert _references(schedules.affected(context, "north", "", *day)) == [lab, hit]
    closed = schedules.close(context, "north", "mri-1", *day, "Maintenance")
    assert (closed.slots, _references(closed.affected)) == (16, [hit])
    assert appointments.book(context, clinic.request(5, "mri", clinic.slot("mri", 2, 7))).reason == "slot-closed"
    (closure,) = schedules.closures(context)
    assert (closure.site, closure.resource, closure.start, closure.reason) == ("north", "mri-1", day[0], "Maintenance")
    assert schedules.reopen(context, closed.closure_id) == 16
    assert schedules.closures(context) == []
    with pytest.raises(NotFound):
        schedules.reopen(context, closed.closure_id)
    assert appointments.book(context, clinic.request(5, "mri", clinic.slot("mri", 2, 7))).outcome == "booked"


def test_a_closure_inside_a_long_test_hits_it(clinic: Clinic) -> None:
    booked = appointments.book(clinic.context, clinic.request(1, "mri-contrast", clinic.slot("mri", 2))).verdicts[0]
    assert booked.ends_at is not None
    last_minute = (booked.ends_at - timedelta(minutes=1), booked.ends_at)
    assert _references(schedules.affected(clinic.context, "north", "mri-1", *last_minute)) == [booked.reference]


def test_a_closure_ends_after_it_begins_and_names_what_exists(clinic: Clinic) -> None:
    now = datetime(2027, 1, 1, tzinfo=UTC)
    with pytest.raises(InvalidInput):
        schedules.close(clinic.context, "north", "", now, now, "")
    with pytest.raises(NotFound):
        schedules.close(clinic.context, "north", "xray-1", now, now + timedelta(hours=1), "")


def test_a_capacity_never_falls_below_what_is_booked(clinic: Clinic) -> None:
    slot = clinic.slot("blood")
    for patient in (1, 2, 3):
        appointments.book(clinic.context, clinic.request(patient, "blood", slot))
    with pytest.raises(Refused) as refusal:
        schedules.set_capacity(clinic.context, slot, 2)
    assert (refusal.value.code, refusal.value.details["booked"]) == ("capacity-below-booked", 3)
    changed = schedules.set_capacity(clinic.context, slot, 3)
    assert (changed.capacity, changed.booked) == (3, 3)
    with pytest.raises(NotFound):
        schedules.set_capacity(clinic.context, 10**8, 3)
    with pytest.raises(InvalidInput):
        schedules.set_capacity(clinic.context, slot, 0)
    assert clinic.sound()


def test_two_hours_of_tomorrow_are_two_hours(clinic: Clinic) -> None:
    begins, ends = places.period(clinic.context, "north", "tomorrow 10:00", "tomorrow 12:00")
    assert ends - begins == timedelta(hours=2)
    begins, ends = places.period(clinic.context, "north", "+7d 10:00", "+7d 14:00")
    assert ends - begins == timedelta(hours=4)
