"""The same desks behind a transaction pool much smaller than they are many."""

from __future__ import annotations

import contextlib
import random

import psycopg

from bookcli.core.context import Context
from bookcli.core.db import kernel
from bookcli.core.services import appointments
from tests.clinic import Clinic
from tests.pooler import forgetting, pooled
from tests.processes import Crowd
from tests.races.conftest import Publish
from tests.races.test_races import _add_patients, _request

DESKS, POOL = 40, 4


def book_what_comes(context: Context, patient: int, slots: list[int], times: int, seed: int) -> list[str]:
    """Books random places and cancels half of what it got; what it was told."""
    chance = random.Random(seed)
    told = []
    for _ in range(times):
        outcome = appointments.book(context, _request(patient, "mri", chance.choice(slots)))
        told.append(outcome.reason or outcome.outcome)
        if outcome.outcome == "booked" and chance.random() < 0.5:
            appointments.cancel(context, outcome.verdicts[0].reference or "")
    return told


def test_forty_desks_behind_four_connections_sell_each_place_once(
    clinic: Clinic, crowd: Crowd, publish: Publish, chance: random.Random
) -> None:
    _add_patients(clinic, DESKS)
    slots = [clinic.slot("mri", 1, index) for index in range(6)]
    with pooled(clinic.context.dsn, size=POOL) as address:
        told = crowd.at_once(
            book_what_comes, address, [(n, slots, 8, chance.getrandbits(32)) for n in range(1, DESKS + 1)]
        )
    answers = [answer for desk in told for answer in desk]
    publish(attempts=len(answers), violations=0 if clinic.sound() else 1)
    assert set(answers) <= {"booked", "slot-full", "patient-overlap"}
    assert "booked" in answers
    assert clinic.sound()


def test_nothing_of_one_desk_is_left_for_the_next_in_a_pool_of_one(clinic: Clinic) -> None:
    with (
        pooled(clinic.context.dsn, size=1) as address,
        psycopg.connect(address, autocommit=True, prepare_threshold=None) as other,
    ):
        before = _session_of(other)
        with clinic.desk_at(address) as desk:
            assert appointments.book(desk, _request(1, "blood", clinic.slot("blood"))).outcome == "booked"
            assert appointments.book(desk, _request(2, "mri", clinic.slot("mri"))).outcome == "booked"
            assert all(violations == 0 for _, violations in kernel.verify(desk.connection()))
        assert _session_of(other) == before
        assert other.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (0,)


def _session_of(connection: psycopg.Connection[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """The one server connection, and every setting of it that is not what a new session has."""
    return connection.execute(
        "SELECT pg_backend_pid(), name, setting FROM pg_settings"
        " WHERE name = 'search_path' OR (source = 'session' AND name <> 'application_name') ORDER BY name"
    ).fetchall()


HOSTILE = (
    "SET default_transaction_read_only = on",
    "SET default_transaction_isolation = 'serializable'",
    "SET statement_timeout = 1",
    "SET search_path = nowhere",
    "SET synchronous_commit = off",
)
"""What anybody may say who has the role of a desk and psql."""


def test_what_a_desk_with_psql_sets_does_not_outlast_its_transaction_in_the_pool_that_is_shipped(
    clinic: Clinic,
) -> None:
    found = []
    for more in (forgetting(), ""):
        with (
            pooled(clinic.context.dsn, size=1, more=more) as address,
            psycopg.connect(address, autocommit=True, prepare_threshold=None) as hostile,
            psycopg.connect(address, autocommit=True, prepare_threshold=None) as other,
        ):
            before = _session_of(other)
            for statement in HOSTILE:
                hostile.execute(statement.encode())
            with contextlib.suppress(psycopg.errors.QueryCanceled):
                found.append(_session_of(other) == before)
    assert found[:1] == [True]
    assert found[1:] != [True], "the control: a pool as pgbouncer has it by default hands them on"
