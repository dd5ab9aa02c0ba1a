"""Two who confirm a visit that somebody holds, at the moment when it ends or is given back.

What must stay true: all of it is booked or nothing, both are told the same, and its places are had by one.
"""

from __future__ import annotations

import pytest

from bookcli.core.context import Context
from bookcli.core.db import kernel
from bookcli.core.errors import Refused
from bookcli.core.model.appointments import Verdict
from bookcli.core.model.requests import new_key
from bookcli.core.services import appointments, visits
from tests.clinic import Clinic
from tests.processes import Crowd
from tests.races import mutants
from tests.races.conftest import Publish
from tests.races.test_controls import book_or_be_stopped


def confirm_or_end(context: Context, what: str, patient: int, slot: int, reference: str) -> str:
    """What the desks and a worker do at the moment when a held visit ends."""
    try:
        match what:
            case "confirm":
                return appointments.confirm_visit(context, reference)[0].verdict
            case "release":
                return appointments.release(context, reference)[0].verdict
            case "sweep":
                return str(kernel.release_expired(context.connection()))
            case _:
                return book_or_be_stopped(context, patient, "mri", slot)
    except Refused as refused:
        return refused.code


def _held(clinic: Clinic, index: int) -> list[Verdict]:
    """A visit of two tests one after the other."""
    parts = [("mri", clinic.slot("mri", 1, index)), ("blood", clinic.slot("blood", 1, index + 1))]
    outcome = appointments.hold_visit(clinic.context, visits.requests("P1", parts), new_key())
    assert outcome.outcome == "held"
    return list(outcome.verdicts)


def _ends_in(clinic: Clinic, held: list[Verdict], milliseconds: int) -> None:
    clinic.run(
        "UPDATE appointment SET held_until = clock_timestamp() + %s * interval '1 ms' WHERE appointment_id = ANY (%s)",
        (milliseconds, [one.appointment_id for one in held]),
    )


def _race(clinic: Clinic, crowd: Crowd, desks: list[str], held: list[Verdict], ends_in: int | None) -> list[str]:
    reference, slot = held[0].reference, held[0].slot_id
    crowd.start(confirm_or_end, clinic.context.dsn, [(what, n, slot, reference) for n, what in enumerate(desks, 2)])
    if ends_in is not None:
        _ends_in(clinic, held, ends_in)
    crowd.go()
    return crowd.results()


def _statuses(clinic: Clinic, held: list[Verdict]) -> list[str]:
    ids = [one.appointment_id for one in held]
    return [
        str(one) for (one,) in clinic.rows("SELECT status FROM appointment WHERE appointment_id = ANY (%s)", (ids,))
    ]


@pytest.mark.parametrize("ending", ["expires", "is released"])
def test_a_visit_that_ends_while_two_confirm_it_is_booked_whole_or_not_at_all(
    clinic: Clinic, crowd: Crowd, publish: Publish, ending: str
) -> None:
    desks = ["confirm", "confirm", "release" if ending == "is released" else "sweep", "book", "book"]
    rounds, violations, confirmed = 7, 0, 0
    for index in range(0, 2 * rounds, 2):
        held = _held(clinic, index)
        told = _race(clinic, crowd, desks, held, None if ending == "is released" else 2 * index)
        confirms, won = told[:2], told[:2].count("booked") > 0
        statuses = _statuses(clinic, held)
        confirmed += won
        violations += len(set(confirms)) != 1
        violations += statuses.count("booked") != (2 if won else 0)
        violations += told[3:].count("booked") + won > 1
        assert set(confirms) <= {"booked", "hold-expired", "wrong-status"}
        for verdict in held:
            appointments.cancel(clinic.context, verdict.reference or "")
    publish(attempts=len(desks) * rounds, violations=violations, confirmed=confirmed)
    assert violations == 0
    assert clinic.sound()


def _released_while_confirmed(clinic: Clinic, crowd: Crowd) -> list[str]:
    mutants.with_pause_in_visits(clinic)
    held = _held(clinic, 0)
    return _race(clinic, crowd, ["confirm", "confirm", "release"], held, None)


def test_the_lock_of_a_visit_is_enough_to_have_it_booked_or_released(clinic: Clinic, crowd: Crowd) -> None:
    told = _released_while_confirmed(clinic, crowd)
    assert told in (["booked", "booked", "wrong-status"], ["wrong-status", "wrong-status", "released"])
    assert clinic.sound()


def test_without_its_lock_a_visit_is_booked_that_has_no_places_any_more(clinic: Clinic, crowd: Crowd) -> None:
    mutants.without_visit_lock(clinic)
    told = _released_while_confirmed(clinic, crowd)
    assert {"booked", "released"} <= set(told)
    assert dict(kernel.verify(clinic.context.connection()))["the counter equals the places and the active appointments"]
