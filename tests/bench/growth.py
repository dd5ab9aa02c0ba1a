"""The time of one booking with many past appointments against the same with few."""

from __future__ import annotations

import time
from collections.abc import Iterator

import psycopg

from bookcli.core.context import Context
from bookcli.core.model.requests import BookingRequest, Place
from bookcli.core.services import appointments

from . import ground
from .ground import Ground

FEW = 10_000
MANY = 10_000_000
BOOKINGS = 1500

# Past appointments of all patients, one hour apart for each of them, 100 to a slot; indexes are built afterwards.
_PAST = """
SET statement_timeout = 0; SET session_replication_role = replica; SET synchronous_commit = off;
SET maintenance_work_mem = '1GB'; SET max_parallel_maintenance_workers = 2;
ALTER TABLE appointment DROP CONSTRAINT appointment_patient_in_one_place;
DROP INDEX appointment_by_patient;
INSERT INTO slot (site_id, resource_id, starts_at, ends_at, local_start, capacity, booked)
SELECT 1, 1 + n %% 100, s, s + interval '30 min', s::timestamp, 100, 100
  FROM generate_series(0, %(slots)s - 1) n,
       LATERAL (SELECT timestamptz '2001-01-01' + (n / 100) * interval '30 min' AS s) t;
CREATE TEMP TABLE past AS SELECT min(slot_id) AS first FROM slot WHERE starts_at < '2020-01-01';
INSERT INTO appointment (patient_id, test_id, slot_id, slots, during, status)
SELECT 1 + n %% %(patients)s, 1, s.slot_id, ARRAY[s.slot_id], tstzrange(s.starts_at, s.ends_at), 'fulfilled'
  FROM generate_series(0, %(rows)s - 1) n JOIN slot s ON s.slot_id = (SELECT first FROM past) + n / 100;
INSERT INTO occupancy (slot_id, place, capacity, appointment_id)
SELECT slot_id, 1 + (appointment_id - 1) %% 100, 100, appointment_id FROM appointment ORDER BY 1, 2;
INSERT INTO request (request_key, fingerprint, verdict, appointment_id)
SELECT gen_random_uuid(), md5(appointment_id::text)::uuid, 'booked', appointment_id FROM appointment;
CREATE INDEX appointment_by_patient ON appointment (patient_id);
ALTER TABLE appointment ADD CONSTRAINT appointment_patient_in_one_place
  EXCLUDE USING gist (patient_id WITH =, during WITH &&) WHERE (active);
SET session_replication_role = DEFAULT;
"""


def measure(place: Ground, *, many: int = MANY) -> Iterator[str]:
    """One line; generating the past takes minutes and is not part of the figure."""
    contexts = []
    for database, rows in (("few", FEW), ("many", many)):
        place.create(database)
        with psycopg.connect(place.dsn(database), autocommit=True, cursor_factory=psycopg.ClientCursor) as connection:
            connection.execute(_PAST, {"rows": rows, "slots": rows // 100, "patients": ground.PATIENTS})
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")
        contexts.append(place.context(database))
    with_few, with_many = [], []
    for n in range(1, BOOKINGS + 1):
        with_few.append(_one(contexts[0], n))
        with_many.append(_one(contexts[1], n))
    for context in contexts:
        context.close()
    skip = BOOKINGS // 5
    a, b = ground.median(with_many[skip:]), ground.median(with_few[skip:])
    yield (
        f"one booking with {many:,} past appointments: {1000 * a:.2f} ms, "
        f"with {FEW:,}: {1000 * b:.2f} ms, ratio {a / b:.2f}"
    )


def _one(context: Context, n: int) -> float:
    request = BookingRequest(f"B{n * 97}", "bench", Place(slot=1 + n * 6))
    begun = time.perf_counter()
    outcome = appointments.book(context, request)
    elapsed = time.perf_counter() - begun
    assert outcome.outcome == "booked", outcome.reason
    return elapsed
