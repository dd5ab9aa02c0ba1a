"""The schema with a protection taken out, so that the races can be shown to see what it protects from.

What must stay true: each mutant changes one named thing of the live schema, and says so when that is not there.
"""

from __future__ import annotations

from tests.clinic import Clinic

PAUSE = "PERFORM pg_sleep({}) FROM unnest(items) i WHERE i.won LIMIT 1;"
"""Between judging and writing, so that everybody judges before the first has written: no race is left to luck."""


def without_lock(clinic: Clinic) -> None:
    """lock_for_booking promises nothing."""
    replace(clinic, "lock_for_booking", "pg_advisory_xact_lock(", "abs(0 * ")
    replace(clinic, "lock_for_booking", "k.class, k.id)", "k.class)")


def with_pause(clinic: Clinic, seconds: float = 0.1) -> None:
    """book waits between judge and apply when there is something to write."""
    replace(clinic, "book_as", "PERFORM apply(", f"{PAUSE.format(seconds)}\n  PERFORM apply(")


def with_pause_in_undo(clinic: Clinic) -> None:
    """Whoever takes a step back waits between finding the place free and taking it."""
    replace(clinic, "restore", "  UPDATE appointment", "  PERFORM pg_sleep(0.1);\n  UPDATE appointment")


def with_pause_in_visits(clinic: Clinic) -> None:
    """confirm_visit and release wait between finding a hold and ending it; who releases writes first."""
    for function, ending, seconds in (
        ("confirm_visit", "PERFORM change(part.appointment_id, 'booked'", 0.8),
        ("release", "PERFORM change(", 0.3),
    ):
        replace(clinic, function, ending, f"PERFORM pg_sleep({seconds}); {ending}")


def with_pause_in_cancel(clinic: Clinic, seconds: float) -> None:
    """cancel waits between finding an appointment and cancelling it."""
    replace(clinic, "cancel", "PERFORM change(", f"PERFORM pg_sleep({seconds}); PERFORM change(")


def without_row_locks(clinic: Clinic) -> None:
    """lock_rows locks neither the appointments nor the slots."""
    replace(clinic, "lock_rows", "ORDER BY a.appointment_id FOR NO KEY UPDATE", "")
    replace(clinic, "lock_rows", "ORDER BY s.slot_id FOR NO KEY UPDATE", "")


def without_visit_lock(clinic: Clinic) -> None:
    """lock_visit says which appointments belong together and locks none."""
    replace(clinic, "lock_visit", "FOR NO KEY UPDATE", "")


def without_slot_check(clinic: Clinic) -> None:
    """The counter may rise above the capacity."""
    _drop(clinic, "slot", "slot_booked_within_capacity")


def without_occupancy(clinic: Clinic) -> None:
    """A place may lie above the capacity, and be taken twice."""
    _drop(clinic, "occupancy", "occupancy_place_within_capacity")
    _drop(clinic, "occupancy", "occupancy_pkey")


def without_exclusion(clinic: Clinic) -> None:
    """A patient may be in two places."""
    _drop(clinic, "appointment", "appointment_patient_in_one_place")


def replace(clinic: Clinic, function: str, old: str, new: str) -> None:
    """Writes a function of the schema anew with one piece of its text changed."""
    (text,) = clinic.row("SELECT pg_get_functiondef(%s::regproc)", (f"app.{function}",))
    assert text.count(old) == 1, f"{function} has no {old!r}, or more than one: the mutant must be written anew"
    clinic.owner.execute(text.replace(old, new).encode())


def _drop(clinic: Clinic, table: str, constraint: str) -> None:
    clinic.owner.execute(f"ALTER TABLE app.{table} DROP CONSTRAINT {constraint}".encode())
