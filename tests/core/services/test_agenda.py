"""The day of a site shows everybody: who comes, who cancelled, who did not come."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bookcli.core.errors import InvalidInput, NotFound
from bookcli.core.services import agenda, appointments, undo
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


def test_whoever_has_arrived_is_seen_waiting_until_the_test_is_done(clinic: Clinic) -> None:
    reference = _book(clinic, 1, "mri", clinic.slot("mri", 1, 0))
    clinic.happens_today(reference)

    def row() -> tuple[bool, bool, int | None]:
        (shown,) = clinic.rows("SELECT local_start::date FROM slot WHERE booked > 0")
        (one,) = agenda.day(clinic.context, "north", shown[0])
        return one["arrived_at"] is not None, one["checked_in_at"] is not None, one["waiting_minutes"]

    assert row() == (False, False, None)
    appointments.set_status(clinic.context, reference, "arrived")
    assert row() == (True, False, 0)
    clinic.run("UPDATE appointment SET arrived_at = arrived_at - interval '7 minutes 30 seconds'")
    appointments.set_status(clinic.context, reference, "checked-in")
    assert row() == (True, True, 7)
    appointments.set_status(clinic.context, reference, "fulfilled")
    assert row() == (True, True, None)
    for status in ("checked-in", "arrived"):
        appointments.set_status(clinic.context, reference, status)
    assert row() == (True, False, 7)
    undo.undo(clinic.context)
    assert row() == (True, True, 7)
    for status in ("arrived", "booked"):
        appointments.set_status(clinic.context, reference, status)
    assert row() == (False, False, None)
