"""Reports are sums that somebody could have counted by hand."""

from __future__ import annotations

import pytest

from bookcli.core.errors import InvalidInput, NotFound
from bookcli.core.services import appointments, reports
from tests.clinic import Clinic

pytestmark = pytest.mark.both_servers


def _book(clinic: Clinic, patient: int, test: str, index: int) -> str:
    outcome = appointments.book(clinic.context, clinic.request(patient, test, clinic.slot(test, 1, index)))
    return outcome.verdicts[0].reference or ""


def test_taken_places_are_counted_by_resource_and_hour(clinic: Clinic) -> None:
    for patient in (1, 2, 3):
        _book(clinic, patient, "blood", 0)
    _book(clinic, 4, "mri", 1)
    day = clinic.day(1)
    rows = {(row["resource"], row["hour"]): row for row in reports.utilisation(clinic.context, (day, day), "north")}
    assert (rows["lab", 8]["booked"], rows["lab", 8]["capacity"], rows["lab", 8]["share"]) == (3, 8, 0.375)
    assert (rows["mri-1", 8]["booked"], rows["mri-1", 8]["slots"]) == (1, 2)
    assert rows["mri-1", 9]["share"] == 0


def test_who_did_not_come_is_counted_by_test_and_weekday(clinic: Clinic) -> None:
    came, missed, _ahead = _book(clinic, 1, "mri", 0), _book(clinic, 2, "mri", 1), _book(clinic, 3, "mri", 2)
    day = clinic.day(1)
    clinic.run("UPDATE appointment SET status = 'fulfilled' WHERE app.reference_of(appointment_id) = %s", (came,))
    clinic.run(
        "UPDATE appointment SET during = tstzrange(now() - interval '1 h', now())"
        " WHERE app.reference_of(appointment_id) = %s",
        (missed,),
    )
    appointments.set_status(clinic.context, missed, "noshow")
    (row,) = reports.noshow(clinic.context, (day, day))
    expected = ("north", "mri", day.isoweekday(), 2, 1, 0.5)
    assert tuple(row[name] for name in ("site", "test", "weekday", "appointments", "missed", "share")) == expected


def test_days_from_booking_to_appointment_are_counted_by_test(clinic: Clinic) -> None:
    for patient, days in ((1, 0), (2, 10), (3, 40)):
        reference = _book(clinic, patient, "blood", patient)
        clinic.run(
            "UPDATE appointment SET created_at = lower(during) - make_interval(days => %s, hours => 12)"
            " WHERE app.reference_of(appointment_id) = %s",
            (days, reference),
        )
    (row,) = reports.lead_time(clinic.context, (clinic.day(1), clinic.day(1)))
    assert (row["test"], row["appointments"], row["days_median"]) == ("blood", 3, 10.5)
    assert [row[name] for name in ("same_day", "within_week", "within_month", "later")] == [1, 0, 1, 1]


def test_what_cannot_be_reported_is_said(clinic: Clinic) -> None:
    with pytest.raises(InvalidInput):
        reports.utilisation(clinic.context, (clinic.day(2), clinic.day(1)))
    with pytest.raises(NotFound):
        reports.noshow(clinic.context, (clinic.day(1), clinic.day(1)), "nowhere")
