"""What the races would see if a protection were missing: each guard alone suffices, and without all of them it happens.

What must stay true: the same race, with the same pause between judging and writing, in every test of this file.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from bookcli.core.context import Context
from bookcli.core.db import kernel
from bookcli.core.errors import Refused
from tests.clinic import Clinic
from tests.processes import Crowd
from tests.races import mutants
from tests.races.conftest import Publish
from tests.races.test_races import book_one

Mutant = Callable[[Clinic], None]


def book_or_be_stopped(context: Context, patient: int, test: str, slot: int) -> str:
    """Asks once for a place; a guard that stops a booking after it was judged raises instead of answering."""
    try:
        return book_one(context, patient, test, slot)
    except Refused as stopped:
        return stopped.code


DESKS = 8

PLACE_GUARDS: dict[str, list[Mutant]] = {
    "with everything": [],
    "with both guards, without the lock": [mutants.without_lock],
    "with the lock, without both guards": [mutants.without_slot_check, mutants.without_occupancy],
    "with the counter's check alone": [mutants.without_lock, mutants.without_occupancy],
    "with the numbered places alone": [mutants.without_lock, mutants.without_slot_check],
}
PATIENT_GUARDS: dict[str, list[Mutant]] = {
    "with everything": [],
    "with the exclusion alone": [mutants.without_lock],
    "with the lock alone": [mutants.without_exclusion],
}


def _mutate(clinic: Clinic, chosen: list[Mutant]) -> None:
    mutants.with_pause(clinic)
    for mutant in chosen:
        mutant(clinic)


def _race_for_a_place(clinic: Clinic, crowd: Crowd) -> list[str]:
    slot = clinic.slot("mri")
    return crowd.at_once(book_or_be_stopped, clinic.context.dsn, [(n, "mri", slot) for n in range(1, DESKS + 1)])


def _race_for_a_patient(clinic: Clinic, crowd: Crowd) -> list[str]:
    clinic.owner.execute("UPDATE app.slot SET capacity = 4")
    wishes = [(1, test, clinic.slot(test)) for test in ("mri", "blood")] * (DESKS // 2)
    return crowd.at_once(book_or_be_stopped, clinic.context.dsn, wishes)


@pytest.mark.parametrize("guards", PLACE_GUARDS)
def test_one_protection_is_enough_to_sell_a_place_once(
    clinic: Clinic, crowd: Crowd, publish: Publish, guards: str
) -> None:
    _mutate(clinic, PLACE_GUARDS[guards])
    told = _race_for_a_place(clinic, crowd)
    publish(attempts=DESKS, violations=abs(told.count("booked") - 1))
    assert sorted(told) == ["booked"] + ["slot-full"] * (DESKS - 1)
    assert clinic.sound()


def test_a_place_without_any_protection_is_sold_more_than_once(clinic: Clinic, crowd: Crowd, publish: Publish) -> None:
    _mutate(clinic, [mutants.without_lock, mutants.without_slot_check, mutants.without_occupancy])
    told = _race_for_a_place(clinic, crowd)
    publish(attempts=DESKS, violations=told.count("booked") - 1, expected="seen")
    assert told.count("booked") > 1
    assert clinic.row("SELECT booked > capacity FROM slot WHERE slot_id = %s", (clinic.slot("mri"),)) == (True,)
    assert dict(kernel.verify(clinic.context.connection()))["no slot holds more than its capacity"] == 1


@pytest.mark.parametrize("guards", PATIENT_GUARDS)
def test_one_protection_is_enough_to_keep_a_patient_in_one_place(
    clinic: Clinic, crowd: Crowd, publish: Publish, guards: str
) -> None:
    _mutate(clinic, PATIENT_GUARDS[guards])
    told = _race_for_a_patient(clinic, crowd)
    publish(attempts=DESKS, violations=abs(told.count("booked") - 1))
    assert sorted(told) == ["booked"] + ["patient-overlap"] * (DESKS - 1)
    assert clinic.sound()


def test_a_patient_without_any_protection_is_booked_in_two_places(
    clinic: Clinic, crowd: Crowd, publish: Publish
) -> None:
    _mutate(clinic, [mutants.without_lock, mutants.without_exclusion])
    told = _race_for_a_patient(clinic, crowd)
    publish(attempts=DESKS, violations=told.count("booked") - 1, expected="seen")
    assert told.count("booked") > 1
    assert dict(kernel.verify(clinic.context.connection()))["no patient is in two places"] > 0
