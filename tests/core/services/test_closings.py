"""A machine is closed and everybody on it moved at once."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from bookcli.core.db import kernel
from bookcli.core.errors import NotAllowed, OutcomeUnknown, Refused, Unavailable
from bookcli.core.services import appointments, closings, schedules
from tests.clinic import Clinic

pytestmark = pytest.mark.both_servers


def _book(clinic: Clinic, patient: int, index: int, test: str = "mri", day: int = 2) -> str:
    slot = clinic.slot(test, day, index)
    outcome = appointments.book(clinic.context, clinic.request(patient, test, slot))
    assert outcome.outcome == "booked"
    return outcome.verdicts[0].reference or ""


def _start(clinic: Clinic, index: int, day: int = 2) -> datetime:
    start = clinic.row("SELECT starts_at FROM slot WHERE slot_id = %s", (clinic.slot("mri", day, index),))[0]
    assert isinstance(start, datetime)
    return start


def _plan(clinic: Clinic, first: int = 4, last: int = 6) -> closings.Plan:
    return closings.plan(clinic.context, "north", "mri-1", _start(clinic, first), _start(clinic, last))


def _starts(clinic: Clinic, *references: str) -> list[datetime]:
    return [appointments.show(clinic.context, one)["starts_at"] for one in references]


def test_everybody_goes_to_the_nearest_place_and_no_two_to_one(clinic: Clinic) -> None:
    first, second = _book(clinic, 1, 4), _book(clinic, 2, 5)
    _book(clinic, 3, 3)
    plan = _plan(clinic)
    places = {move.row["reference"]: move.slot.start for move in plan.moves}
    assert places == {first: _start(clinic, 2), second: _start(clinic, 6)}
    assert _starts(clinic, first, second) == [_start(clinic, 4), _start(clinic, 5)], "a plan changes nothing"
    done = closings.apply(clinic.context, plan, "repair", everybody=True)
    assert (done.slots, done.left, len(done.moved)) == (2, [], 2)
    assert _starts(clinic, first, second) == [_start(clinic, 2), _start(clinic, 6)]
    kinds = clinic.rows("SELECT kind, count(*) FROM notification GROUP BY 1 ORDER BY 1")
    assert kinds == [("change", 2), ("confirmation", 3)]
    assert clinic.sound()


def test_nobody_is_sent_where_they_already_have_something(clinic: Clinic) -> None:
    moved = _book(clinic, 1, 4)
    _book(clinic, 1, 6, "blood")
    (move,) = _plan(clinic).moves
    assert move.row["reference"] == moved
    assert move.slot.start in (_start(clinic, 3), _start(clinic, 7))


def test_when_a_proposed_place_is_gone_all_is_refused_or_the_rest_is_moved(clinic: Clinic) -> None:
    first, second = _book(clinic, 1, 4), _book(clinic, 2, 5)
    plan = _plan(clinic)
    _book(clinic, 3, next(n for n in range(16) if _start(clinic, n) == plan.moves[0].slot.start))
    with pytest.raises(Refused) as refusal:
        closings.apply(clinic.context, plan, "repair", everybody=True)
    assert refusal.value.code == "not-everybody"
    assert schedules.closures(clinic.context) == []
    assert _starts(clinic, first, second) == [_start(clinic, 4), _start(clinic, 5)]
    done = closings.apply(clinic.context, plan, "repair", everybody=False)
    assert [one.reference for one in done.moved] == [second]
    assert [row["reference"] for row in done.left] == [first]
    assert clinic.sound()


def test_who_has_no_place_is_named_and_keeps_the_whole_from_being_done_if_so_wanted(clinic: Clinic) -> None:
    reference = _book(clinic, 1, 4)
    clinic.run("UPDATE slot SET status = 'busy-unavailable' WHERE slot_id <> %s", (clinic.slot("mri", 2, 4),))
    plan = _plan(clinic)
    assert ([row["reference"] for row in plan.left], plan.moves) == ([reference], [])
    with pytest.raises(Refused):
        closings.apply(clinic.context, plan, "repair", everybody=True)
    assert closings.apply(clinic.context, plan, "repair", everybody=False).moved == ()


def test_a_closing_that_cannot_be_shown_is_not_said_to_have_failed(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    _book(clinic, 1, 4)
    plan = _plan(clinic)

    def away(*_: object) -> None:
        raise Unavailable("The database is away.")

    monkeypatch.setattr(schedules, "affected", away)
    with pytest.raises(OutcomeUnknown) as unknown:
        closings.apply(clinic.context, plan, "repair", everybody=True)
    assert unknown.value.code == "saved-not-shown"
    assert len(schedules.closures(clinic.context)) == 1


def test_long_tests_get_room_enough(clinic: Clinic) -> None:
    for patient, index in ((1, 4), (2, 7)):
        _book(clinic, patient, index, "mri-contrast")
    plan = closings.plan(clinic.context, "north", "mri-1", _start(clinic, 4), _start(clinic, 4) + timedelta(hours=2))
    assert len(plan.moves) == 2
    assert len(closings.apply(clinic.context, plan, "", everybody=True).moved) == 2
    assert clinic.sound()


def _closed(clinic: Clinic) -> tuple[int, str, str]:
    """A closure that has moved two: its number and their references."""
    first, second = _book(clinic, 1, 4), _book(clinic, 2, 5)
    return closings.apply(clinic.context, _plan(clinic), "repair", everybody=True).closure_id, first, second


def test_taking_a_closing_back_opens_it_and_brings_everybody_back_in_one_commit(clinic: Clinic) -> None:
    closure, first, second = _closed(clinic)
    done = closings.take_back(clinic.context, closure)
    assert (done.slots, len(done.back), done.message_sent) == (2, 2, False)
    assert schedules.closures(clinic.context) == []
    assert _starts(clinic, first, second) == [_start(clinic, 4), _start(clinic, 5)]
    assert clinic.rows("SELECT DISTINCT reason FROM notification WHERE kind = 'change'") == [("undone",)]
    with pytest.raises(Refused) as again:
        closings.take_back(clinic.context, closure)
    assert again.value.code == "nothing-to-undo"
    assert clinic.sound()


def test_who_was_changed_since_stays_and_who_was_told_is_told_again(clinic: Clinic) -> None:
    closure, first, second = _closed(clinic)
    appointments.cancel(clinic.context, first, "pat")
    clinic.run("UPDATE app.notification SET leased_until = now() + interval '1 minute' WHERE kind = 'change'")
    done = closings.take_back(clinic.context, closure)
    assert ([one.reference for one in done.back], done.message_sent) == ([second], True)
    assert appointments.show(clinic.context, first)["status"] == "cancelled"
    assert clinic.sound()


def test_when_one_cannot_go_back_nothing_is_taken_back(clinic: Clinic) -> None:
    closure, first, second = _closed(clinic)
    _book(clinic, 2, 5, "blood")
    with pytest.raises(Refused, match=f"{second} cannot go back, and nothing was taken back") as refusal:
        closings.take_back(clinic.context, closure)
    assert refusal.value.code == "patient-overlap"
    (told,) = kernel.undo_closing(clinic.context.connection(), closure)
    assert (told.reference, told.patient, told.patient_name) == (second, None, None), "it is no look at anybody"
    assert len(schedules.closures(clinic.context)) == 1
    assert _starts(clinic, first, second) != [_start(clinic, 4), _start(clinic, 5)]
    assert clinic.sound()


def test_a_closing_is_taken_back_by_whoever_closed_and_for_ten_minutes(clinic: Clinic) -> None:
    closure, _, _ = _closed(clinic)
    clinic.run("UPDATE app.staff SET name = 'other' WHERE name = 'tests'")
    with pytest.raises(Refused) as other:
        closings.take_back(clinic.context, closure)
    assert other.value.code == "nothing-to-undo"
    clinic.run("UPDATE app.staff SET name = 'tests' WHERE name = 'other'")
    clinic.run("ALTER TABLE app.audit DISABLE TRIGGER USER")
    clinic.run("UPDATE app.audit SET at = at - interval '11 minutes'")
    with pytest.raises(Refused) as late:
        closings.take_back(clinic.context, closure)
    assert late.value.code == "too-late"


def test_without_the_right_to_book_nobody_is_moved_back(clinic: Clinic) -> None:
    closure, _, _ = _closed(clinic)
    clinic.run("DELETE FROM app.role_permission WHERE permission = 'book'")
    with pytest.raises(NotAllowed):
        closings.take_back(clinic.context, closure)
    assert len(schedules.closures(clinic.context)) == 1
