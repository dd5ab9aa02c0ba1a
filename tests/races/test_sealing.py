"""Several seal while others book, cancel and look: each row is sealed once, also the one whose commit came late."""

from __future__ import annotations

import random
import time

import pytest

from bookcli.core.context import Context
from bookcli.core.db import kernel
from bookcli.core.model.requests import BookingRequest, Place, new_key
from bookcli.core.services import appointments, audit, patients
from tests.clinic import Clinic
from tests.processes import Crowd
from tests.races import mutants
from tests.races.conftest import Publish

BOOKERS, SLOW, SEALERS = 8, 2, 2
LATE = (
    "SELECT count(*) FROM (SELECT audit_id < max(audit_id) OVER (ORDER BY seal_number) AS late FROM seal) s WHERE late"
)
"""How many rows were sealed after one with a higher id."""


def take_part(context: Context, role: str, patient: int, slot: int, seed: int) -> int:
    """Books and cancels, or commits late, or seals a while; how many rows it wrote or sealed."""
    chance = random.Random(seed)
    if role == "seal":
        return _seal(context)
    return _book(context, patient, slot) if role == "book" else _commit_late(context, patient, chance)


def _book(context: Context, patient: int, slot: int) -> int:
    written = 0
    for _ in range(15):
        request = BookingRequest(f"P{patient}", "blood", Place(slot=slot), new_key())
        verdict = appointments.book(context, request).verdicts[0]
        if verdict.won:
            appointments.cancel(context, verdict.reference or "")
            written += 2
        patients.get(context, f"P{patient}")
        written += 1
    return written


def _commit_late(context: Context, patient: int, chance: random.Random) -> int:
    """Draws an id, commits while others are further, or never."""
    written = 0
    for turn in range(8):
        try:
            with context.connection().transaction():
                patients.get(context, f"P{patient}")
                time.sleep(chance.uniform(0.02, 0.1))
                if turn % 4 == 3:
                    raise InterruptedError
            written += 1
        except InterruptedError:
            continue
    return written


def _seal(context: Context) -> int:
    sealed = 0
    for _ in range(400):
        sealed += kernel.seal_audit(context.connection(), 5) or 0
        time.sleep(0.002)
    return sealed


@pytest.mark.both_servers
def test_every_row_is_sealed_once_while_desks_are_at_work(
    clinic: Clinic, crowd: Crowd, publish: Publish, chance: random.Random
) -> None:
    (before,) = clinic.row("SELECT count(*) FROM audit")
    slot = clinic.slot("blood")
    roles = ["book"] * BOOKERS + ["late"] * SLOW + ["seal"] * SEALERS
    entries = [(role, n, slot, chance.getrandbits(32)) for n, role in enumerate(roles, start=1)]
    told = crowd.at_once(take_part, clinic.context.dsn, entries)
    written, sealed = sum(told[:-SEALERS]), sum(told[-SEALERS:]) + audit.seal(clinic.context)
    (rows,) = clinic.row("SELECT count(*) FROM audit")
    (late,) = clinic.row(LATE)
    proof = audit.verify(clinic.context)
    publish(attempts=rows, violations=proof.broken + proof.unsealed, late=late)
    # Each process signed in.
    assert rows == before + len(entries) + written == sealed == proof.sealed
    assert (proof.intact, proof.unsealed, late > 0) == (True, 0, True)
    assert clinic.row("SELECT count(DISTINCT audit_id) FROM seal") == (rows,)
    assert audit.seal(clinic.context) == 0
    assert clinic.row("SELECT settled = (SELECT max(audit_id) FROM audit) FROM sealing") == (True,)
    assert clinic.sound()


@pytest.mark.parametrize("careless", [False, True], ids=["as it is", "by the highest id"])
def test_only_a_sealer_that_goes_by_the_highest_id_misses_what_is_committed_late(
    clinic: Clinic, careless: bool
) -> None:
    if careless:
        mutants.replace(
            clinic,
            "seal_audit",
            "WHERE a.audit_id > progress.settled\n",
            "WHERE a.audit_id > (SELECT coalesce(max(s.audit_id), 0) FROM seal s)\n",
        )
    audit.seal(clinic.context)
    with clinic.desk_at(clinic.context.dsn) as slow, slow.connection().transaction():
        patients.get(slow, "P1")
        patients.get(clinic.context, "P2")
        assert audit.seal(clinic.context) == 1
    assert audit.seal(clinic.context) == int(not careless)
    assert audit.verify(clinic.context).intact is not careless
