"""Calls the kernel: one function here is one function of schema.sql, one statement, one round trip.

What must stay true: nothing but these calls and those of `gateway` writes to the database, and every one carries the
token of the connection, by which the kernel knows whose call it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, time
from typing import Any, NamedTuple

from ..model.appointments import Verdict
from ..model.slots import Slot
from .engine import Connection, call


class Saved(NamedTuple):
    """What became of one saved row: created, changed, unchanged or why not. Mirrors `app.saved`."""

    ord: int
    verdict: str
    id: int | None
    code: str | None


def book(
    connection: Connection, requests: Sequence[dict[str, Any]], *, together: bool = False, in_order: bool = False
) -> list[Verdict]:
    """One verdict per request, in order; `again` means: send that one once more. Raises as `engine.call`."""
    with call(connection, writes=True) as cursor:
        cursor.execute(
            "SELECT * FROM app.book(%s::jsonb, %s, %s, %s)", (_json(requests), together, in_order, connection.token)
        )
        return [Verdict(*row) for row in cursor]


def book_for(
    connection: Connection, staff: str, requests: Sequence[dict[str, Any]], *, together: bool, in_order: bool
) -> list[Verdict]:
    """The same for a worker, under the name of whoever asked. Raises NotAllowed `forbidden` when they may not (now)."""
    with call(connection, writes=True) as cursor:
        values = (staff, _json(requests), together, in_order, connection.token)
        cursor.execute("SELECT * FROM app.book_for(%s, %s::jsonb, %s, %s, %s)", values)
        return [Verdict(*row) for row in cursor]


def confirm(connection: Connection, reference: str) -> Verdict:
    """Turns a hold into a booking."""
    return _verdict(connection, "SELECT * FROM app.confirm(%s, %s)", (reference, connection.token))


def confirm_visit(connection: Connection, reference: str) -> list[Verdict]:
    """Turns every hold of a visit into a booking, or none."""
    return _verdicts(connection, "SELECT * FROM app.confirm_visit(%s, %s)", (reference, connection.token))


def release(connection: Connection, reference: str) -> list[Verdict]:
    """Gives back what whoever asks has held, the whole visit of it."""
    return _verdicts(connection, "SELECT * FROM app.release(%s, %s)", (reference, connection.token))


def renew(connection: Connection, reference: str, seconds: int, note: str | None) -> list[Verdict]:
    """Goes on holding what whoever asks has held, and notes something with it; None leaves the note as it is."""
    return _verdicts(
        connection, "SELECT * FROM app.renew(%s, %s, %s, %s)", (reference, seconds, note, connection.token)
    )


def undo(connection: Connection, reference: str | None) -> list[Verdict]:
    """Takes back the last thing that whoever asks has done, or has done to one appointment."""
    return _verdicts(connection, "SELECT * FROM app.undo(%s, %s)", (reference, connection.token))


def cancel(connection: Connection, reference: str, reason: str) -> Verdict:
    """Cancels; `reason` is a FHIR code."""
    return _verdict(connection, "SELECT * FROM app.cancel(%s, %s, %s)", (reference, reason, connection.token))


def set_status(connection: Connection, reference: str, status: str) -> Verdict:
    """Changes the status along `app.status_change`."""
    return _verdict(
        connection,
        "SELECT * FROM app.set_status(%s, %s::app.appointment_status, %s)",
        (reference, status, connection.token),
    )


def _verdict(connection: Connection, statement: str, values: tuple[Any, ...]) -> Verdict:
    (verdict,) = _verdicts(connection, statement, values)
    return verdict


def _verdicts(connection: Connection, statement: str, values: tuple[Any, ...]) -> list[Verdict]:
    with call(connection, writes=True) as cursor:
        cursor.execute(statement, values)
        return [Verdict(*row) for row in cursor]


def release_expired(connection: Connection) -> int:
    """Gives back the places of holds whose time is over; how many (at most 500 a call)."""
    return int(_one(connection, "SELECT app.let_holds_expire(%s)", (connection.token,))[0])


def save(connection: Connection, kind: str, rows: Sequence[dict[str, Any]]) -> list[Saved]:
    """Creates or changes rows; kind is sites, tests, resources, schedules or patients."""
    assert kind in {"sites", "tests", "resources", "schedules", "patients"}
    with call(connection, writes=True) as cursor:
        cursor.execute(f"SELECT * FROM app.save_{kind}(%s::jsonb, %s)", (_json(rows), connection.token))
        return [Saved(*row) for row in cursor]


def replace_schedules(
    connection: Connection, schedules: Sequence[int], first_day: date, rows: Sequence[dict[str, Any]]
) -> list[Saved]:
    """From a day on these hours, or none, instead of others; nothing is changed unless all are new or unchanged."""
    with call(connection, writes=True) as cursor:
        values = (list(schedules), first_day, _json(rows), connection.token)
        cursor.execute("SELECT * FROM app.replace_schedules(%s, %s, %s::jsonb, %s)", values)
        return [Saved(*row) for row in cursor]


def merge_patients(connection: Connection, survivor: str, duplicate: str) -> tuple[str, int, dict[str, Any]]:
    """(verdict, appointments moved, numbers)."""
    verdict, moved, numbers = _one(
        connection, "SELECT * FROM app.merge_patients(%s, %s, %s)", (survivor, duplicate, connection.token)
    )
    return verdict, moved, numbers


def publish(connection: Connection, slots: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """(published, already present) for rows {resource_id, starts_at, ends_at, local_start, capacity}."""
    published, present = _one(connection, "SELECT * FROM app.publish(%s::jsonb, %s)", (_json(slots), connection.token))
    return published, present


def publish_hours(connection: Connection, slots: Sequence[dict[str, Any]]) -> int:
    """The same for a machine, which may open only what weekly hours say; how many were opened."""
    values = (_json(slots), connection.token)
    published, _ = _one(connection, "SELECT * FROM app.publish_hours(%s::jsonb, %s)", values)
    return int(published)


def set_capacity(connection: Connection, slot: int, capacity: int) -> tuple[str, int | None, int | None, int | None]:
    """(verdict, capacity, booked, version)."""
    verdict, capacity_now, booked, version = _one(
        connection, "SELECT * FROM app.set_capacity(%s, %s, %s)", (slot, capacity, connection.token)
    )
    return verdict, capacity_now, booked, version


def close_period(
    connection: Connection, site_id: int, resource_id: int | None, period: tuple[datetime, datetime], reason: str
) -> tuple[int, int]:
    """(closure id, slots closed); `period` is [start, end), aware."""
    closure, slots = _one(
        connection,
        "SELECT * FROM app.close_period(%s, %s, tstzrange(%s, %s), %s, %s)",
        (site_id, resource_id, *period, reason, connection.token),
    )
    return closure, slots


def find_closure(
    connection: Connection, place: tuple[int, int | None], period: tuple[datetime, datetime], reason: str
) -> int | None:
    """The last closure in force that is just so, when nobody is closing there any more; None: there is none."""
    statement = "SELECT app.find_closure(%s, %s, tstzrange(%s, %s), %s, %s)"
    found: int | None = _one(connection, statement, (*place, *period, reason, connection.token))[0]
    return found


def close_and_move(
    connection: Connection,
    place: tuple[int, int | None],
    period: tuple[datetime, datetime],
    reason: str,
    moves: Sequence[dict[str, Any]],
    *,
    all_or_nothing: bool,
) -> list[Verdict]:
    """Closes at (site, resource or None) and moves; first `closed` unless nothing was done, then a verdict per move."""
    return _verdicts(
        connection,
        "SELECT * FROM app.close_and_move(%s, %s, tstzrange(%s, %s), %s, %s::jsonb, %s, %s)",
        (*place, *period, reason, _json(moves), all_or_nothing, connection.token),
    )


def reopen(connection: Connection, closure: int) -> int | None:
    """How many slots opened again; None when no such closure is in force."""
    result: int | None = _one(connection, "SELECT app.reopen(%s, %s)", (closure, connection.token))[0]
    return result


def undo_closing(connection: Connection, closure: int) -> list[Verdict]:
    """First `reopened` with the numbers, then `undone` for each who is back; or one verdict why nothing was done."""
    return _verdicts(connection, "SELECT * FROM app.undo_closing(%s, %s)", (closure, connection.token))


def _one(connection: Connection, statement: str, values: tuple[Any, ...]) -> tuple[Any, ...]:
    with call(connection, writes=True) as cursor:
        cursor.execute(statement, values)
        row = cursor.fetchone()
    assert row is not None
    return row


def find_slots(
    connection: Connection,
    *,
    sites: Sequence[str] | None,
    test: str,
    days: tuple[date, date],
    hours: tuple[time, time] | None = None,
    bookable: bool = True,
    most: int = 200,
) -> list[Slot]:
    """Slots by local day (both included) and local time of day ([from, until)); hot, hence a function of the schema."""
    first, until = hours or (time(0), None)
    with call(connection, writes=False) as cursor:
        cursor.execute(
            "SELECT * FROM app.find_slots(%s::text[], %s, %s, %s, %s, coalesce(%s::time, '24:00'), %s, %s)",
            (list(sites) if sites else None, test, *days, first, until, bookable, most),
        )
        return [Slot(s, p, z, t, r, a, e, c, m, st, v) for s, p, z, t, r, a, e, c, m, st, v in cursor]


def answers(connection: Connection, function: str, *values: Any) -> list[dict[str, Any]]:
    """The rows of a function of the schema that reads, by column name; the token goes with the call."""
    places = "".join("%s, " for _ in values)
    with call(connection, writes=False) as cursor:
        cursor.execute(f"SELECT * FROM app.{function}({places}token => %s)".encode(), (*values, connection.token))
        names = [column.name for column in cursor.description or ()]
        return [dict(zip(names, row, strict=True)) for row in cursor]


def look_at(connection: Connection, reference: str) -> dict[str, Any] | None:
    """The row of `app.appointment_facts` for a reference, or None; the look is audited."""
    found = answers(connection, "look_at", reference)
    return found[0] if found else None


def place_of(connection: Connection, reference: str) -> dict[str, Any] | None:
    """{test, site, zone, resource, slots, starts_at} of an appointment, nothing of its patient; None: there is none."""
    found = answers(connection, "place_of", reference)
    return found[0] if found else None


def verify(connection: Connection) -> list[tuple[str, int]]:
    """(rule, violations) for every invariant; all must be 0. Reads everything, so it has no statement time-out."""
    with call(connection, writes=False, deadline=None) as cursor, connection.transaction():
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SELECT rule, violations FROM app.verify(%s)", (connection.token,))
        return [(rule, violations) for rule, violations in cursor]


def seal_audit(connection: Connection, most: int) -> int | None:
    """How many audit rows were sealed, at most so many; None when somebody else is sealing."""
    result: int | None = _one(connection, "SELECT app.seal_audit(%s, %s)", (most, connection.token))[0]
    return result


def verify_audit(connection: Connection, kept: tuple[int, str] | None) -> tuple[Any, ...]:
    """The row of `app.verify_audit`; `kept` is the number and hash of a seal. Reads everything, as `verify`."""
    with call(connection, writes=False, deadline=None) as cursor, connection.transaction():
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SELECT * FROM app.verify_audit(%s, %s, %s)", (*(kept or (None, None)), connection.token))
        row = cursor.fetchone()
    assert row is not None
    return row


def _json(rows: Sequence[dict[str, Any]]) -> str:
    return json.dumps(rows, ensure_ascii=False)


def codes(connection: Connection, kind: str) -> list[str]:
    """The codes of all active sites or tests: for completion and for did-you-mean."""
    assert kind in {"site", "test"}
    with call(connection, writes=False) as cursor:
        cursor.execute(f"SELECT code FROM app.{kind} WHERE active ORDER BY code")
        return [code for (code,) in cursor]


def zones(connection: Connection, sites: Sequence[str]) -> dict[str, str]:
    """The IANA zones of those of the sites that exist and are active, by code."""
    with call(connection, writes=False) as cursor:
        cursor.execute("SELECT code, zone FROM app.site WHERE active AND code = ANY (%s::text[])", (list(sites),))
        return dict(cursor.fetchall())


def references(connection: Connection, begun: str, most: int = 50) -> list[str]:
    """References that begin so, of active appointments from today on, the next ones first: for completion."""
    return [row["references_from"] for row in answers(connection, "references_from", begun, most)]
