"""Messages per second through claim, RQ, lease, writing, SMTP and mark, against a bare smtplib loop.

What must stay true: both sides send the same kind of letter to the same server, which is a process of its own, and
alternate. The bare loop has one connection and finds its messages written; the worker writes them, calendar files too.
"""

from __future__ import annotations

import contextlib
import os
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from bookcli.core import config
from bookcli.core.context import Context
from bookcli.core.services import notifications
from tests.valkeys import Valkey, valkey

from . import ground
from .ground import Ground

MESSAGES, ROUNDS, IDLE = 2000, 3, 11
WORKER = "bench_worker"
BOOKCLI = Path(sys.executable).with_name("bookcli")
_SERVER = """
import asyncio, sys
from aiosmtpd.smtp import SMTP
class Takes:
    async def handle_DATA(self, server, session, envelope):
        return "250 taken"
async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Takes(), loop=loop), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
_BOOK = f"""
INSERT INTO appointment (patient_id, test_id, slot_id, slots, during, status)
SELECT p.patient_id, 1, s.slot_id, ARRAY[s.slot_id], tstzrange(s.starts_at, s.ends_at), 'booked'
  FROM (SELECT * FROM patient ORDER BY patient_id LIMIT {MESSAGES}) p, (SELECT * FROM slot ORDER BY slot_id LIMIT 1) s;
INSERT INTO notification (appointment_id, kind) SELECT appointment_id, 'confirmation' FROM appointment;
UPDATE patient SET email = 'p' || patient_id || '@patients.example' WHERE patient_id <= {MESSAGES};
ANALYZE;
"""


def measure(place: Ground) -> Iterator[str]:
    """The ratio, and how long a message waits in an idle house."""
    place.create("messages")
    with psycopg.connect(place.dsn("messages"), autocommit=True) as owner, valkey() as redis, _mail_server() as port:
        with contextlib.suppress(psycopg.errors.DuplicateObject):
            owner.execute(f"CREATE ROLE {WORKER} LOGIN IN ROLE bookcli_worker".encode())
        owner.execute(_BOOK)
        environment = _environment(place, redis, port)
        bare, ours = [], []
        for _ in range(ROUNDS):
            bare.append(MESSAGES / _bare(place, owner, port))
            ours.append(MESSAGES / _ours(owner, environment))
        ratio = ground.median(ours) / ground.median(bare)
        yield (
            f"messages through the worker    {ground.median(ours):8.0f}/s   "
            f"bare smtplib {ground.median(bare):8.0f}/s   ratio {ratio:.2f}"
        )
        yield _idle(owner, redis, environment)


@contextlib.contextmanager
def _mail_server() -> Iterator[int]:
    server = subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield int(server.stdout.readline())
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def _environment(place: Ground, redis: Valkey, port: int) -> dict[str, str]:
    return {
        **os.environ,
        "BOOKCLI_HOME": str(place.paths.config.parent),
        "BOOKCLI_DATABASE_URL": place.dsn("messages").replace("//bookcli@", f"//{WORKER}@"),
        "BOOKCLI_REDIS_URL": redis.url,
        "BOOKCLI_SMTP_URL": f"smtp://127.0.0.1:{port}",
        "BOOKCLI_MAIL_FROM": "appointments@clinic.example",
    }


def _bare(place: Ground, owner: psycopg.Connection, port: int) -> float:
    """Seconds for as many messages, written beforehand."""
    from worker.delivery.email import written

    settings = config.Settings(database_url=place.dsn("messages"), mail_from="appointments@clinic.example")
    with Context(settings, place.paths) as context:
        rows = _rows(owner)
        letters = [written(notifications.write(context, [row])) for row in rows]
    began = time.perf_counter()
    with smtplib.SMTP("127.0.0.1", port) as client:
        for n in range(MESSAGES):
            client.sendmail("a@clinic.example", ["p1@patients.example"], letters[n % len(letters)])
    return time.perf_counter() - began


def _rows(owner: psycopg.Connection) -> list[notifications.Outgoing]:
    """A few of the messages, as they are written from."""
    found = owner.execute("SELECT * FROM app.outgoing_of(ARRAY(SELECT generate_series(1, 20)::bigint))")
    return [notifications.Outgoing(*row) for row in found]


def _ours(owner: psycopg.Connection, environment: dict[str, str]) -> float:
    """Seconds between the first message that is marked and the last: what starts a process is not counted."""
    owner.execute("UPDATE app.notification SET sent_at = NULL, attempts = 0, due_at = now()")
    worker = subprocess.Popen([BOOKCLI, "worker", "run"], env=environment, stderr=subprocess.DEVNULL)
    try:
        while owner.execute("SELECT FROM app.notification WHERE sent_at IS NULL LIMIT 1").fetchone() is not None:
            time.sleep(0.1)
    finally:
        worker.terminate()
        worker.wait()
    found = owner.execute(
        "SELECT count(sent_at), extract(epoch FROM max(sent_at) - min(sent_at)) FROM app.notification"
    )
    count, seconds = found.fetchone() or (0, 0)
    assert count == MESSAGES, count
    return float(seconds)


def _idle(owner: psycopg.Connection, redis: Valkey, environment: dict[str, str]) -> str:
    process = subprocess.Popen([BOOKCLI, "worker", "run"], env=environment, stderr=subprocess.DEVNULL)
    try:
        time.sleep(2)
        due = []
        for number in range(1, IDLE + 1):
            # When it is claimed it becomes due again a little later, so that what was due first is kept here.
            found = owner.execute(
                "UPDATE app.notification SET sent_at = NULL, due_at = clock_timestamp() WHERE notification_id = %s"
                " RETURNING due_at",
                [number],
            ).fetchone()
            assert found
            due.append(found[0])
            redis.client.publish("bookcli:wake", "")
            time.sleep(0.4)
        time.sleep(1)
    finally:
        process.terminate()
        process.wait()
    sent = owner.execute(
        "SELECT sent_at FROM app.notification WHERE notification_id <= %s ORDER BY notification_id", [IDLE]
    ).fetchall()
    figures = [(one - begun).total_seconds() for (one,), begun in zip(sent, due, strict=True)]
    return f"from due to sent when idle     {1000 * ground.median(figures):8.0f} ms (median)"
