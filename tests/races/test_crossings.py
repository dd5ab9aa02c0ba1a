"""Two changes that cross: one has looked and not yet written when the other commits. Made to happen, not waited for."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from bookcli.core.context import Context
from bookcli.core.db import kernel
from bookcli.core.services import appointments, closings, schedules
from tests.clinic import Clinic
from tests.servers import engine_connection


@contextlib.contextmanager
def _waiting_for_a_slot(clinic: Clinic, slot: int, work: Callable[[Context], Any]) -> Iterator[None]:
    """Somebody's `work` has begun and waits for the slot's lock until the block ends."""
    with clinic.desk_at(clinic.context.dsn) as other:
        desk = threading.Thread(target=work, args=(other,))
        with engine_connection(clinic.owner_dsn) as holder, holder.transaction():
            holder.execute("SELECT pg_advisory_xact_lock(1, %s)", (slot,))
            desk.start()
            while clinic.row("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted") != (1,):
                time.sleep(0.005)
            yield
        desk.join()


def test_a_booking_that_crosses_a_merge_is_made_for_the_survivor(clinic: Clinic) -> None:
    slot = clinic.slot("mri")
    request = clinic.request(2, "mri", slot)
    with _waiting_for_a_slot(clinic, slot, lambda context: appointments.book(context, request)):
        assert kernel.merge_patients(clinic.context.connection(), "P1", "P2")[0] == "merged"
    assert clinic.rows("SELECT mrn FROM appointment JOIN patient USING (patient_id)") == [("P1",)]
    assert clinic.sound()


def test_a_booking_that_crosses_a_closing_is_refused(clinic: Clinic) -> None:
    slot = clinic.slot("mri")
    answers: list[Any] = []
    request = clinic.request(2, "mri", slot)
    with _waiting_for_a_slot(clinic, slot, lambda context: answers.append(appointments.book(context, request))):
        site, resource, start, end = clinic.row(
            "SELECT site_id, resource_id, starts_at, ends_at FROM slot WHERE slot_id = %s", (slot,)
        )
        kernel.close_period(clinic.context.connection(), site, resource, (start, end), "")
    assert answers[0].reason == "slot-closed"
    assert clinic.sound()


def test_who_is_cancelled_while_a_closing_is_taken_back_stays_cancelled(clinic: Clinic) -> None:
    booked = [appointments.book(clinic.context, clinic.request(n, "mri", clinic.slot("mri", 2, n))) for n in (4, 5)]
    first, second = (str(one.verdicts[0].reference) for one in booked)
    start, end = clinic.row("SELECT min(starts_at), max(ends_at) FROM slot JOIN occupancy USING (slot_id)")
    plan = closings.plan(clinic.context, "north", "mri-1", start, end)
    closure = closings.apply(clinic.context, plan, "", everybody=True).closure_id
    slot = clinic.row("SELECT slot_id FROM appointment WHERE app.reference_of(appointment_id) = %s", (first,))[0]
    answers: list[Any] = []
    with _waiting_for_a_slot(clinic, slot, lambda desk: answers.append(closings.take_back(desk, closure))):
        appointments.cancel(clinic.context, first, "pat")
    assert [one.reference for one in answers[0].back] == [second]
    assert schedules.closures(clinic.context) == []
    assert appointments.show(clinic.context, first)["status"] == "cancelled"
    assert appointments.show(clinic.context, second)["starts_at"] == booked[1].verdicts[0].starts_at
    assert clinic.sound()


def test_a_slot_whose_publishing_crosses_a_closing_is_closed(clinic: Clinic) -> None:
    site, resource, last = clinic.row("SELECT site_id, resource_id, max(ends_at) FROM slot GROUP BY 1, 2 LIMIT 1")
    end = last + timedelta(minutes=30)
    row = {"resource_id": resource, "starts_at": last.isoformat(), "ends_at": end.isoformat(), "capacity": 1}
    row["local_start"] = last.replace(tzinfo=None).isoformat()
    closing = threading.Thread(target=_close, args=(clinic, site, (last, end)))
    with contextlib.closing(clinic.context.fresh_connection()) as publisher, publisher.transaction():
        assert kernel.publish(publisher, [row]) == (1, 0)
        closing.start()
        closing.join(0.5)
    closing.join()
    assert clinic.row("SELECT status FROM slot WHERE starts_at = %s AND resource_id = %s", (last, resource)) == (
        "busy-unavailable",
    )


def _close(clinic: Clinic, site: int, period: tuple[Any, Any]) -> None:
    with contextlib.closing(clinic.context.fresh_connection()) as connection:
        kernel.close_period(connection, site, None, period, "")
