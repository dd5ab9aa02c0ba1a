"""The reason that is told is the one that holds, also for requests that only name a day and for many at once."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import pytest

from bookcli.core import clock
from bookcli.core.db import kernel
from bookcli.core.model.requests import BookingRequest, Place
from bookcli.core.services import appointments, schedules
from tests.clinic import Clinic

pytestmark = pytest.mark.both_servers


def _on(clinic: Clinic, patient: str, day: int, **more: Any) -> BookingRequest:
    return BookingRequest(patient, "mri", Place(site="north", day=_day(day)), **more)


def _day(day: int) -> Any:
    return clock.today("Europe/Berlin") + timedelta(days=day)


def _fill(clinic: Clinic, day: int, but: int) -> None:
    """Books all MRI slots of a day except `but`, each for another patient."""
    slots = [clinic.slot("mri", day, index) for index in range(16)]
    requests = [BookingRequest(f"P{n + 1}", "mri", Place(slot=slot)) for n, slot in enumerate(slots[: 16 - but])]
    assert all(verdict.won for verdict in appointments.book_many(clinic.context, requests))


def test_a_row_that_cannot_be_booked_takes_no_place_from_the_next(clinic: Clinic) -> None:
    _fill(clinic, 2, but=1)
    told = appointments.book_many(clinic.context, [_on(clinic, "NOBODY", 2), _on(clinic, "P20", 2)])
    assert [verdict.verdict for verdict in told] == ["patient-unknown", "booked"]


def test_a_patient_who_is_busy_early_gets_the_late_place_although_others_come_first(clinic: Clinic) -> None:
    _fill(clinic, 2, but=3)
    start, end = clinic.row("SELECT starts_at, ends_at + interval '30 min' FROM slot WHERE slot_id = %s",
                            (clinic.slot("mri", 2, 13),))  # fmt: skip
    blood = clinic.row("SELECT array_agg(slot_id ORDER BY starts_at) FROM slot JOIN resource USING (resource_id)"
                       " WHERE code = 'lab' AND starts_at >= %s AND ends_at <= %s", (start, end))[0]  # fmt: skip
    busy = [BookingRequest("P20", "blood", Place(slot=slot)) for slot in blood]
    assert all(verdict.won for verdict in appointments.book_many(clinic.context, busy))
    told = appointments.book_many(clinic.context, [_on(clinic, f"P{n}", 2) for n in (18, 19, 20)])
    assert [verdict.verdict for verdict in told] == ["booked"] * 3
    assert clinic.sound()


def test_a_closed_day_is_told_as_closed(clinic: Clinic) -> None:
    first, last = clock.day_bounds(_day(3), "Europe/Berlin")
    schedules.close(clinic.context, "north", "", first, last, "maintenance")
    assert appointments.book(clinic.context, _on(clinic, "P1", 3)).reason == "slot-closed"


def test_a_day_inside_the_lead_time_is_told_as_too_soon(clinic: Clinic) -> None:
    kernel.save(clinic.context.connection(), "tests", [{"code": "mri", "lead_minutes": 20 * 24 * 60}])
    assert appointments.book(clinic.context, _on(clinic, "P1", 3)).reason == "too-soon"


def test_a_start_at_which_the_patient_is_elsewhere_is_told_as_overlap(clinic: Clinic) -> None:
    start = clinic.row("SELECT starts_at FROM slot WHERE slot_id = %s", (clinic.slot("mri", 2, 4),))[0]
    (lab,) = clinic.row("SELECT slot_id FROM slot JOIN resource USING (resource_id)"
                        " WHERE code = 'lab' AND starts_at = %s", (start,))  # fmt: skip
    assert appointments.book(clinic.context, BookingRequest("P1", "blood", Place(slot=lab))).outcome == "booked"
    place = Place(site="north", day=_day(2), start=start)
    outcome = appointments.book(clinic.context, BookingRequest("P1", "mri", place))
    assert outcome.reason == "patient-overlap"


def test_many_rows_of_one_patient_are_decided_in_one_call(clinic: Clinic) -> None:
    requests = [
        BookingRequest("P1", "mri", Place(slot=clinic.slot("mri", day, index))).document()
        for day in range(2, 8)
        for index in range(0, 16, 2)
    ]
    told = kernel.book(clinic.context.connection(), requests)
    assert {verdict.verdict for verdict in told} == {"booked"}
    assert clinic.sound()


def test_a_call_that_would_take_too_many_locks_is_refused_as_a_whole(clinic: Clinic) -> None:
    connection = clinic.owner
    kernel.save(connection, "patients", [{"mrn": f"Q{n}", "name": f"Patient {n}"} for n in range(4100)])
    requests = [
        {"key": str(uuid.uuid4()), "patient": f"Q{n}", "test": "blood", "slot": clinic.slot("blood", 2)}
        for n in range(4100)
    ]
    with pytest.raises(Exception, match="does not answer") as refused:
        kernel.book(connection, requests)
    assert refused.value.details["sqlstate"] == "54000", "by this an import knows that half of it may be booked"
    assert clinic.row("SELECT count(*) FROM appointment") == (0,)


def test_a_visit_asked_again_with_another_test_is_another_visit(clinic: Clinic) -> None:
    key = uuid.uuid4()
    parts = [BookingRequest("P1", "mri", Place(slot=clinic.slot("mri", 2, index))) for index in (0, 4, 8)]
    assert appointments.visit(clinic.context, parts[:2], key).outcome == "booked"
    again = appointments.visit(clinic.context, parts, key)
    assert (again.outcome, again.reason) == ("refused", "slot-full")
    assert clinic.row("SELECT count(*) FROM appointment") == (2,)


def test_a_key_whose_booking_was_cancelled_since_is_not_told_as_booked(clinic: Clinic) -> None:
    request = BookingRequest("P1", "mri", Place(slot=clinic.slot("mri", 2)))
    (told,) = appointments.book(clinic.context, request).verdicts
    appointments.cancel(clinic.context, told.reference or "")
    outcome = appointments.book(clinic.context, request)
    assert (outcome.outcome, outcome.reason) == ("refused", "cancelled")


def test_days_follow_a_site_that_moves_to_another_zone(clinic: Clinic) -> None:
    kernel.save(clinic.context.connection(), "sites", [{"code": "north", "zone": "Asia/Tokyo"}])
    wrong = clinic.row(
        "SELECT count(*) FROM slot JOIN site USING (site_id)"
        " WHERE code = 'north' AND local_start <> starts_at AT TIME ZONE 'Asia/Tokyo'"
    )
    assert wrong == (0,)
