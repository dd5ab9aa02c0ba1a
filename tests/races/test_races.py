"""Many desks after the same places at the same moment, each a process with its own connection.

What must stay true: after every race each invariant of schema.sql holds, and nobody saw a deadlock.
"""

from __future__ import annotations

import random
import time
import uuid
from typing import Any

import pytest

from bookcli.core.context import Context
from bookcli.core.db import kernel
from bookcli.core.errors import BookcliError, Refused
from bookcli.core.model.requests import BookingRequest, Place, new_key
from bookcli.core.services import appointments
from tests.clinic import Clinic
from tests.processes import Crowd
from tests.races.conftest import Publish


def _add_patients(clinic: Clinic, most: int) -> None:
    rows = [{"mrn": f"P{n}", "name": f"Patient {n}"} for n in range(21, most + 1)]
    kernel.save(clinic.context.connection(), "patients", rows)


def _deadlocks(clinic: Clinic) -> int:
    """How often PostgreSQL had to break a circle of locks in this database, once every process has reported."""
    clinic.context.close()
    others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    while clinic.row(others) != (0,):
        time.sleep(0.01)
    statement = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    return int(clinic.row(statement)[0])


def _request(patient: int, test: str, slot: int) -> BookingRequest:
    return BookingRequest(f"P{patient}", test, Place(slot=slot), new_key())


def book_one(context: Context, patient: int, test: str, slot: int) -> str:
    """Asks once for a place."""
    outcome = appointments.book(context, _request(patient, test, slot))
    return outcome.reason or outcome.outcome


@pytest.mark.both_servers
def test_the_last_place_is_sold_once_to_64_who_want_it(clinic: Clinic, crowd: Crowd, publish: Publish) -> None:
    _add_patients(clinic, 64)
    rounds, violations = 3, 0
    for index in range(rounds):
        slot = clinic.slot("mri", 1, index)
        told = crowd.at_once(book_one, clinic.context.dsn, [(n, "mri", slot) for n in range(1, 65)])
        violations += abs(told.count("booked") - 1)
        assert set(told) <= {"booked", "slot-full"}
    publish(attempts=64 * rounds, violations=violations)
    assert violations == 0
    assert clinic.sound()


def book_and_cancel(context: Context, patient: int, slot: int, times: int, seed: int) -> tuple[int, int, int]:
    """Books and, nine times in ten, cancels; (attempts, won, still standing)."""
    chance = random.Random(seed)
    won = kept = 0
    for _ in range(times):
        verdict = appointments.book_many(context, [_request(patient, "blood", slot)])[0]
        if verdict.won:
            won += 1
            if chance.random() < 0.1:
                kept += 1
                break
            appointments.cancel(context, verdict.reference or "")
    return times, won, kept


def test_a_slot_of_ten_holds_ten_while_32_book_and_cancel(
    clinic: Clinic, crowd: Crowd, publish: Publish, chance: random.Random
) -> None:
    _add_patients(clinic, 32)
    slot = clinic.slot("blood")
    kernel.set_capacity(clinic.context.connection(), slot, 10)
    arguments = [(n, slot, 40, chance.getrandbits(32)) for n in range(1, 33)]
    told = crowd.at_once(book_and_cancel, clinic.context.dsn, arguments)
    (booked,) = clinic.row("SELECT booked FROM slot WHERE slot_id = %s", (slot,))
    kept = sum(kept for _, _, kept in told)
    violations = int(booked != kept or kept > 10)
    publish(attempts=sum(tried for tried, _, _ in told), violations=violations, won=sum(won for _, won, _ in told))
    assert booked == kept <= 10
    assert clinic.sound()


def visit_and_cancel(
    context: Context, patients: list[int], slots: list[int], seconds: float, seed: int
) -> tuple[int, int]:
    """Visits of one to five different patients' tests in random slots, in random order, cancelled now and then."""
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    tried = won = 0
    mine: list[str] = []
    while time.monotonic() < until:
        size = chance.randint(1, 5)
        pairs = zip(chance.sample(patients, size), chance.sample(slots, size), strict=True)
        outcome = appointments.visit(context, [_request(p, "blood", s) for p, s in pairs], new_key())
        tried += 1
        if outcome.outcome == "booked":
            won += 1
            mine += [verdict.reference or "" for verdict in outcome.verdicts]
        while mine and chance.random() < 0.6:
            appointments.cancel(context, mine.pop(chance.randrange(len(mine))))
    return tried, won


def test_visits_in_any_order_never_wait_in_a_circle(
    clinic: Clinic, crowd: Crowd, publish: Publish, chance: random.Random
) -> None:
    slots = [clinic.slot("blood", 1, n) for n in range(8)]
    patients = list(range(1, 21))
    arguments = [(patients, slots, 3.0, chance.getrandbits(32)) for _ in range(12)]
    told = crowd.at_once(visit_and_cancel, clinic.context.dsn, arguments)
    deadlocks = _deadlocks(clinic)
    publish(attempts=sum(t for t, _ in told), violations=deadlocks, won=sum(w for _, w in told), deadlocks=deadlocks)
    assert deadlocks == 0
    assert clinic.sound()


def book_with(context: Context, key: str, patient: int, test: str, slot: int) -> tuple[str, str | None]:
    """Asks with a key that others have too."""
    outcome = appointments.book(context, BookingRequest(f"P{patient}", test, Place(slot=slot), uuid.UUID(key)))
    return outcome.reason or outcome.outcome, outcome.verdicts[0].reference


def test_one_key_makes_one_appointment_whoever_sends_it(clinic: Clinic, crowd: Crowd, publish: Publish) -> None:
    rounds, violations = 8, 0
    for index in range(rounds):
        same = (str(new_key()), 1, "blood", clinic.slot("blood", 1, index))
        told = crowd.at_once(book_with, clinic.context.dsn, [same] * 8)
        violations += len(set(told)) - 1
        assert told[0][0] == "booked"
    publish(attempts=8 * rounds, violations=violations)
    assert violations == 0
    assert clinic.row("SELECT count(*) FROM appointment") == (rounds,)
    assert clinic.sound()


def test_one_key_for_eight_different_things_makes_one_appointment(
    clinic: Clinic, crowd: Crowd, publish: Publish
) -> None:
    rounds, violations = 8, 0
    for day in range(1, rounds + 1):
        key = str(new_key())
        different = [(key, n, "blood", clinic.slot("blood", day, n)) for n in range(1, 9)]
        told = [answer for answer, _ in crowd.at_once(book_with, clinic.context.dsn, different)]
        violations += abs(told.count("booked") - 1)
        assert set(told) == {"booked", "key-reused"}
    publish(attempts=8 * rounds, violations=violations)
    assert violations == 0
    assert clinic.sound()


def confirm_it(context: Context, reference: str) -> str:
    """Confirms a hold that is about to end."""
    try:
        return appointments.confirm(context, reference).verdict
    except Refused as refused:
        return refused.code


def hold_or_confirm(context: Context, what: str, patient: int, slot: int, reference: str) -> str:
    """What the desks do at the moment when a hold ends."""
    if what == "confirm":
        return confirm_it(context, reference)
    if what == "sweep":
        return str(kernel.release_expired(context.connection()))
    return book_one(context, patient, "mri", slot)


def test_a_hold_that_ends_while_it_is_confirmed_has_one_winner(clinic: Clinic, crowd: Crowd, publish: Publish) -> None:
    rounds, violations, confirmed = 8, 0, 0
    for index in range(rounds):
        slot = clinic.slot("mri", 1, index)
        held = appointments.hold(clinic.context, clinic.request(1, "mri", slot)).verdicts[0]
        desks = ["confirm", "confirm", "book", "book", "book", "sweep"]
        arguments = [(what, n, slot, held.reference) for n, what in enumerate(desks, start=2)]
        crowd.start(hold_or_confirm, clinic.context.dsn, arguments)
        ends = "UPDATE appointment SET held_until = clock_timestamp() + %s * interval '1 ms' WHERE appointment_id = %s"
        clinic.owner.execute(ends, (4 * index, held.appointment_id))
        crowd.go()
        told = crowd.results()
        confirms, books = told[:2], told[2:5]
        confirmed += "booked" in confirms
        violations += len(set(confirms)) != 1 or books.count("booked") + ("booked" in confirms) > 1
        assert set(confirms) <= {"booked", "hold-expired"}
    publish(attempts=6 * rounds, violations=violations, confirmed=confirmed)
    assert violations == 0
    assert clinic.sound()


def book_until(context: Context, patients: list[int], slots: list[int], seconds: float, seed: int) -> list[Any]:
    """Books and cancels in random slots; (slot, when it was answered by the database's clock) for what was booked."""
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    won: list[Any] = []
    tried = 0
    while time.monotonic() < until:
        tried += 1
        verdict = appointments.book_many(context, [_request(chance.choice(patients), "blood", chance.choice(slots))])[0]
        if verdict.won and verdict.reference:
            won.append(verdict.appointment_id)
            if chance.random() < 0.7:
                appointments.cancel(context, verdict.reference)
    return [tried, won]


def test_nothing_is_booked_in_a_slot_once_its_closing_was_answered(
    clinic: Clinic, crowd: Crowd, publish: Publish, chance: random.Random
) -> None:
    slots = [clinic.slot("blood", 1, n) for n in range(6)]
    arguments = [(list(range(1, 21)), slots, 3.0, chance.getrandbits(32)) for _ in range(8)]
    connection = clinic.owner
    crowd.start(book_until, clinic.context.dsn, arguments)
    crowd.go()
    violations = closures = lowered = 0
    until = time.monotonic() + 2.5
    while time.monotonic() < until:
        slot = chance.choice(slots)
        if kernel.set_capacity(connection, slot, chance.randint(1, 5))[0] == "changed":
            lowered += 1
        site, resource, start, end = clinic.row(
            "SELECT site_id, resource_id, starts_at, ends_at FROM slot WHERE slot_id = %s", (slot,)
        )
        closure, _ = kernel.close_period(connection, site, resource, (start, end), "")
        closures += 1
        before = clinic.row("SELECT booked, version FROM slot WHERE slot_id = %s", (slot,))
        made = clinic.row("SELECT count(*) FROM appointment WHERE slot_id = %s", (slot,))
        time.sleep(0.05)
        violations += clinic.row("SELECT count(*) FROM appointment WHERE slot_id = %s", (slot,)) != made
        after = clinic.row("SELECT booked, version FROM slot WHERE slot_id = %s", (slot,))
        violations += after[0] > before[0]
        kernel.reopen(connection, closure)
    told = crowd.results()
    attempts = sum(tried for tried, _ in told)
    publish(attempts=attempts, violations=violations, closures=closures, capacities=lowered)
    assert violations == 0
    assert min(closures, lowered) > 0
    assert clinic.sound()


def move_around(context: Context, reference: str, slots: list[int], seconds: float, seed: int) -> tuple[int, int]:
    """Moves one appointment from slot to slot; (attempts, moves)."""
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    tried = moved = 0
    while time.monotonic() < until:
        request = BookingRequest(test="mri-contrast", place=Place(slot=chance.choice(slots)), moves=reference)
        tried += 1
        moved += appointments.book_many(context, [request])[0].won
    return tried, moved


def test_appointments_that_change_places_criss_cross_never_collide(
    clinic: Clinic, crowd: Crowd, publish: Publish, chance: random.Random
) -> None:
    slots = [clinic.slot("mri", 1, n) for n in range(15)]
    references = []
    for n in range(4):
        request = clinic.request(n + 1, "mri-contrast", slots[4 * n if n < 3 else 12])
        references.append(appointments.book(clinic.context, request).verdicts[0].reference)
    arguments = [(reference, slots, 3.0, chance.getrandbits(32)) for reference in references for _ in range(2)]
    told = crowd.at_once(move_around, clinic.context.dsn, arguments)
    deadlocks = _deadlocks(clinic)
    publish(attempts=sum(t for t, _ in told), violations=deadlocks, moved=sum(m for _, m in told), deadlocks=deadlocks)
    assert deadlocks == 0
    assert sum(moved for _, moved in told) > 0
    assert clinic.row("SELECT count(*) FROM appointment WHERE status = 'booked'") == (4,)
    assert clinic.sound()


def be_everywhere(context: Context, patient: int, test: str, slot: int) -> str:
    """One patient, at several desks at once."""
    return book_one(context, patient, test, slot)


def test_a_patient_at_two_desks_is_booked_at_one(clinic: Clinic, crowd: Crowd, publish: Publish) -> None:
    rounds, violations = 6, 0
    for index in range(rounds):
        wishes = [(1, test, clinic.slot(test, 1, index)) for test in ("mri", "blood")] * 6
        told = crowd.at_once(be_everywhere, clinic.context.dsn, wishes)
        violations += abs(told.count("booked") - 1)
        assert set(told) <= {"booked", "patient-overlap", "slot-full"}
    publish(attempts=12 * rounds, violations=violations)
    assert violations == 0
    assert clinic.sound()


def test_a_process_that_fails_is_seen(clinic: Clinic, crowd: Crowd) -> None:
    with pytest.raises(AssertionError, match="1 of 2 processes failed"):
        crowd.at_once(confirm_nobody, clinic.context.dsn, [(True,), (False,)])


def confirm_nobody(context: Context, well: bool) -> None:
    """Raises what a desk would see, unless `well`."""
    if not well:
        raise BookcliError("nobody")
