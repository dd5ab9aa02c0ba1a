"""Holds of a whole visit: made, confirmed and given back together, on a real database."""

from __future__ import annotations

import uuid

import pytest

from bookcli.core import clock
from bookcli.core.context import Context
from bookcli.core.db import gateway
from bookcli.core.errors import Refused
from bookcli.core.model.appointments import Outcome
from bookcli.core.model.staff import SignedIn
from bookcli.core.services import appointments, visits
from tests.clinic import Clinic

pytestmark = pytest.mark.both_servers


def _held(clinic: Clinic, patient: int = 1, index: int = 0, seconds: int = 300) -> Outcome:
    parts = [("blood", clinic.slot("blood", 1, index)), ("mri", clinic.slot("mri", 1, index + 1))]
    return appointments.hold_visit(clinic.context, visits.requests(f"P{patient}", parts), uuid.uuid4(), seconds)


def _statuses(clinic: Clinic) -> list[str]:
    return [status for (status,) in clinic.rows("SELECT status::text FROM appointment ORDER BY appointment_id")]


def _kinds(clinic: Clinic) -> list[str]:
    return [kind for (kind,) in clinic.rows("SELECT kind FROM notification ORDER BY notification_id")]


def test_a_visit_is_held_as_a_whole_and_confirmed_as_a_whole(clinic: Clinic) -> None:
    held = _held(clinic)
    assert (held.outcome, _statuses(clinic), _kinds(clinic)) == ("held", ["pending", "pending"], [])
    for reference in (held.verdicts[1].reference, held.verdicts[0].reference):
        booked = appointments.confirm_visit(clinic.context, reference or "")
        assert [(one.test, one.status) for one in booked] == [("blood", "booked"), ("mri", "booked")]
    assert _kinds(clinic) == ["confirmation", "confirmation"], "safe to repeat"
    assert clinic.sound()


def test_a_visit_of_which_one_place_is_taken_is_not_held_at_all(clinic: Clinic) -> None:
    appointments.book(clinic.context, clinic.request(2, "mri", clinic.slot("mri", 1, 1)))
    refused = _held(clinic)
    assert (refused.outcome, refused.reason) == ("refused", "slot-full")
    assert _statuses(clinic) == ["booked"]
    assert clinic.sound()


def test_a_visit_of_which_one_hold_has_expired_is_not_confirmed_at_all(clinic: Clinic) -> None:
    held = _held(clinic)
    clinic.run(
        "UPDATE appointment SET held_until = now() - interval '1 s' WHERE app.reference_of(appointment_id) = %s",
        (held.verdicts[1].reference,),
    )
    with pytest.raises(Refused) as refusal:
        appointments.confirm_visit(clinic.context, held.verdicts[0].reference or "")
    assert refusal.value.code == "hold-expired"
    assert (_statuses(clinic), _kinds(clinic)) == (["pending", "cancelled"], [])
    assert clinic.sound()


def test_what_was_given_back_on_purpose_does_not_keep_the_rest_from_being_confirmed(clinic: Clinic) -> None:
    held = _held(clinic)
    appointments.cancel(clinic.context, held.verdicts[0].reference or "")
    booked = appointments.confirm_visit(clinic.context, held.verdicts[1].reference or "")
    assert [one.test for one in booked] == ["mri"]
    assert _statuses(clinic) == ["cancelled", "booked"]


def test_a_hold_of_its_own_is_a_visit_of_one(clinic: Clinic) -> None:
    held = appointments.hold(clinic.context, clinic.request(1, "mri", clinic.slot("mri")))
    (booked,) = appointments.confirm_visit(clinic.context, held.verdicts[0].reference or "")
    assert booked.status == "booked"


def test_a_released_visit_gives_every_place_back_and_tells_nobody(clinic: Clinic) -> None:
    held = _held(clinic)
    for _ in range(2):
        released = appointments.release(clinic.context, held.verdicts[1].reference or "")
        assert {one.status for one in released} == {"cancelled"}
    assert (_statuses(clinic), _kinds(clinic)) == (["cancelled", "cancelled"], [])
    assert clinic.rows("SELECT action, staff <> '' FROM audit WHERE action = 'release'") == [("release", True)] * 2
    assert _held(clinic, 2).outcome == "held"
    assert clinic.sound()


def test_a_booking_cannot_be_released(clinic: Clinic) -> None:
    booked = appointments.book(clinic.context, clinic.request(1, "mri", clinic.slot("mri")))
    with pytest.raises(Refused) as refusal:
        appointments.release(clinic.context, booked.verdicts[0].reference or "")
    assert refusal.value.code == "wrong-status"


def test_what_somebody_else_holds_is_not_released(clinic: Clinic) -> None:
    held = _held(clinic)
    with Context(clinic.context.settings, clinic.context.paths) as other:
        token = gateway.sign_in_here(clinic.owner, "somebody-else")[0]
        other.keep(SignedIn(token, "somebody-else", "manager", clock.now()), on_disk=False)
        with pytest.raises(Refused) as refusal:
            appointments.release(other, held.verdicts[0].reference or "")
    assert refusal.value.code == "not-yours"
    assert _statuses(clinic) == ["pending", "pending"]
