"""From a typed line to a booked visit, on a real clinic."""

from __future__ import annotations

import uuid
from datetime import time

import pytest

from bookcli.core.errors import InvalidInput, NotFound
from bookcli.core.services import appointments, offers, patients, quick_line, visits
from tests.clinic import Clinic


def test_from_the_line_to_the_booking(clinic: Clinic) -> None:
    known = quick_line.known(clinic.context)
    line = quick_line.understand(f"muller, mri+blood, {clinic.day(2)} am, north", known, "Europe/Berlin")
    assert [word.kind for word in line.words] == ["name", "test", "test", "test", "days", "part", "site"]
    (patient,) = patients.find(clinic.context, line.patient)
    found = offers.best(clinic.context, quick_line.wish(clinic.context, line, patient.mrn))
    assert [part.test for part in found[0].parts] == ["blood", "mri"]
    outcome = appointments.visit(clinic.context, visits.requests(patient.mrn, found[0].takes), uuid.uuid4())
    assert outcome.outcome == "booked"


def test_a_time_asks_for_what_begins_from_then_on(clinic: Clinic) -> None:
    known = quick_line.known(clinic.context)
    line = quick_line.understand(f"mri {clinic.day(2)} 10:00 north", known)
    wish = quick_line.wish(clinic.context, line)
    assert wish.where.hours == (time(10), time(13))
    late = quick_line.wish(clinic.context, quick_line.understand("mri today 23:00 north", known))
    assert late.where.hours == (time(23), time.max)


def test_without_a_test_or_a_site_there_is_nothing_to_offer(clinic: Clinic) -> None:
    known = quick_line.known(clinic.context)
    for typed, code in (("khan north", "visit-size"), ("khan mri", "site-missing")):
        with pytest.raises(InvalidInput) as problem:
            quick_line.wish(clinic.context, quick_line.understand(typed, known))
        assert problem.value.code == code
    with pytest.raises(NotFound):
        quick_line.wish(clinic.context, quick_line.Line(tests=("mri",), site="nowhere"))
