"""Undo: the last step of the same person is taken back, with its message, while nobody has built on it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from bookcli.core import clock
from bookcli.core.context import Context
from bookcli.core.db import gateway, kernel
from bookcli.core.errors import NotFound, Refused
from bookcli.core.model.references import reference_of
from bookcli.core.model.requests import BookingRequest, Place
from bookcli.core.model.staff import SignedIn
from bookcli.core.services import agenda, appointments, closings, schedules, slots, undo, visits
from tests.clinic import Clinic

pytestmark = pytest.mark.both_servers


@pytest.fixture
def colleague(clinic: Clinic) -> Iterator[Context]:
    with Context(clinic.context.settings, clinic.context.paths) as other:
        token = gateway.sign_in_here(clinic.owner, "a-colleague")[0]
        other.keep(SignedIn(token, "a-colleague", "manager", clock.now()), on_disk=False)
        yield other


def _booked(clinic: Clinic, patient: int = 1, index: int = 0, test: str = "mri") -> str:
    outcome = appointments.book(clinic.context, clinic.request(patient, test, clinic.slot("mri", 1, index)))
    assert outcome.outcome == "booked"
    return outcome.verdicts[0].reference or ""


def _booked_at(clinic: Clinic, patient: int, slot: int) -> str:
    outcome = appointments.book(clinic.context, clinic.request(patient, "mri", slot))
    return outcome.verdicts[0].reference or ""


def _move(context: Context, reference: str, slot: int) -> None:
    assert appointments.reschedule(context, reference, BookingRequest(place=Place(slot=slot))).outcome == "booked"


def _status(clinic: Clinic, reference: str) -> str:
    return str(appointments.show(clinic.context, reference)["status"])


def _messages(clinic: Clinic) -> list[tuple[str, bool]]:
    """(kind, whether it will be or was sent), in order."""
    return clinic.rows("SELECT kind, cancelled_at IS NULL FROM notification ORDER BY notification_id")


def _send(clinic: Clinic) -> None:
    clinic.run("UPDATE notification SET sent_at = now(), attempts = 1 WHERE cancelled_at IS NULL AND sent_at IS NULL")
    clinic.run(
        "INSERT INTO audit (action, after) SELECT 'send', jsonb_build_object('message', notification_id)"
        " FROM notification n WHERE sent_at IS NOT NULL AND NOT EXISTS (SELECT FROM audit u WHERE u.action = 'send'"
        " AND (u.after ->> 'message')::bigint = n.notification_id)"
    )


def _refused(context: Context, reference: str = "") -> str:
    with pytest.raises(Refused) as refusal:
        undo.undo(context, reference)
    return refusal.value.code


def test_a_booking_made_by_mistake_never_was(clinic: Clinic) -> None:
    reference = _booked(clinic)
    undone = undo.undo(clinic.context)
    assert (undone.action, undone.message_sent, undone.verdicts[0].reference) == ("book", False, reference)
    assert _status(clinic, reference) == "entered-in-error"
    assert _messages(clinic) == [("confirmation", False)]
    assert agenda.day(clinic.context, "north", clinic.day(1)) == []
    assert _booked(clinic, 2) != reference, "the place is free"
    assert clinic.sound()


def test_a_patient_who_was_told_of_a_booking_is_told_that_it_is_cancelled(clinic: Clinic) -> None:
    _booked(clinic)
    _send(clinic)
    assert undo.undo(clinic.context).message_sent
    assert _messages(clinic) == [("confirmation", True), ("cancellation", True)]
    assert clinic.sound()


def test_a_visit_is_undone_at_one_stroke(clinic: Clinic) -> None:
    parts = [("blood", clinic.slot("blood")), ("mri", clinic.slot("mri", 1, 1))]
    appointments.visit(clinic.context, visits.requests("P1", parts), uuid.uuid4())
    assert len(undo.undo(clinic.context).verdicts) == 2
    assert clinic.rows("SELECT DISTINCT status::text FROM appointment") == [("entered-in-error",)]
    assert clinic.sound()


def test_a_visit_that_was_moved_at_one_stroke_goes_back_whole_or_not_at_all(clinic: Clinic) -> None:
    parts = [("mri", clinic.slot("mri", 2, index)) for index in (4, 5)]
    appointments.visit(clinic.context, visits.requests("P1", parts), uuid.uuid4())
    references = [one[0] for one in clinic.rows("SELECT app.reference_of(appointment_id) FROM appointment")]
    (start, end) = clinic.row("SELECT min(lower(during)), max(upper(during)) FROM appointment")
    plan = closings.plan(clinic.context, "north", "mri-1", start, end)
    done = closings.apply(clinic.context, plan, "repair", everybody=True)
    schedules.reopen(clinic.context, done.closure_id)
    moved = clinic.rows("SELECT appointment_id, slot_id FROM appointment ORDER BY 1")
    other = _booked_at(clinic, 2, parts[1][1])
    assert _refused(clinic.context, references[0]) == "slot-full"
    assert clinic.rows("SELECT appointment_id, slot_id FROM appointment WHERE patient_id = 1 ORDER BY 1") == moved
    assert clinic.rows("SELECT count(*) FROM audit WHERE action = 'undo'") == [(0,)]
    appointments.cancel(clinic.context, other)
    undone = undo.undo(clinic.context, references[0]).verdicts
    left = sorted(slot for place in (undone[0].numbers or {})["were"] for slot in place["slots"])
    assert (len(undone), left) == (2, sorted(slot for _, slot in moved)), "what is left is known to the cache"
    where = clinic.rows("SELECT slot_id FROM appointment WHERE active ORDER BY 1")
    assert where == sorted((slot,) for _, slot in parts)
    assert clinic.sound()


def test_a_visit_whose_parts_have_changed_places_goes_back_though_those_are_full(clinic: Clinic) -> None:
    slots = [clinic.slot("blood", 2, index) for index in (4, 5)]
    clinic.run("UPDATE slot SET capacity = 2 WHERE slot_id = ANY (%s)", (slots,))
    wanted = [clinic.request(patient, "blood", slot) for patient, slot in enumerate(slots, start=1)]
    visit = appointments.visit(clinic.context, wanted, uuid.uuid4())
    references = [one.reference or "" for one in visit.verdicts]
    moves = [
        BookingRequest(test="blood", place=Place(slot=slot), moves=reference).document()
        for reference, slot in zip(references, reversed(slots), strict=True)
    ]
    assert {one.verdict for one in kernel.book(clinic.context.connection(), moves, together=True)} == {"rescheduled"}
    for patient, slot in enumerate(slots, start=3):
        assert appointments.book(clinic.context, clinic.request(patient, "blood", slot)).outcome == "booked"
    assert len(undo.undo(clinic.context, references[0]).verdicts) == 2
    assert [appointments.show(clinic.context, one)["slot_id"] for one in references] == slots
    assert clinic.sound()


@pytest.mark.parametrize("by", [1, -1], ids=["later", "earlier"])
def test_a_visit_is_moved_by_half_an_hour_and_back_each_part_onto_the_time_of_another(clinic: Clinic, by: int) -> None:
    old = [clinic.slot("blood", 2, index) for index in (4, 5)]
    new = [clinic.slot("blood", 2, index + by) for index in (4, 5)]
    clinic.run("UPDATE slot SET capacity = 2 WHERE slot_id = ANY (%s)", (old + new,))
    visit = appointments.visit(clinic.context, [clinic.request(1, "blood", slot) for slot in old], uuid.uuid4())
    references = [one.reference or "" for one in visit.verdicts]
    moves = [
        BookingRequest(test="blood", place=Place(slot=slot), moves=reference).document()
        for reference, slot in zip(references, new, strict=True)
    ]
    verdicts = kernel.book(clinic.context.connection(), moves, together=True)
    assert {one.verdict for one in verdicts} == {"rescheduled"}
    assert [appointments.show(clinic.context, one)["slot_id"] for one in references] == new
    assert clinic.sound()
    assert len(undo.undo(clinic.context, references[0]).verdicts) == 2
    assert [appointments.show(clinic.context, one)["slot_id"] for one in references] == old
    assert clinic.sound()


def test_a_visit_is_not_moved_onto_the_time_of_another_appointment_nor_onto_a_part_that_stays(clinic: Clinic) -> None:
    old = [clinic.slot("blood", 2, index) for index in (4, 5, 6)]
    clinic.run("UPDATE slot SET capacity = 2 WHERE slot_id = ANY (%s)", (old,))
    visit = appointments.visit(clinic.context, [clinic.request(1, "blood", slot) for slot in old], uuid.uuid4())
    references = [one.reference or "" for one in visit.verdicts]
    moves = [
        BookingRequest(test="blood", place=Place(slot=slot), moves=reference).document()
        for reference, slot in zip(references[:2], old[1:], strict=True)
    ]
    verdicts = kernel.book(clinic.context.connection(), moves, together=True)
    assert [one.verdict for one in verdicts] == ["visit-refused", "patient-overlap"]
    assert [appointments.show(clinic.context, one)["slot_id"] for one in references] == old
    assert clinic.sound()


def test_a_part_that_has_moved_already_is_in_the_way_of_one_that_is_asked_for_with_it(clinic: Clinic) -> None:
    old = [clinic.slot("blood", 2, index) for index in (4, 5)]
    taken = clinic.slot("blood", 2, 7)
    clinic.run("UPDATE slot SET capacity = 2 WHERE slot_id = %s", (taken,))
    visit = appointments.visit(clinic.context, [clinic.request(1, "blood", slot) for slot in old], uuid.uuid4())
    first, second = (
        BookingRequest(test="blood", place=Place(slot=taken), moves=one.reference or "").document()
        for one in visit.verdicts
    )
    assert kernel.book(clinic.context.connection(), [first])[0].verdict == "rescheduled"
    verdicts = kernel.book(clinic.context.connection(), [first, second], together=True)
    assert [one.verdict for one in verdicts] == ["rescheduled", "patient-overlap"]
    assert clinic.sound()


def test_the_key_of_an_undone_booking_does_not_claim_it_is_booked(clinic: Clinic) -> None:
    request = clinic.request(1, "mri", clinic.slot("mri"))
    appointments.book(clinic.context, request)
    undo.undo(clinic.context)
    assert appointments.book(clinic.context, request).outcome == "refused"


def test_what_was_cancelled_has_its_place_again_under_its_reference(clinic: Clinic) -> None:
    reference = _booked(clinic, test="mri-contrast")
    appointments.cancel(clinic.context, reference)
    assert not undo.undo(clinic.context, reference).message_sent
    assert _status(clinic, reference) == "booked"
    assert _messages(clinic) == [("confirmation", True), ("cancellation", False)]
    taken = appointments.book(clinic.context, clinic.request(2, "mri", clinic.slot("mri")))
    assert taken.reason == "slot-full"
    assert clinic.sound()


def test_whoever_was_told_of_a_cancellation_is_told_that_it_stands_again(clinic: Clinic) -> None:
    reference = _booked(clinic)
    appointments.cancel(clinic.context, reference)
    _send(clinic)
    assert undo.undo(clinic.context).message_sent
    assert _messages(clinic) == [("confirmation", True), ("cancellation", True), ("confirmation", True)]


def test_whom_the_clinics_other_systems_are_told_of_besides_is_told_that_it_stands_again(clinic: Clinic) -> None:
    reference = _booked(clinic)
    _send(clinic)
    appointments.cancel(clinic.context, reference)
    _send(clinic)
    clinic.run(
        "INSERT INTO notification (appointment_id, kind, moment, recipient)"
        " SELECT appointment_id, kind, moment, 'webhook' FROM notification WHERE kind = 'cancellation'"
    )
    assert undo.undo(clinic.context).message_sent
    assert _messages(clinic)[-2:] == [("cancellation", False), ("confirmation", True)]


def test_who_may_have_been_told_by_a_sender_that_died_is_told_that_it_stands(clinic: Clinic) -> None:
    reference = _booked(clinic)
    _send(clinic)
    appointments.cancel(clinic.context, reference)
    clinic.run("UPDATE notification SET leased_until = now(), attempts = 1 WHERE kind = 'cancellation'")
    assert undo.undo(clinic.context).message_sent
    assert _messages(clinic)[-1] == ("confirmation", True)


def test_who_was_told_of_a_booking_before_it_was_moved_and_back_is_told_that_it_is_cancelled(clinic: Clinic) -> None:
    reference = _booked(clinic)
    _send(clinic)
    _move(clinic.context, reference, clinic.slot("mri", 2, 3))
    assert not undo.undo(clinic.context).message_sent
    assert undo.undo(clinic.context).message_sent
    assert _messages(clinic)[-1] == ("cancellation", True)


def test_who_was_told_of_a_move_that_was_undone_is_told_so_though_it_was_moved_and_back_again(clinic: Clinic) -> None:
    reference = _booked(clinic)
    for _ in range(2):
        _move(clinic.context, reference, clinic.slot("mri", 2, 3))
        clinic.run(
            "UPDATE notification SET sent_at = now(), attempts = 1 WHERE kind = 'change' AND notification_id = 2"
        )
        assert undo.undo(clinic.context).message_sent
    assert _messages(clinic)[-1] == ("change", True)


def test_a_reminder_that_was_dropped_because_of_a_mistake_is_sent_after_all(clinic: Clinic) -> None:
    reference = _booked(clinic)
    clinic.run(
        "INSERT INTO notification (appointment_id, kind, moment)"
        " SELECT appointment_id, 'reminder', now() FROM notification"
    )
    appointments.cancel(clinic.context, reference)
    clinic.run("UPDATE notification SET cancelled_at = now(), reason = 'not-booked' WHERE kind = 'reminder'")
    undo.undo(clinic.context)
    assert ("reminder", True) in _messages(clinic)


def test_a_place_that_somebody_took_meanwhile_cannot_be_had_again(clinic: Clinic) -> None:
    reference = _booked(clinic)
    appointments.cancel(clinic.context, reference)
    _booked(clinic, 2)
    assert _refused(clinic.context, reference) == "slot-full"
    assert _status(clinic, reference) == "cancelled"
    assert _messages(clinic)[1] == ("cancellation", True), "the message about it is sent as if nothing had been tried"
    assert clinic.sound()


def test_a_closed_place_or_a_patient_who_is_elsewhere_cannot_be_had_again(clinic: Clinic) -> None:
    reference = _booked(clinic)
    appointments.cancel(clinic.context, reference)
    blood = appointments.book(clinic.context, clinic.request(1, "blood", clinic.slot("blood"))).verdicts[0].reference
    assert _refused(clinic.context, reference) == "patient-overlap"
    appointments.cancel(clinic.context, blood or "")
    clinic.run("UPDATE slot SET status = 'busy-unavailable' WHERE slot_id = %s", (clinic.slot("mri"),))
    assert _refused(clinic.context, reference) == "slot-closed"


def test_what_was_moved_goes_back(clinic: Clinic) -> None:
    reference = _booked(clinic)
    _send(clinic)
    _move(clinic.context, reference, clinic.slot("mri", 2, 3))
    undone = undo.undo(clinic.context)
    assert (undone.action, undone.verdicts[0].slot_id) == ("reschedule", clinic.slot("mri"))
    assert _messages(clinic) == [("confirmation", True), ("change", False)]
    search = slots.Search("mri", (clinic.day(2), clinic.day(2)))
    assert clinic.slot("mri", 2, 3) in [slot.slot_id for slot in slots.find(clinic.context, search)]
    _move(clinic.context, reference, clinic.slot("mri", 2, 3))
    _booked(clinic, 2)
    assert _refused(clinic.context, reference) == "slot-full"
    assert clinic.sound()


def test_steps_of_the_day_are_taken_back_one_by_one(clinic: Clinic) -> None:
    reference = _booked(clinic)
    clinic.happens_today(reference)
    for status in ("arrived", "checked-in", "fulfilled"):
        appointments.set_status(clinic.context, reference, status)
    for action, status in (("fulfil", "checked-in"), ("check-in", "arrived"), ("arrive", "booked")):
        assert undo.undo(clinic.context).action == action
        assert _status(clinic, reference) == status
    clinic.run("UPDATE appointment SET during = tstzrange(now() - interval '1 h', now() - interval '30 m')")
    appointments.set_status(clinic.context, reference, "noshow")
    assert undo.undo(clinic.context).action == "noshow"
    assert _status(clinic, reference) == "booked"
    assert clinic.sound()


def test_nobody_undoes_what_somebody_else_did_or_has_built_on(clinic: Clinic, colleague: Context) -> None:
    reference = _booked(clinic)
    assert _refused(colleague) == "nothing-to-undo"
    _move(colleague, reference, clinic.slot("mri", 2))
    assert _refused(clinic.context, reference) == "nothing-to-undo"
    undo.undo(colleague)
    assert undo.undo(clinic.context).action == "book", "the colleague's step was taken back, so it is the last again"


def test_whose_appointment_it_is_is_not_said_to_somebody_who_cannot_undo_it(clinic: Clinic, colleague: Context) -> None:
    reference = _booked(clinic)
    (verdict,) = kernel.undo(colleague.connection(), reference)
    assert (verdict.verdict, verdict.patient, verdict.patient_name) == ("nothing-to-undo", None, None)


def test_one_appointment_is_undone_however_much_was_done_since(clinic: Clinic) -> None:
    reference = _booked(clinic)
    clinic.run(
        "INSERT INTO audit (staff, action, appointment_id, before) SELECT staff, 'cancel', 4711, '{}'"
        " FROM audit CROSS JOIN generate_series(1, 250) WHERE action = 'book'"
    )
    assert undo.undo(clinic.context, reference).action == "book"


def test_after_ten_minutes_it_is_too_late(clinic: Clinic) -> None:
    _booked(clinic)
    clinic.run("ALTER TABLE audit DISABLE TRIGGER audit_only_grows")
    clinic.run("UPDATE audit SET at = at - interval '11 minutes'")
    assert undo.possible(clinic.context) == []
    assert _refused(clinic.context) == "too-late"


def test_what_could_be_undone_is_listed_the_last_first(clinic: Clinic, colleague: Context) -> None:
    first, second = _booked(clinic, 1, 0), _booked(clinic, 2, 1)
    appointments.cancel(clinic.context, first)
    appointments.hold(clinic.context, clinic.request(3, "mri", clinic.slot("mri", 2)))
    listed = [(row["action"], row["reference"]) for row in undo.possible(clinic.context)]
    assert listed[1:] == [("cancel", first), ("book", second)]
    assert listed[0][0] == "hold"
    assert undo.possible(colleague) == []
    assert undo.undo(clinic.context).verdicts[0].status == "cancelled"
    assert clinic.sound()


def test_the_last_thing_is_a_closing_rather_than_whom_it_has_moved(clinic: Clinic, colleague: Context) -> None:
    _booked_at(clinic, 1, clinic.slot("mri", 2, 4))
    start, end = clinic.row("SELECT starts_at, ends_at FROM slot WHERE slot_id = %s", (clinic.slot("mri", 2, 4),))
    plan = closings.plan(clinic.context, "north", "mri-1", start, end)
    done = closings.apply(clinic.context, plan, "repair", everybody=True)
    last = undo.last(clinic.context) or {}
    assert (last["action"], last["closure"], last["resource"]) == ("close", done.closure_id, "mri-1")
    assert (last["starts_at"], last["ends_at"]) == (start, end)
    assert undo.last(colleague) is None
    later = _booked(clinic, 2)
    assert (undo.last(clinic.context) or {})["reference"] == later
    undo.undo(clinic.context, later)
    closings.take_back(clinic.context, done.closure_id)
    assert (undo.last(clinic.context) or {})["action"] == "book"


def test_a_reference_that_nobody_has_is_not_found(clinic: Clinic) -> None:
    with pytest.raises(NotFound):
        undo.undo(clinic.context, reference_of(4711))
