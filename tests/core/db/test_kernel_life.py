"""Holds, changes of status, rescheduling, cancelling: the life of an appointment, on a real database."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from bookcli.core.db import kernel
from bookcli.core.errors import InvalidInput, NotFound, Refused
from bookcli.core.model.references import reference_of
from bookcli.core.model.requests import BookingRequest, Place
from bookcli.core.services import appointments, slots
from tests.clinic import Clinic

pytestmark = pytest.mark.both_servers


def _hold(clinic: Clinic, patient: int, slot: int) -> Any:
    outcome = appointments.hold(clinic.context, clinic.request(patient, "mri", slot), 60)
    assert outcome.outcome == "held"
    return outcome.verdicts[0]


def _booked(clinic: Clinic, patient: int, test: str, slot: int) -> Any:
    outcome = appointments.book(clinic.context, clinic.request(patient, test, slot))
    assert outcome.outcome == "booked"
    return outcome.verdicts[0]


def _expire(clinic: Clinic) -> None:
    clinic.owner.execute("UPDATE appointment SET held_until = now() - interval '1 s' WHERE held_until > now()")


def _move(clinic: Clinic, reference: str, slot: int) -> Any:
    return appointments.reschedule(clinic.context, reference, BookingRequest(place=Place(slot=slot)))


def _places(clinic: Clinic, slot: int) -> list[tuple[int, int]]:
    return clinic.rows("SELECT place, appointment_id FROM occupancy WHERE slot_id = %s ORDER BY 1", (slot,))


def test_a_hold_takes_a_place_and_sends_nothing(clinic: Clinic) -> None:
    told = _hold(clinic, 1, clinic.slot("mri"))
    assert (told.status, told.remaining) == ("pending", 0)
    lasts = clinic.row("SELECT held_until - now() FROM appointment")[0]
    assert timedelta(seconds=30) < lasts <= timedelta(seconds=60)
    assert appointments.book(clinic.context, clinic.request(2, "mri", clinic.slot("mri"))).reason == "slot-full"
    assert clinic.rows("SELECT kind FROM notification") == []
    assert clinic.sound()


@pytest.mark.parametrize("seconds", [9, 86401, -1])
def test_a_hold_lasts_between_ten_seconds_and_a_day(clinic: Clinic, seconds: int) -> None:
    with pytest.raises(InvalidInput):
        appointments.hold(clinic.context, clinic.request(1, "mri", clinic.slot("mri")), seconds)


def test_a_confirmed_hold_keeps_its_place_and_is_never_counted_again(clinic: Clinic) -> None:
    slot = clinic.slot("mri")
    told = _hold(clinic, 1, slot)
    before = _places(clinic, slot), clinic.row("SELECT booked, version FROM slot WHERE slot_id = %s", (slot,))
    assert appointments.confirm(clinic.context, told.reference).status == "booked"
    assert appointments.confirm(clinic.context, told.reference).status == "booked", "safe to repeat"
    assert (_places(clinic, slot), clinic.row("SELECT booked, version FROM slot WHERE slot_id = %s", (slot,))) == before
    assert clinic.rows("SELECT kind FROM notification") == [("confirmation",)]
    assert clinic.sound()


def test_the_place_of_an_expired_hold_is_free_for_the_next_who_asks(clinic: Clinic) -> None:
    slot = clinic.slot("mri")
    told = _hold(clinic, 1, slot)
    search = slots.Search("mri", (clinic.day(1), clinic.day(1)))
    assert slot not in [found.slot_id for found in slots.find(clinic.context, search)]
    _expire(clinic)
    assert slot in [found.slot_id for found in slots.find(clinic.context, search)]
    assert _booked(clinic, 2, "mri", slot).remaining == 0
    with pytest.raises(Refused) as refused:
        appointments.confirm(clinic.context, told.reference)
    assert refused.value.code == "hold-expired"
    assert clinic.rows("SELECT action FROM audit WHERE appointment_id = %s ORDER BY 1", (told.appointment_id,)) == [
        ("expire",),
        ("hold",),
    ]
    assert clinic.sound()


def test_what_is_found_counts_every_expired_hold_that_a_long_test_would_meet(clinic: Clinic) -> None:
    for n, patient in ((1, 1), (5, 2)):
        _hold(clinic, patient, clinic.slot("mri", 1, n))
    _expire(clinic)
    _booked(clinic, 3, "mri", clinic.slot("mri", 1, 6))
    search = slots.Search("mri-contrast", (clinic.day(1), clinic.day(1)))
    found = {slot.slot_id for slot in slots.find(clinic.context, search)}
    assert found == {clinic.slot("mri", 1, n) for n in (0, 1, 2, 3, *range(7, 15))}
    assert _booked(clinic, 4, "mri-contrast", clinic.slot("mri", 1, 0)).remaining == 0
    assert clinic.sound()


def test_a_day_whose_only_place_is_an_expired_hold_is_not_full(clinic: Clinic) -> None:
    slot = clinic.slot("mri", 1, 7)
    clinic.owner.execute("UPDATE slot SET status = 'busy-unavailable' WHERE slot_id <> %s", (slot,))
    _hold(clinic, 1, slot)
    _expire(clinic)
    place = Place(site="north", day=clinic.day(1))
    for patient, answer in ((1, None), (2, "slot-full")):
        request = clinic.request(patient, "mri", place=place)
        assert appointments.book(clinic.context, request).reason == answer
    assert clinic.sound()


def test_a_patients_own_expired_hold_is_no_overlap(clinic: Clinic) -> None:
    _hold(clinic, 1, clinic.slot("mri"))
    _expire(clinic)
    assert _booked(clinic, 1, "blood", clinic.slot("blood")).status == "booked"
    assert clinic.sound()


def test_confirming_too_late_says_so_and_gives_the_place_back(clinic: Clinic) -> None:
    told = _hold(clinic, 1, clinic.slot("mri"))
    _expire(clinic)
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            appointments.confirm(clinic.context, told.reference)
        assert refused.value.code == "hold-expired"
    assert _places(clinic, clinic.slot("mri")) == []
    assert clinic.sound()


def test_expired_holds_are_released_by_the_sweeper_and_live_ones_are_not(clinic: Clinic) -> None:
    for n in range(3):
        _hold(clinic, 1 + n, clinic.slot("mri", 1, n))
    _expire(clinic)
    live = _hold(clinic, 4, clinic.slot("mri", 1, 5))
    assert kernel.release_expired(clinic.context.connection()) == 3
    assert kernel.release_expired(clinic.context.connection()) == 0
    assert clinic.rows("SELECT appointment_id FROM appointment WHERE active") == [(live.appointment_id,)]
    assert clinic.sound()


def test_cancelling_frees_the_place_and_leaves_no_gap(clinic: Clinic) -> None:
    slot = clinic.slot("blood")
    booked = [_booked(clinic, n, "blood", slot) for n in range(1, 5)]
    assert appointments.cancel(clinic.context, booked[1].reference).verdict == "cancelled"
    ids = [verdict.appointment_id for verdict in booked]
    assert _places(clinic, slot) == [(1, ids[0]), (2, ids[3]), (3, ids[2])]
    assert _booked(clinic, 5, "blood", slot).remaining == 0
    assert clinic.sound()


def test_cancelling_a_long_test_frees_all_its_slots(clinic: Clinic) -> None:
    told = _booked(clinic, 1, "mri-contrast", clinic.slot("mri"))
    appointments.cancel(clinic.context, told.reference, "maint")
    assert clinic.row("SELECT sum(booked), (SELECT count(*) FROM occupancy) FROM slot") == (0, 0)
    assert _booked(clinic, 1, "mri-contrast", clinic.slot("mri")).reference != told.reference
    assert clinic.sound()


def test_a_cancellation_has_a_known_reason(clinic: Clinic) -> None:
    told = _booked(clinic, 1, "mri", clinic.slot("mri"))
    with pytest.raises(InvalidInput, match="not a cancellation reason"):
        appointments.cancel(clinic.context, told.reference, "boredom")


def test_rescheduling_keeps_the_reference_and_frees_the_old_place(clinic: Clinic) -> None:
    old, new = clinic.slot("mri", 1), clinic.slot("mri", 2)
    told = _booked(clinic, 1, "mri", old)
    moved = _move(clinic, told.reference, new)
    assert (moved.outcome, moved.verdicts[0].verdict, moved.verdicts[0].reference) == (
        "booked",
        "rescheduled",
        told.reference,
    )
    assert (_places(clinic, old), len(_places(clinic, new))) == ([], 1)
    assert clinic.sound()


def test_a_refused_rescheduling_keeps_the_old_place(clinic: Clinic) -> None:
    old, taken = clinic.slot("mri", 1), clinic.slot("mri", 2)
    told = _booked(clinic, 1, "mri", old)
    _booked(clinic, 2, "mri", taken)
    before = appointments.show(clinic.context, told.reference)
    refused = _move(clinic, told.reference, taken)
    assert (refused.outcome, refused.reason) == ("refused", "slot-full")
    assert refused.alternatives
    assert appointments.show(clinic.context, told.reference) == before
    assert clinic.sound()


def test_an_appointment_may_move_onto_its_own_slots(clinic: Clinic) -> None:
    told = _booked(clinic, 1, "mri-contrast", clinic.slot("mri", 1, 0))
    moved = _move(clinic, told.reference, clinic.slot("mri", 1, 1))
    assert moved.verdicts[0].slots == [clinic.slot("mri", 1, n) for n in (1, 2, 3)]
    back = _move(clinic, told.reference, clinic.slot("mri", 1, 0))
    assert back.verdicts[0].slots == [clinic.slot("mri", 1, n) for n in (0, 1, 2)]
    assert clinic.sound()


def test_moving_to_where_it_is_changes_no_place(clinic: Clinic) -> None:
    slot = clinic.slot("mri")
    told = _booked(clinic, 1, "mri", slot)
    assert _move(clinic, told.reference, slot).outcome == "booked"
    assert _places(clinic, slot) == [(1, told.appointment_id)]
    assert clinic.sound()


def test_a_moved_appointment_still_minds_the_patients_others(clinic: Clinic) -> None:
    told = _booked(clinic, 1, "mri", clinic.slot("mri", 1, 0))
    _booked(clinic, 1, "blood", clinic.slot("blood", 1, 4))
    assert _move(clinic, told.reference, clinic.slot("mri", 1, 4)).reason == "patient-overlap"
    assert clinic.sound()


def test_what_was_cancelled_cannot_be_moved_or_confirmed(clinic: Clinic) -> None:
    told = _booked(clinic, 1, "mri", clinic.slot("mri"))
    appointments.cancel(clinic.context, told.reference)
    assert _move(clinic, told.reference, clinic.slot("mri", 2)).reason == "wrong-status"
    with pytest.raises(Refused) as refused:
        appointments.confirm(clinic.context, told.reference)
    assert (refused.value.code, refused.value.details["status"]) == ("wrong-status", "cancelled")


def test_a_held_appointment_that_moves_stays_a_hold(clinic: Clinic) -> None:
    told = _hold(clinic, 1, clinic.slot("mri"))
    moved = _move(clinic, told.reference, clinic.slot("mri", 2))
    assert (moved.outcome, moved.verdicts[0].status) == ("held", "pending")
    assert clinic.rows("SELECT kind FROM notification") == []
    assert clinic.sound()


def test_an_expired_hold_cannot_be_moved(clinic: Clinic) -> None:
    told = _hold(clinic, 1, clinic.slot("mri"))
    _expire(clinic)
    assert _move(clinic, told.reference, clinic.slot("mri", 2)).reason == "hold-expired"
    assert clinic.sound()


def test_a_move_keeps_patient_and_test_whatever_the_request_says(clinic: Clinic) -> None:
    told = _booked(clinic, 1, "mri", clinic.slot("mri"))
    request = clinic.request(2, "mri-contrast", clinic.slot("mri", 2), moves=told.reference)
    moved = appointments.book(clinic.context, request).verdicts[0]
    assert (moved.patient, moved.test, moved.slots) == ("P1", "mri", [clinic.slot("mri", 2)])
    assert clinic.sound()


def test_the_day_of_an_appointment_goes_forward_and_can_be_corrected(clinic: Clinic) -> None:
    told = _booked(clinic, 1, "mri", clinic.slot("mri"))
    clinic.happens_today(told.reference)
    steps = ["arrived", "checked-in", "fulfilled", "checked-in", "arrived", "booked", "checked-in", "checked-in"]
    for step in steps:
        assert appointments.set_status(clinic.context, told.reference, step).status == step
    changes = "SELECT count(*) FROM audit WHERE appointment_id = %s AND action <> 'look-appointment'"
    assert clinic.row(changes, (told.appointment_id,)) == (8,)
    assert clinic.sound()


@pytest.mark.parametrize(
    ("status", "code"),
    [
        ("fulfilled", "wrong-status"),
        ("noshow", "not-yet"),
        ("arrived", "not-yet"),
        ("checked-in", "not-yet"),
        ("pending", "wrong-status"),
    ],
)
def test_a_status_that_cannot_follow_is_refused(clinic: Clinic, status: str, code: str) -> None:
    told = _booked(clinic, 1, "mri", clinic.slot("mri"))
    with pytest.raises(Refused) as refused:
        appointments.set_status(clinic.context, told.reference, status)
    assert refused.value.code == code
    assert appointments.show(clinic.context, told.reference)["status"] == "booked"


def test_nobody_arrives_for_a_day_that_is_over_but_what_happened_can_be_noted(clinic: Clinic) -> None:
    told = _booked(clinic, 1, "mri", clinic.slot("mri"))
    clinic.owner.execute("UPDATE slot SET local_start = local_start - interval '3 d'")
    clinic.owner.execute("UPDATE appointment SET during = tstzrange(now() - interval '2 d', now() - interval '47 h')")
    with pytest.raises(Refused) as refused:
        appointments.set_status(clinic.context, told.reference, "arrived")
    assert refused.value.code == "day-over"
    for step in ("checked-in", "fulfilled"):
        assert appointments.set_status(clinic.context, told.reference, step).status == step


def test_whoever_did_not_come_gives_the_place_back(clinic: Clinic) -> None:
    slot = clinic.slot("mri")
    told = _booked(clinic, 1, "mri", slot)
    clinic.owner.execute("UPDATE appointment SET during = tstzrange(now() - interval '1 h', now())")
    assert appointments.set_status(clinic.context, told.reference, "noshow").verdict == "noshow"
    assert _places(clinic, slot) == []
    with pytest.raises(Refused):
        appointments.cancel(clinic.context, told.reference)
    assert clinic.sound()


def test_a_reference_nobody_has_is_not_found(clinic: Clinic) -> None:
    nobody = reference_of(4711)
    asks = (
        lambda: appointments.confirm(clinic.context, nobody),
        lambda: appointments.cancel(clinic.context, nobody),
        lambda: appointments.set_status(clinic.context, nobody, "arrived"),
        lambda: appointments.show(clinic.context, nobody),
        lambda: _move(clinic, nobody, clinic.slot("mri")),
    )
    for ask in asks:
        with pytest.raises(NotFound) as refused:
            ask()
        assert refused.value.code == "reference-unknown"


def test_capacity_is_never_set_below_what_is_booked(clinic: Clinic) -> None:
    slot = clinic.slot("blood")
    for n in (1, 2):
        _booked(clinic, n, "blood", slot)
    connection = clinic.owner
    assert kernel.set_capacity(connection, slot, 1)[:3] == ("capacity-below-booked", 4, 2)
    assert kernel.set_capacity(connection, slot, 2)[:3] == ("changed", 2, 2)
    assert clinic.rows("SELECT DISTINCT capacity FROM occupancy WHERE slot_id = %s", (slot,)) == [(2,)]
    assert appointments.book(clinic.context, clinic.request(3, "blood", slot)).reason == "slot-full"
    assert kernel.set_capacity(connection, slot, 3)[:3] == ("changed", 3, 2)
    assert _booked(clinic, 3, "blood", slot).remaining == 0
    assert kernel.set_capacity(connection, 2_000_000, 3)[0] == "slot-unknown"
    assert clinic.sound()
