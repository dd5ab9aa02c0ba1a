"""What the kernel books and what it refuses, asked through the services on a real database."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import psycopg
import pytest

from bookcli.core import clock
from bookcli.core.db import kernel
from bookcli.core.errors import NotFound
from bookcli.core.model.requests import BookingRequest, Place, new_key
from bookcli.core.services import appointments, slots
from tests.clinic import Clinic

pytestmark = pytest.mark.both_servers


def _book(clinic: Clinic, *arguments: Any, **more: Any) -> Any:
    return appointments.book(clinic.context, clinic.request(*arguments, **more))


def _change_test(clinic: Clinic, test: str, **columns: int) -> None:
    kernel.save(clinic.context.connection(), "tests", [{"code": test, **columns}])


def _publish(clinic: Clinic, resource: str, start: datetime) -> int:
    """One more slot of 30 minutes."""
    (resource_id,) = clinic.row("SELECT resource_id FROM resource WHERE code = %s", (resource,))
    slot = {
        "resource_id": resource_id,
        "starts_at": start.isoformat(),
        "ends_at": (start + timedelta(minutes=30)).isoformat(),
        "local_start": start.astimezone(UTC).replace(tzinfo=None).isoformat(),
        "capacity": 1,
    }
    assert kernel.publish(clinic.context.connection(), [slot]) == (1, 0)
    return int(
        clinic.row("SELECT slot_id FROM slot WHERE starts_at = %s AND resource_id = %s", (start, resource_id))[0]
    )


def _close(clinic: Clinic, slot: int) -> int:
    site, resource, start, end = clinic.row(
        "SELECT site_id, resource_id, starts_at, ends_at FROM slot WHERE slot_id = %s", (slot,)
    )
    closure, closed = kernel.close_period(clinic.context.connection(), site, resource, (start, end), "maintenance")
    assert closed == 1
    return closure


def test_a_booking_takes_one_place_and_says_everything_a_desk_shows(clinic: Clinic) -> None:
    outcome = _book(clinic, 1, "blood", clinic.slot("blood", 2, 3))
    (told,) = outcome.verdicts
    assert (outcome.outcome, outcome.reason, outcome.alternatives) == ("booked", None, ())
    assert (told.patient, told.test, told.site, told.resource) == ("P1", "blood", "north", "lab")
    assert (told.capacity, told.remaining, told.status) == (4, 3, "booked")
    assert told.preparation == "Nothing to eat for 8 hours."
    local = clock.to_local(told.starts_at, "Europe/Berlin")
    assert (local.date(), local.time()) == (clinic.day(2), time(9, 30))
    facts = appointments.show(clinic.context, told.reference)
    assert (facts["patient_name"], facts["status"], facts["slots"]) == ("Ana Müller", "booked", [told.slot_id])
    assert clinic.sound()


def test_a_slot_takes_as_many_as_its_capacity_and_refuses_the_next_with_the_nearest_free_ones(clinic: Clinic) -> None:
    slot = clinic.slot("blood")
    assert [_book(clinic, n, "blood", slot).outcome for n in range(1, 5)] == ["booked"] * 4
    refused = _book(clinic, 5, "blood", slot)
    assert (refused.outcome, refused.reason) == ("refused", "slot-full")
    assert (refused.numbers["capacity"], refused.numbers["booked"]) == (4, 4)
    assert [near.slot_id for near in refused.alternatives] == [clinic.slot("blood", 1, n) for n in (1, 2, 3)]
    assert clinic.sound()


def test_a_closed_slot_is_refused_and_a_reopened_one_is_booked(clinic: Clinic) -> None:
    slot = clinic.slot("xray")
    closure = _close(clinic, slot)
    assert _book(clinic, 1, "xray", slot).reason == "slot-closed"
    assert kernel.reopen(clinic.context.connection(), closure) == 1
    assert kernel.reopen(clinic.context.connection(), closure) is None
    assert _book(clinic, 1, "xray", slot).outcome == "booked"


def test_a_slot_that_two_closures_cover_opens_with_the_second(clinic: Clinic) -> None:
    slot = clinic.slot("mri")
    first = _close(clinic, slot)
    site, start = clinic.row("SELECT site_id, starts_at FROM slot WHERE slot_id = %s", (slot,))
    connection = clinic.owner
    second, newly = kernel.close_period(connection, site, None, (start, start + timedelta(minutes=30)), "fire drill")
    assert newly == 1, "the laboratory's slot; the other is closed already"
    assert kernel.reopen(connection, first) == 0
    assert kernel.reopen(connection, second) == 2


def test_a_slot_in_the_past_is_refused_unless_history_is_recorded(clinic: Clinic) -> None:
    yesterday = clock.now().replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    slot = _publish(clinic, "mri-1", yesterday)
    assert _book(clinic, 1, "mri", slot).reason == "slot-past"
    recorded = _book(clinic, 1, "mri", slot, history=True, status="fulfilled")
    assert (recorded.outcome, recorded.verdicts[0].status) == ("booked", "fulfilled")
    assert clinic.rows("SELECT kind FROM notification") == []
    assert clinic.sound()


def test_history_that_was_cancelled_takes_no_place(clinic: Clinic) -> None:
    yesterday = clock.now().replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    slot = _publish(clinic, "mri-1", yesterday)
    for patient, status in ((1, "cancelled"), (2, "noshow"), (3, "fulfilled")):
        assert _book(clinic, patient, "mri", slot, history=True, status=status).outcome == "booked"
    assert _book(clinic, 4, "mri", slot, history=True, status="fulfilled").reason == "slot-full"
    assert clinic.sound()


@pytest.mark.parametrize(
    ("change", "code", "near"),
    [
        ({"patient": "P404"}, "patient-unknown", None),
        ({"test": "mrx"}, "test-unknown", "mri"),
        ({"place": Place(slot=2_000_000)}, "slot-unknown", None),
        ({"place": Place(site="nord", day=date(2030, 1, 1))}, "site-unknown", "north"),
    ],
)
def test_what_does_not_exist_is_named_with_what_is_near(
    clinic: Clinic, change: dict[str, Any], code: str, near: str | None
) -> None:
    fields = {"patient": "P1", "test": "mri", "place": Place(slot=clinic.slot("mri"))} | change
    with pytest.raises(NotFound) as refused:
        appointments.book(clinic.context, BookingRequest(**fields))
    assert refused.value.code == code
    assert near is None or near in refused.value.hint
    assert clinic.row("SELECT count(*) FROM appointment") == (0,)


def test_a_day_without_slots_is_unknown_and_a_full_day_is_full(clinic: Clinic) -> None:
    far = Place(site="north", day=clinic.day(1) + timedelta(days=60))
    with pytest.raises(NotFound) as refused:
        _book(clinic, 1, "mri", place=far)
    assert refused.value.code == "slot-unknown"
    clinic.owner.execute("UPDATE slot SET capacity = 1")
    today = Place(site="north", day=clinic.day(3))
    for n in range(16):
        assert _book(clinic, 1 + n, "blood", place=today).verdicts[0].slot_id == clinic.slot("blood", 3, n)
    assert _book(clinic, 17, "blood", place=today).reason == "slot-full"
    assert clinic.sound()


def test_a_start_chooses_the_slot_that_begins_then(clinic: Clinic) -> None:
    start = clock.to_absolute(datetime.combine(clinic.day(2), time(11, 30)), "America/Sao_Paulo")
    outcome = _book(clinic, 1, "xray", place=Place(site="south", day=clinic.day(2), start=start))
    assert outcome.verdicts[0].starts_at == start


def test_a_patient_is_never_in_two_places(clinic: Clinic) -> None:
    first = _book(clinic, 1, "mri", clinic.slot("mri", 1, 4))
    refused = _book(clinic, 1, "blood", clinic.slot("blood", 1, 4))
    assert (refused.reason, refused.numbers["other"]) == ("patient-overlap", first.verdicts[0].reference)
    assert _book(clinic, 1, "blood", clinic.slot("blood", 1, 5)).outcome == "booked", "one after the other is fine"


def test_lead_time_and_window_are_rules_of_the_test(clinic: Clinic) -> None:
    _change_test(clinic, "mri", lead_minutes=4 * 1440)
    _change_test(clinic, "blood", window_days=3)
    soon = _book(clinic, 1, "mri", clinic.slot("mri", 2))
    assert (soon.reason, soon.numbers["lead_minutes"]) == ("too-soon", 5760)
    assert _book(clinic, 1, "mri", clinic.slot("mri", 8)).outcome == "booked"
    far = _book(clinic, 2, "blood", clinic.slot("blood", 6))
    assert (far.reason, far.numbers["window_days"]) == ("too-far-ahead", 3)


def test_two_of_the_same_test_keep_their_interval_in_both_directions(clinic: Clinic) -> None:
    _change_test(clinic, "mri", min_interval_days=3)
    first = _book(clinic, 1, "mri", clinic.slot("mri", 5))
    for day in (3, 7):
        refused = _book(clinic, 1, "mri", clinic.slot("mri", day))
        assert (refused.reason, refused.numbers["min_interval_days"]) == ("too-close-to-last", 3)
        assert refused.numbers["other"] == first.verdicts[0].reference
    assert _book(clinic, 1, "mri", clinic.slot("mri", 9)).outcome == "booked"
    assert _book(clinic, 1, "mri-contrast", clinic.slot("mri", 6)).outcome == "booked", "another test"
    assert _book(clinic, 2, "mri", clinic.slot("mri", 7)).outcome == "booked", "another patient"


def test_a_resource_does_only_what_it_offers(clinic: Clinic) -> None:
    assert _book(clinic, 1, "blood", clinic.slot("mri")).reason == "not-offered"


def test_a_long_test_takes_consecutive_slots_and_its_buffer(clinic: Clinic) -> None:
    places = [clinic.slot("mri", 1, n) for n in range(5)]
    (told,) = _book(clinic, 1, "mri-contrast", places[1]).verdicts
    assert told.slots == places[1:4]
    assert told.ends_at - told.starts_at == timedelta(hours=1), "the buffer is the machine's time, not the patient's"
    assert [_book(clinic, 2, "mri", place).reason for place in places[1:4]] == ["slot-full"] * 3
    assert _book(clinic, 1, "blood", clinic.slot("blood", 1, 3)).outcome == "booked", "the patient is free by then"
    assert _book(clinic, 2, "mri-contrast", places[0]).reason == "slot-full"
    assert _book(clinic, 2, "mri", places[0]).outcome == "booked"
    assert _book(clinic, 3, "mri", places[4]).outcome == "booked"
    assert clinic.sound()


def test_a_long_test_must_end_before_the_day_does_but_its_buffer_need_not(clinic: Clinic) -> None:
    assert _book(clinic, 1, "mri-contrast", clinic.slot("mri", 1, 15)).reason == "not-enough-room"
    assert len(_book(clinic, 1, "mri-contrast", clinic.slot("mri", 1, 14)).verdicts[0].slots) == 2


def test_a_buffer_before_a_test_takes_the_slot_before_it(clinic: Clinic) -> None:
    _change_test(clinic, "mri", buffer_before_minutes=10)
    places = [clinic.slot("mri", 1, n) for n in range(3)]
    (told,) = _book(clinic, 1, "mri", places[1]).verdicts
    assert (told.slots, told.slot_id) == (places[:2], places[1])
    assert _book(clinic, 2, "mri-contrast", places[0]).reason == "slot-full"
    assert clinic.sound()


def test_slots_that_are_found_can_be_booked_and_others_cannot(clinic: Clinic) -> None:
    _book(clinic, 1, "mri", clinic.slot("mri", 1, 5))
    _close(clinic, clinic.slot("mri", 1, 9))
    search = slots.Search("mri-contrast", (clinic.day(1), clinic.day(1)))
    found = {slot.slot_id for slot in slots.find(clinic.context, search)}
    for n in range(16):
        outcome = _book(clinic, 2, "mri-contrast", clinic.slot("mri", 1, n))
        assert (outcome.outcome == "booked") == (clinic.slot("mri", 1, n) in found), n
        if outcome.verdicts[0].reference:
            appointments.cancel(clinic.context, outcome.verdicts[0].reference)


def test_the_same_key_gets_the_same_answer_and_makes_one_booking(clinic: Clinic) -> None:
    request = clinic.request(1, "mri", clinic.slot("mri"))
    first = appointments.book(clinic.context, request)
    second = appointments.book(clinic.context, request)
    assert first.verdicts[0].reference == second.verdicts[0].reference
    assert second.outcome == "booked"
    assert clinic.row("SELECT count(*) FROM appointment") == (1,)
    assert clinic.row("SELECT count(*) FROM audit WHERE action = 'book'") == (1,)


def test_the_same_key_for_something_else_is_refused(clinic: Clinic) -> None:
    key = new_key()
    _book(clinic, 1, "mri", clinic.slot("mri"), key)
    for other in (
        clinic.request(2, "mri", clinic.slot("mri"), key),
        clinic.request(1, "mri", clinic.slot("mri", 2), key),
    ):
        refused = appointments.book(clinic.context, other)
        assert (refused.reason, refused.alternatives) == ("key-reused", ())
    assert clinic.sound()


def test_a_refusal_is_remembered_until_it_is_asked_anew(clinic: Clinic) -> None:
    slot = clinic.slot("mri")
    (winner,) = _book(clinic, 1, "mri", slot).verdicts
    key = new_key()
    assert _book(clinic, 2, "mri", slot, key).reason == "slot-full"
    appointments.cancel(clinic.context, winner.reference)
    assert _book(clinic, 2, "mri", slot, key).reason == "slot-full"
    assert _book(clinic, 2, "mri", slot, key, again=True).outcome == "booked"
    assert _book(clinic, 2, "mri", slot, key).outcome == "booked"
    assert clinic.sound()


def test_many_requests_in_one_call_are_each_decided_in_order(clinic: Clinic) -> None:
    slot = clinic.slot("blood")
    requests = [clinic.request(n, "blood", slot) for n in range(1, 7)]
    requests.insert(2, clinic.request(1, "mri", clinic.slot("mri")))
    requests.append(requests[0])
    told = [verdict.verdict for verdict in appointments.book_many(clinic.context, requests)]
    overlap = ["booked", "booked", "patient-overlap", "booked", "booked", "slot-full", "slot-full", "booked"]
    assert told == overlap
    assert clinic.sound()


def test_a_day_is_filled_by_one_call_as_by_many(clinic: Clinic) -> None:
    place = Place(site="north", day=clinic.day(4))
    requests = [clinic.request(n, "mri", place=place) for n in range(1, 19)]
    told = appointments.book_many(clinic.context, requests)
    assert [verdict.slot_id for verdict in told[:16]] == [clinic.slot("mri", 4, n) for n in range(16)]
    assert [verdict.verdict for verdict in told[16:]] == ["slot-full"] * 2
    assert clinic.sound()


def test_a_visit_is_booked_as_a_whole(clinic: Clinic) -> None:
    parts = [clinic.request(1, "mri", clinic.slot("mri", 1, 0)), clinic.request(1, "blood", clinic.slot("blood", 1, 2))]
    key = uuid.uuid4()
    outcome = appointments.visit(clinic.context, parts, key)
    assert (outcome.outcome, len(outcome.verdicts)) == ("booked", 2)
    assert clinic.row("SELECT count(DISTINCT visit_id), count(visit_id) FROM appointment") == (1, 2)
    again = appointments.visit(clinic.context, parts, key)
    assert [part.reference for part in again.verdicts] == [part.reference for part in outcome.verdicts]
    assert clinic.sound()


def test_a_visit_that_cannot_be_booked_as_a_whole_is_not_booked_at_all(clinic: Clinic) -> None:
    _book(clinic, 2, "mri", clinic.slot("mri", 1, 5))
    parts = [clinic.request(1, "blood", clinic.slot("blood", 1, 0)), clinic.request(1, "mri", clinic.slot("mri", 1, 5))]
    outcome = appointments.visit(clinic.context, parts, new_key())
    assert (outcome.outcome, outcome.reason) == ("refused", "slot-full")
    assert [part.verdict for part in outcome.verdicts] == ["visit-refused", "slot-full"]
    overlapping = [clinic.request(1, test, clinic.slot(test, 1, 7)) for test in ("mri", "blood")]
    assert appointments.visit(clinic.context, overlapping, new_key()).reason == "patient-overlap"
    assert clinic.row("SELECT count(*) FROM appointment WHERE patient_id = 1") == (0,)
    assert clinic.sound()


def test_two_of_a_visit_never_share_the_last_place(clinic: Clinic) -> None:
    slot = clinic.slot("mri", 1, 3)
    outcome = appointments.visit(clinic.context, [clinic.request(n, "mri", slot) for n in (1, 2)], new_key())
    assert (outcome.outcome, outcome.reason) == ("refused", "slot-full")
    assert clinic.sound()


def test_every_change_leaves_one_audit_row_and_the_message_it_needs(clinic: Clinic) -> None:
    (told,) = _book(clinic, 1, "mri", clinic.slot("mri")).verdicts
    move = BookingRequest(place=Place(slot=clinic.slot("mri", 2)))
    assert appointments.reschedule(clinic.context, told.reference, move).outcome == "booked"
    appointments.cancel(clinic.context, told.reference, "pat-mv")
    appointments.cancel(clinic.context, told.reference, "pat-mv")
    mine = "FROM {} WHERE appointment_id = %s ORDER BY 1"
    audited = clinic.rows("SELECT audit_id, action, patient_id " + mine.format("audit"), (told.appointment_id,))
    assert [(action, patient) for _, action, patient in audited] == [
        *(("book", 1), ("reschedule", 1), ("cancel", 1)),
        ("look-appointment", 1),
    ], "who cancels what is cancelled is told whose it is"
    sent = clinic.rows("SELECT notification_id, kind " + mine.format("notification"), (told.appointment_id,))
    assert [kind for _, kind in sent] == ["confirmation", "change", "cancellation"]
    assert clinic.row("SELECT reason, version FROM appointment") == ("pat-mv", 2)


def test_book_refuses_to_run_with_an_older_snapshot(clinic: Clinic) -> None:
    connection = clinic.context.fresh_connection()
    connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    with pytest.raises(psycopg.errors.ActiveSqlTransaction), connection.transaction():
        connection.execute("SELECT * FROM app.book('[]', token => %s)", (connection.token,))
    connection.close()
