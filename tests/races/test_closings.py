"""A laboratory that is closed and emptied while its appointments are being booked, moved and cancelled.

What must stay true: all who were to move have moved and it is closed, or nothing was done; nobody is in two places,
nobody who has cancelled takes a place, and nobody sees a deadlock.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time

import pytest

from bookcli.core.context import Context
from bookcli.core.db import engine, kernel
from bookcli.core.errors import Refused
from bookcli.core.model.requests import BookingRequest, Place, new_key
from bookcli.core.services import appointments, closings, schedules
from tests.clinic import RESOURCES, Clinic
from tests.processes import Crowd
from tests.races import mutants
from tests.races.conftest import Publish
from tests.races.test_races import _deadlocks

TESTS = ["blood", "mri-contrast"]
"""One that takes one slot of the laboratory, and one that takes three."""
DESKS = 4


def live_on(context: Context, references: list[str], slots: list[int], seconds: float, seed: int) -> int:
    """Cancels and moves those appointments and books others among those slots, at random; how often it tried."""
    chance = random.Random(seed)
    until = time.monotonic() + seconds
    tried = 0
    mine = list(references)
    while time.monotonic() < until:
        tried += 1
        time.sleep(chance.random() / 50)
        test, slot = chance.choice(TESTS), Place(slot=chance.choice(slots))
        if mine and chance.random() < 0.3:
            appointments.cancel(context, mine.pop(chance.randrange(len(mine))))
            continue
        request = BookingRequest(f"P{chance.randint(1, 20)}", test, slot, new_key())
        if mine and chance.random() < 0.4:
            request = BookingRequest(test=_test_of(context, mine[0]), place=slot, moves=mine[0])
        verdict = appointments.book_many(context, [request])[0]
        if verdict.won and request.moves is None:
            mine.append(verdict.reference or "")
    return tried


def _test_of(context: Context, reference: str) -> str:
    place = kernel.place_of(context.connection(), reference)
    assert place is not None
    return str(place["test"])


@pytest.fixture
def laboratory(clinic: Clinic) -> list[int]:
    """Twelve slots in which alone both tests are done; four are booked in the first six, which are to be closed."""
    rows = [{**RESOURCES[0], "tests": ["mri"]}, {**RESOURCES[1], "tests": TESTS}]
    kernel.save(clinic.owner, "resources", rows)
    slots = [clinic.slot("blood", 1, n) for n in range(12)]
    for patient, (test, index) in enumerate([("blood", 0), ("mri-contrast", 1), ("blood", 3), ("mri-contrast", 3)], 1):
        request = BookingRequest(f"P{patient}", test, Place(slot=slots[index]), new_key())
        assert appointments.book(clinic.context, request).outcome == "booked"
    return slots


def _plan(clinic: Clinic, slots: list[int]) -> closings.Plan:
    start, end = clinic.row("SELECT min(starts_at), max(ends_at) FROM slot WHERE slot_id = ANY (%s)", (slots[:6],))
    return closings.plan(clinic.context, "north", "lab", start, end)


def _left_inside(clinic: Clinic, plan: closings.Plan, slots: list[int]) -> int:
    """How many of those who were to move have a place in the period still."""
    references = [move.row["reference"] for move in plan.moves]
    statement = (
        "SELECT count(*) FROM app.appointment_facts WHERE reference = ANY (%s) AND active AND slots && %s::integer[]"
    )
    return int(clinic.row(statement, (references, slots[:6]))[0])


def test_a_laboratory_is_emptied_whole_or_not_at_all_while_its_desks_live_on(
    clinic: Clinic, crowd: Crowd, publish: Publish, chance: random.Random, laboratory: list[int]
) -> None:
    seconds, tried, closed, violations = 3.0, 0, 0, 0
    references = [one for (one,) in clinic.rows("SELECT app.reference_of(appointment_id) FROM appointment")]
    arguments = [(references, laboratory, seconds, chance.getrandbits(32)) for _ in range(DESKS)]
    crowd.start(live_on, clinic.context.dsn, arguments)
    crowd.go()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        tried, plan = tried + 1, _plan(clinic, laboratory)
        try:
            done = closings.apply(clinic.context, plan, "", everybody=True)
        except Refused as refused:
            assert refused.code == "not-everybody"
            violations += len(schedules.closures(clinic.context))
            continue
        closed += 1
        violations += _left_inside(clinic, plan, laboratory)
        schedules.reopen(clinic.context, done.closure_id)
    lived = sum(crowd.results())
    deadlocks = _deadlocks(clinic)
    publish(attempts=tried + lived, violations=violations, refused=tried - closed, closed=closed, deadlocks=deadlocks)
    assert (violations, deadlocks) == (0, 0)
    assert clinic.sound()


def close_or_cancel(context: Context, plan: closings.Plan, reference: str) -> str:
    """Closes as planned, or cancels that appointment; what became of it."""
    if reference:
        return appointments.cancel(context, reference).verdict
    try:
        return f"{len(closings.apply(context, plan, '', everybody=True).moved)} moved"
    except Refused as refused:
        return refused.code


def _one_cancels(clinic: Clinic, crowd: Crowd, slots: list[int]) -> list[str]:
    # Who cancels has written before those are moved that were judged before.
    mutants.with_pause(clinic, 0.6)
    mutants.with_pause_in_cancel(clinic, 0.4)
    plan = _plan(clinic, slots)
    moved = plan.moves[0].row["reference"]
    return crowd.at_once(close_or_cancel, clinic.context.dsn, [(plan, ""), (plan, moved)])


def test_who_cancels_while_they_are_moved_takes_no_place(clinic: Clinic, crowd: Crowd, laboratory: list[int]) -> None:
    told = _one_cancels(clinic, crowd, laboratory)
    assert told in (["4 moved", "cancelled"], ["not-everybody", "cancelled"])
    assert len(schedules.closures(clinic.context)) == (told[0] == "4 moved")
    assert clinic.sound()


def test_without_the_locks_of_its_rows_a_cancelled_appointment_is_moved_to_a_place(
    clinic: Clinic, crowd: Crowd, laboratory: list[int]
) -> None:
    mutants.without_row_locks(clinic)
    assert _one_cancels(clinic, crowd, laboratory) == ["4 moved", "cancelled"]
    broken = dict(kernel.verify(clinic.context.connection()))
    assert broken["a place belongs to an active appointment of that slot"] > 0


def test_a_cancellation_that_crosses_a_closing_is_never_waited_for_in_a_circle(
    clinic: Clinic, laboratory: list[int]
) -> None:
    """Who cancels has one slot of the period and needs another, to which somebody is to be moved."""
    plan = _plan(clinic, laboratory)
    row = next(move.row for move in plan.moves if move.row["test"] == "blood")
    there = next(move.slot for move in plan.moves if move.slot.slot_id == laboratory[6])
    plan = closings.Plan(plan.site, plan.resource, plan.period, [closings.Move(row, there)])
    request = BookingRequest("P9", "mri-contrast", Place(slot=laboratory[4]), new_key())
    reference = appointments.book(clinic.context, request).verdicts[0].reference or ""
    with (
        contextlib.closing(clinic.context.fresh_connection()) as connection,
        clinic.desk_at(clinic.context.dsn) as other,
    ):
        cancelling = threading.Thread(target=appointments.cancel, args=(other, reference))
        closing = threading.Thread(target=closings.apply, args=(clinic.context, plan, ""), kwargs={"everybody": False})
        with clinic.owner.transaction():
            clinic.owner.execute("SELECT FROM slot WHERE slot_id = %s FOR NO KEY UPDATE", (laboratory[5],))
            _begin(connection, cancelling, 1)
            _begin(connection, closing, 2)
        cancelling.join()
        closing.join()
    assert appointments.show(clinic.context, row["reference"])["slot_id"] == laboratory[6]
    assert appointments.show(clinic.context, reference)["status"] == "cancelled"
    assert clinic.sound()
    assert _deadlocks(clinic) == 0


def test_a_cancellation_that_crosses_the_taking_back_of_a_closing_is_never_waited_for_in_a_circle(
    clinic: Clinic, laboratory: list[int]
) -> None:
    """Who cancels has a slot of the period and needs another, which somebody leaves who is moved back."""
    plan = _plan(clinic, laboratory)
    row = next(move.row for move in plan.moves if move.row["test"] == "blood")
    there = next(move.slot for move in plan.moves if move.slot.slot_id == laboratory[6])
    plan = closings.Plan(plan.site, plan.resource, plan.period, [closings.Move(row, there)])
    request = BookingRequest("P9", "mri-contrast", Place(slot=laboratory[4]), new_key())
    reference = appointments.book(clinic.context, request).verdicts[0].reference or ""
    closure = closings.apply(clinic.context, plan, "", everybody=False).closure_id
    with (
        contextlib.closing(clinic.context.fresh_connection()) as connection,
        clinic.desk_at(clinic.context.dsn) as other,
    ):
        cancelling = threading.Thread(target=appointments.cancel, args=(other, reference))
        opening = threading.Thread(target=closings.take_back, args=(clinic.context, closure))
        with clinic.owner.transaction():
            clinic.owner.execute("SELECT FROM slot WHERE slot_id = %s FOR NO KEY UPDATE", (laboratory[5],))
            _begin(connection, cancelling, 1)
            _begin(connection, opening, 2)
        cancelling.join()
        opening.join()
    assert appointments.show(clinic.context, row["reference"])["slot_id"] == row["slot_id"]
    assert appointments.show(clinic.context, reference)["status"] == "cancelled"
    assert clinic.sound()
    assert _deadlocks(clinic) == 0


def _begin(connection: engine.Connection, work: threading.Thread, waiting: int) -> None:
    """Starts it; on return so many wait for locks in this database."""
    work.start()
    statement = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    while connection.execute(statement).fetchone() != (waiting,):
        time.sleep(0.005)
