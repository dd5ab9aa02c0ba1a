"""The day of a site shows everybody: who comes, who cancelled, who did not come."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bookcli.core.errors import InvalidInput, NotFound
from bookcli.core.services import agenda, appointments
from tests.clinic import Clinic


def _book(clinic: Clinic, patient: int, test: str, slot: int) -> str:
    return str(appointments.book(clinic.context, clinic.request(patient, test, slot)).verdicts[0].reference)


@pytest.mark.both_servers
def test_a_day_is_in_order_and_complete(clinic: Clinic) -> None:
    later = _book(clinic, 1, "mri", clinic.slot("mri", 1, 3))
    early = _book(clinic, 2, "mri", clinic.slot("mri", 1, 0))
    lab = _book(clinic, 3, "blood", clinic.slot("blood", 1, 0))
    long = _book(clinic, 4, "mri-contrast", clinic.slot("mri", 1, 5))
    _book(clinic, 5, "mri", clinic.slot("mri", 2))
    appointments.cancel(clinic.context, later)
    shown = agenda.day(clinic.context, "north", clinic.day(1))
    assert [row["reference"] for row in shown] == [lab, early, later, long]
    assert [row["status"] for row in shown] == ["booked", "booked", "cancelled", "booked"]
    assert [row["reference"] for row in agenda.day(clinic.context, "north", clinic.day(1), resource="lab")] == [lab]
    cancelled = agenda.day(clinic.context, "Clinic North", clinic.day(1), status="cancelled")
    assert [row["reference"] for row in cancelled] == [later]


def test_the_day_is_the_sites_own(clinic: Clinic) -> None:
    booked = _book(clinic, 1, "xray", clinic.slot("xray", 1, 0))
    assert [row["reference"] for row in agenda.day(clinic.context, "south", clinic.day(1))] == [booked]
    assert agenda.day(clinic.context, "south", clinic.day(1) - timedelta(days=1)) == []
    assert agenda.day(clinic.context, "north", clinic.day(1)) == []


def test_a_hold_is_shown_as_long_as_it_holds(clinic: Clinic) -> None:
    appointments.hold(clinic.context, clinic.request(1, "mri", clinic.slot("mri")), 60)
    assert [row["status"] for row in agenda.day(clinic.context, "north", clinic.day(1))] == ["pending"]
    clinic.owner.execute("UPDATE appointment SET held_until = now() - interval '1 s'")
    assert agenda.day(clinic.context, "north", clinic.day(1)) == []


def test_a_word_that_is_no_status_or_resource_is_refused(clinic: Clinic) -> None:
    with pytest.raises(InvalidInput) as refusal:
        agenda.day(clinic.context, "north", clinic.day(1), status="boked")
    assert "booked" in refusal.value.hint
    with pytest.raises(NotFound):
        agenda.day(clinic.context, "north", clinic.day(1), resource="xray-1")
