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
from bookcli.core.services import appointments
from tests.clinic import Clinic


@contextlib.contextmanager
def _waiting_for_a_slot(clinic: Clinic, slot: int, work: Callable[[Context], Any]) -> Iterator[None]:
    """Somebody's `work` has begun and waits for the slot's lock until the block ends."""
    with clinic.desk_at(clinic.context.dsn) as other:
        desk = threading.Thread(target=work, args=(other,))
        with contextlib.closing(clinic.context.fresh_connection()) as holder, holder.transaction():
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
