"""Somebody who is bound to a site: what they are told when they reach for another one."""

from __future__ import annotations

import uuid

import pytest

from bookcli.core.context import Context
from bookcli.core.db import kernel
from bookcli.core.errors import NotAllowed
from bookcli.core.services import agenda, appointments, notifications, patients, schedules, visits
from tests.clinic import Clinic


@pytest.fixture
def bound(clinic: Clinic) -> Context:
    """A desk whose staff may book and change at the site `south` only."""
    clinic.run("UPDATE staff SET sites = ARRAY[(SELECT site_id FROM site WHERE code = 'south')]")
    return clinic.context


def test_another_site_is_not_offered_and_not_kept(clinic: Clinic, bound: Context) -> None:
    with pytest.raises(NotAllowed) as refusal:
        appointments.book(bound, clinic.request(1, "mri", clinic.slot("mri")))
    assert (refusal.value.code, "at another site than yours" in refusal.value.message) == ("forbidden", True)
    assert clinic.rows("SELECT 1 FROM request") == []
    assert not bound.paths.spool.exists()


def test_their_own_site_and_every_patient_are_theirs(clinic: Clinic, bound: Context) -> None:
    outcome = appointments.book(bound, clinic.request(1, "xray", clinic.slot("xray")))
    assert outcome.outcome == "booked"
    assert patients.get(bound, "P1").appointments_ahead == 1
    assert [row["patient"] for row in agenda.day(bound, "south", clinic.day(1))] == ["P1"]


def test_the_day_and_the_closures_of_another_site_are_not_theirs(clinic: Clinic, bound: Context) -> None:
    with pytest.raises(NotAllowed):
        agenda.day(bound, "north", clinic.day(1))
    (start,) = clinic.row("SELECT starts_at FROM slot WHERE slot_id = %s", (clinic.slot("mri"),))
    with pytest.raises(NotAllowed):
        schedules.close(bound, "north", "mri-1", start, start.replace(hour=23), "holiday")


def test_who_may_not_close_another_site_does_not_wait_in_its_queue(clinic: Clinic, bound: Context) -> None:
    site, start, end = clinic.row(
        "SELECT site_id, starts_at, ends_at FROM slot WHERE slot_id = %s", (clinic.slot("mri"),)
    )
    with clinic.owner.transaction():
        clinic.owner.execute("SELECT FROM site WHERE site_id = %s FOR NO KEY UPDATE", (site,))
        with pytest.raises(NotAllowed):
            kernel.close_and_move(bound.connection(), (site, None), (start, end), "", [], all_or_nothing=True)


def test_a_message_about_another_site_too_is_not_theirs_to_send_again(clinic: Clinic, bound: Context) -> None:
    clinic.run("UPDATE staff SET sites = NULL")
    parts = [("mri", clinic.slot("mri", 1, 1)), ("xray", clinic.slot("xray", 1, 15))]
    appointments.visit(bound, visits.requests("P1", parts), uuid.uuid4())
    clinic.run("UPDATE staff SET sites = ARRAY[(SELECT site_id FROM site WHERE code = 'south')]")
    rows = clinic.rows(
        "SELECT notification_id, code FROM notification JOIN appointment USING (appointment_id)"
        " JOIN slot USING (slot_id) JOIN site USING (site_id)"
    )
    assert len(rows) == 2
    for number, _ in rows:
        with pytest.raises(NotAllowed):
            notifications.retry(bound, number)


def test_their_own_message_is_sent_again_and_the_audit_says_about_whom(clinic: Clinic, bound: Context) -> None:
    appointments.book(bound, clinic.request(1, "xray", clinic.slot("xray")))
    (number,) = clinic.row("SELECT notification_id FROM notification")
    notifications.stop(bound, number)
    notifications.retry(bound, number)
    noted = clinic.rows(
        "SELECT action, patient_id FROM audit WHERE action IN ('stop-message', 'retry-message') ORDER BY audit_id"
    )
    assert noted == [("stop-message", 1), ("retry-message", 1)]
