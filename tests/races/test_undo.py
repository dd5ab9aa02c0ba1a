"""Many who take back the same cancellation while its place is wanted by others.

What must stay true: a cancellation is taken back once at most, and only while its place is free.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from bookcli.core import clock
from bookcli.core.context import Context
from bookcli.core.db import gateway, kernel
from bookcli.core.errors import Refused
from bookcli.core.model.staff import SignedIn
from bookcli.core.services import appointments, undo
from tests.clinic import Clinic
from tests.processes import Crowd
from tests.races import mutants
from tests.races.conftest import Publish
from tests.races.test_controls import book_or_be_stopped

UNDOERS, BOOKERS = 8, 4

Mutant = Callable[[Clinic], None]
GUARDS: dict[str, list[Mutant]] = {
    "with everything": [],
    "with both guards, without the locks": [mutants.without_lock, mutants.without_row_locks],
    "with the locks, without both guards": [mutants.without_slot_check, mutants.without_occupancy],
}
NOTHING = [mutant for mutants_of_one in GUARDS.values() for mutant in mutants_of_one]


@pytest.fixture
def colleague(clinic: Clinic) -> Iterator[Context]:
    """Who books, so that those who cancel have nothing else to take back."""
    with Context(clinic.context.settings, clinic.context.paths) as other:
        token = gateway.sign_in_here(clinic.owner, "a-colleague")[0]
        other.keep(SignedIn(token, "a-colleague", "manager", clock.now()), on_disk=False)
        yield other


def undo_or_book(context: Context, what: str, patient: int, slot: int, reference: str) -> str:
    """What the desks do after a cancellation."""
    if what == "book":
        return book_or_be_stopped(context, patient, "mri", slot)
    try:
        return "undone" if undo.undo(context, reference).action == "cancel" else "another step"
    except Refused as refused:
        return refused.code


def _race(clinic: Clinic, crowd: Crowd, colleague: Context, index: int = 0) -> list[str]:
    slot = clinic.slot("mri", 1, index)
    reference = appointments.book(colleague, clinic.request(1, "mri", slot)).verdicts[0].reference or ""
    appointments.cancel(clinic.context, reference)
    desks = ["undo"] * UNDOERS + ["book"] * BOOKERS
    return crowd.at_once(
        undo_or_book, clinic.context.dsn, [(what, n, slot, reference) for n, what in enumerate(desks, start=2)]
    )


def _violations(told: list[str]) -> int:
    assert set(told[:UNDOERS]) <= {"undone", "nothing-to-undo", "slot-full"}
    assert set(told[UNDOERS:]) <= {"booked", "slot-full"}
    return abs(told.count("undone") + told.count("booked") - 1)


def test_a_place_whose_cancellation_is_undone_while_others_book_it_is_had_by_one(
    clinic: Clinic, crowd: Crowd, publish: Publish, colleague: Context
) -> None:
    rounds, violations, undone = 5, 0, 0
    for index in range(rounds):
        told = _race(clinic, crowd, colleague, index)
        violations += _violations(told)
        undone += told.count("undone")
    publish(attempts=rounds * (UNDOERS + BOOKERS), violations=violations, undone=undone)
    assert violations == 0
    assert clinic.row("SELECT count(*) FROM audit WHERE action = 'undo'") == (undone,)
    assert clinic.sound()


@pytest.mark.parametrize("guards", GUARDS)
def test_one_protection_is_enough_to_undo_a_cancellation_once(
    clinic: Clinic, crowd: Crowd, publish: Publish, colleague: Context, guards: str
) -> None:
    _mutate(clinic, GUARDS[guards])
    told = _race(clinic, crowd, colleague)
    violations = _violations(told)
    publish(attempts=UNDOERS + BOOKERS, violations=violations)
    assert violations == 0
    assert clinic.sound()


def test_without_any_protection_a_cancellation_is_undone_though_its_place_is_gone(
    clinic: Clinic, crowd: Crowd, publish: Publish, colleague: Context
) -> None:
    _mutate(clinic, NOTHING)
    violations = _violations(_race(clinic, crowd, colleague))
    publish(attempts=UNDOERS + BOOKERS, violations=violations, expected="seen")
    assert violations > 0
    broken = dict(kernel.verify(clinic.context.connection()))
    assert (
        broken["the counter equals the places and the active appointments"]
        + broken["no slot holds more than its capacity"]
    )


def _mutate(clinic: Clinic, chosen: list[Mutant]) -> None:
    mutants.with_pause(clinic)
    mutants.with_pause_in_undo(clinic)
    for mutant in chosen:
        mutant(clinic)
