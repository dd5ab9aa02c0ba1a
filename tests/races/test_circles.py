"""Pairs of changes that need the same rows, each begun when the other has one of them: nobody waits in a circle."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from bookcli.core.config import Settings
from bookcli.core.context import Context
from bookcli.core.db import kernel
from bookcli.core.model.requests import BookingRequest, Place, new_key
from bookcli.core.services import appointments, catalog, notifications, undo
from tests.clinic import Clinic
from tests.races.test_races import _deadlocks
from tests.servers import login_as

Work = Callable[[Context], Any]


@pytest.fixture
def crossing(clinic: Clinic) -> Iterator[Callable[..., list[Any]]]:
    """crossing(held, *works): begins one work after the other while what `held` says is locked; what they answer."""

    def cross(held: tuple[str, Any], *works: Work) -> list[Any]:
        answers: list[Future[Any]] = []
        before = _deadlocks(clinic)
        with ThreadPoolExecutor() as pool, clinic.owner.transaction(force_rollback=True):
            clinic.owner.execute(held[0].encode(), held[1:])
            for waiting, work in enumerate(works, start=1):
                answers.append(pool.submit(_at_a_desk, clinic, work))
                _until_so_many_wait(clinic, waiting)
            clinic.owner.execute("ROLLBACK AND CHAIN")
            done = [answer.result() for answer in answers]
        assert _deadlocks(clinic) == before
        assert clinic.sound()
        return done

    yield cross


def _at_a_desk(clinic: Clinic, work: Work) -> Any:
    with clinic.desk_at(clinic.context.dsn) as desk:
        return work(desk)


def _until_so_many_wait(clinic: Clinic, many: int) -> None:
    statement = b"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    with psycopg.connect(clinic.owner_dsn, autocommit=True) as onlooker:
        until = time.monotonic() + 2
        while onlooker.execute(statement).fetchone() != (many,):
            assert time.monotonic() < until, "they do not cross"
            time.sleep(0.005)


def _booked(clinic: Clinic, patient: int, test: str, slot: int) -> str:
    return appointments.book(clinic.context, clinic.request(patient, test, slot)).verdicts[0].reference or ""


def test_a_merge_and_a_cancellation_beside_an_expired_hold(clinic: Clinic, crossing: Callable[..., list[Any]]) -> None:
    """The hold ends where the room for cleaning after it begins, in a slot that another appointment has too."""
    shared = clinic.slot("mri", 2, 6)
    clinic.run("UPDATE slot SET capacity = 2 WHERE slot_id = %s", (shared,))
    appointments.hold(clinic.context, clinic.request(2, "mri-contrast", clinic.slot("mri", 2, 4)))
    reference = _booked(clinic, 2, "mri", shared)
    clinic.run("UPDATE appointment SET held_until = now() - interval '1 s' WHERE status = 'pending'")
    merged, cancelled = crossing(
        ("SELECT FROM slot WHERE slot_id = %s FOR NO KEY UPDATE", shared),
        lambda desk: kernel.merge_patients(desk.connection(), "P1", "P2")[0],
        lambda desk: appointments.cancel(desk, reference).verdict,
    )
    assert (merged, cancelled) == ("merged", "cancelled")


def test_the_undoing_of_a_visit_and_the_marks_of_its_messages(
    clinic: Clinic, crossing: Callable[..., list[Any]]
) -> None:
    wanted = [clinic.request(1, "mri", clinic.slot("mri", 2, index)) for index in (4, 5)]
    appointments.visit(clinic.context, wanted, new_key())
    notifications.remind(clinic.context, timedelta(days=30))
    mine = clinic.rows("SELECT notification_id FROM notification ORDER BY appointment_id, notification_id")
    (_, late), (early, _) = [number for (number,) in mine[:2]], [number for (number,) in mine[2:]]
    assert early < late

    def mark(_: Context) -> None:
        with Context(Settings(database_url=login_as(clinic.owner_dsn, "worker")), clinic.context.paths) as worker:
            notifications.sign_in_worker(worker)
            notifications.mark_sent(worker, [early, late])

    undone, _ = crossing(
        ("SELECT FROM notification WHERE notification_id = %s FOR NO KEY UPDATE", late),
        lambda desk: undo.undo(desk).action,
        mark,
    )
    assert undone == "book"


def test_a_booking_of_two_tests_and_a_change_of_both(clinic: Clinic, crossing: Callable[..., list[Any]]) -> None:
    rows = [{"code": code, "name": f"New {code}"} for code in ("mri", "blood")]
    wanted = [clinic.request(1, test, clinic.slot(test, 2, index)) for index, test in enumerate(("blood", "mri"))]
    saved, visit = crossing(
        ("SELECT FROM test WHERE code = %s FOR UPDATE", "mri"),
        lambda desk: [one.verdict for one in kernel.save(desk.connection(), "tests", rows)],
        lambda desk: appointments.visit(desk, wanted, new_key()).outcome,
    )
    assert (saved, visit) == (["changed", "changed"], "booked")


def test_a_cancellation_and_a_site_that_moves_to_another_zone(
    clinic: Clinic, crossing: Callable[..., list[Any]]
) -> None:
    first = clinic.slot("mri", 2, 4)
    reference = _booked(clinic, 1, "mri-contrast", first)
    # A table is read in the order in which its rows were written last.
    clinic.run("UPDATE slot SET version = version + 1 WHERE slot_id = %s", (first,))
    crossing(
        ("SELECT FROM slot WHERE slot_id = %s FOR NO KEY UPDATE", first),
        lambda desk: appointments.cancel(desk, reference),
        lambda desk: catalog.save_site(desk, {"code": "north", "zone": "Asia/Tokyo"}),
    )


def test_the_same_refusals_asked_for_in_two_orders(clinic: Clinic, crossing: Callable[..., list[Any]]) -> None:
    slot = clinic.slot("mri", 2, 4)
    _booked(clinic, 1, "mri", slot)
    requests = [BookingRequest(f"P{n}", "mri", Place(slot=slot), new_key()) for n in (2, 3, 4)]
    told = crossing(
        ("INSERT INTO request VALUES (%s, %s, 'slot-full')", requests[1].key, new_key()),
        lambda desk: [one.verdict for one in appointments.book_many(desk, requests)],
        lambda desk: [one.verdict for one in appointments.book_many(desk, requests[::-1])],
    )
    assert told == [["slot-full"] * 3] * 2
