"""The kernel reads what a booking needs, however large the tables have grown since its plans were made."""

import json
import uuid
from datetime import UTC, datetime, timedelta

import psycopg

from bookcli.core.db import engine

BATCH = 400
TABLES = ("appointment", "occupancy", "request", "slot", "patient")


def test_a_plan_made_on_empty_tables_reads_a_bounded_number_of_rows_later(
    owner: engine.Connection,
) -> None:
    connection = owner
    _a_clinic_for(connection, 5 * BATCH)
    for batch in range(4):
        _book(connection, batch)
    before = _rows_read(connection)
    _book(connection, 4)
    # About 10 a booking; reading whole tables would be thousands.
    rows_per_booking = (_rows_read(connection) - before) / BATCH
    assert rows_per_booking < 60


def test_a_closing_finds_its_slots_without_reading_those_of_other_days(owner: engine.Connection) -> None:
    _a_clinic_for(owner, 0)
    owner.execute(
        "INSERT INTO resource (site_id, code, name) SELECT 1, 'room-' || i, 'Room' FROM generate_series(1, 50) i"
    )
    owner.execute(
        "INSERT INTO slot (site_id, resource_id, starts_at, ends_at, local_start, capacity) "
        "SELECT 1, r.resource_id, s.starts_at, s.ends_at, s.local_start, 1 "
        "FROM slot s, resource r WHERE r.code <> 'room'"
    )
    before = _rows_read(owner)
    begins = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=2)
    closed = owner.execute(
        "SELECT slots FROM app.close_period(1, NULL, tstzrange(%s, %s), '', %s)",
        (begins, begins + timedelta(hours=1), owner.token),
    ).fetchone()
    assert closed == (2 * 51,)
    # Each of them a few times; reading all would be twenty thousand.
    assert _rows_read(owner) - before < 2_000


def _a_clinic_for(connection: psycopg.Connection, patients: int) -> None:
    connection.execute("INSERT INTO site (code, name, zone) VALUES ('here', 'Here', 'UTC')")
    connection.execute("INSERT INTO test (code, name, duration_minutes) VALUES ('ecg', 'ECG', 30)")
    connection.execute("INSERT INTO resource (site_id, code, name) VALUES (1, 'room', 'Room')")
    connection.execute("INSERT INTO resource_test VALUES (1, 1)")
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
    connection.execute(
        "INSERT INTO slot (site_id, resource_id, starts_at, ends_at, local_start, capacity) "
        "SELECT 1, 1, s, s + interval '30 min', s::timestamp, 5 "
        "FROM generate_series(0, %s) n, LATERAL (SELECT %s + n * interval '30 min' AS s) t",
        (BATCH, start),
    )
    connection.execute(
        "INSERT INTO patient (mrn, name) SELECT 'P' || i, 'Patient ' || i FROM generate_series(0, %s) i", (patients,)
    )


def _book(connection: engine.Connection, batch: int) -> None:
    requests = [
        {"key": str(uuid.uuid4()), "patient": f"P{batch * BATCH + n}", "test": "ecg", "slot": n + 1}
        for n in range(BATCH)
    ]
    answers = connection.execute(
        "SELECT verdict FROM app.book(%s::jsonb, token => %s)", (json.dumps(requests), connection.token)
    ).fetchall()
    assert answers == [("booked",)] * BATCH


def _rows_read(connection: psycopg.Connection) -> int:
    connection.execute("SELECT pg_stat_force_next_flush()")
    row = connection.execute(
        "SELECT sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) FROM pg_stat_user_tables "
        "WHERE relname = ANY (%s)",
        (list(TABLES),),
    ).fetchone()
    assert row
    return int(row[0])
