"""The numbers to watch are valid, complete and true, and asking for them waits for nobody."""

from __future__ import annotations

import subprocess
import threading
import urllib.error
import urllib.request
from pathlib import Path

import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from rq import Queue
from rq.serializers import JSONSerializer

from bookcli.core.services import appointments, slots
from bookcli.core.services.metrics import MEANINGS
from tests.caching import every_search
from tests.clinic import NAMES, Clinic
from tests.secure_servers import free_port
from tests.valkeys import Valkey
from tests.worker.conftest import BOOKCLI, Workers, book, eventually
from worker import QUEUE, metrics_port
from worker.stopping import Stopping

Numbers = dict[str, dict[frozenset[tuple[str, str]], float]]


def read(text: str) -> Numbers:
    """Name → labels → value, as Prometheus reads it."""
    found: Numbers = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            of_name = found.setdefault(sample.name.removeprefix("bookcli_"), {})
            assert frozenset(sample.labels.items()) not in of_name
            of_name[frozenset(sample.labels.items())] = sample.value
    return found


def labels(**named: str) -> frozenset[tuple[str, str]]:
    return frozenset(named.items())


def command(environment: dict[str, str]) -> Numbers:
    done = subprocess.run([BOOKCLI, "metrics"], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not [name for name in NAMES if name in done.stdout]
    return read(done.stdout)


def test_every_number_is_there_and_says_how_it_is(clinic: Clinic, workers: Workers, valkey: Valkey) -> None:
    book(clinic, 3)
    Queue(QUEUE, connection=valkey.client, serializer=JSONSerializer).enqueue("os.system", args=["true"])
    workers.burst()
    held = [
        appointments.hold(clinic.context, clinic.request(n, "blood", clinic.slot("blood", 4, n))) for n in range(5, 8)
    ]
    assert [one.outcome for one in held] == ["held"] * 3
    clinic.run(
        "UPDATE appointment SET held_until = now() - interval '1 s' WHERE appointment_id ="
        " (SELECT max(appointment_id) FROM appointment)"
    )
    clinic.run("UPDATE notification SET sent_at = NULL, reason = 'smtp-refused' WHERE notification_id = 1")
    desk = clinic.desk_at(clinic.context.dsn)
    for _ in range(2):
        slots.find(desk, every_search(clinic)[0])
    desk.close()

    found = command(workers.environment)
    assert found["up"][labels(server="database")] == found["up"][labels(server="redis")] == 1
    assert found["messages_sent_last_hour"] == {labels(channel="email", kind="confirmation"): 2}
    assert found["messages_put_off"] == {labels(reason="smtp-refused"): 1}
    assert found["requests_last_hour"][labels(verdict="booked")] == 3
    assert found["holds"] == {labels(state="open"): 2, labels(state="expired"): 1}
    assert found["oversold_slots"] == {labels(): 0}
    assert found["lock_waits"] == {labels(kind="advisory"): 0, labels(kind="other"): 0}
    assert found["jobs"] == {labels(state="queued"): 0, labels(state="failed"): 1}
    assert found["pending_requests"] == {labels(where="spool"): 0, labels(where="redis"): 0}
    named = {name.removesuffix("_total") for name in found}
    assert named == set(MEANINGS) - {"messages_failed", "task_age_seconds"}


def test_who_waits_for_a_lock_is_seen_with_how_long(clinic: Clinic, workers: Workers) -> None:
    def wait() -> None:
        with psycopg.connect(clinic.owner_dsn) as other:
            other.execute("SELECT pg_advisory_xact_lock(7, 7)")

    waiter = threading.Thread(target=wait)
    with psycopg.connect(clinic.owner_dsn) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(7, 7)")
        waiter.start()
        eventually(lambda: clinic.row("SELECT count(*) FROM pg_locks WHERE NOT granted") == (1,))
        found = command(workers.environment)
    waiter.join()
    assert found["lock_waits"][labels(kind="advisory")] == 1
    assert found["lock_wait_seconds"][labels(kind="advisory")] > 0


def test_an_oversold_slot_is_a_number_too(clinic: Clinic, workers: Workers) -> None:
    book(clinic, 1)
    clinic.run("ALTER TABLE slot DROP CONSTRAINT slot_booked_within_capacity")
    clinic.run("UPDATE slot SET booked = capacity + 1 WHERE slot_id = (SELECT min(slot_id) FROM slot)")
    assert command(workers.environment)["oversold_slots"] == {labels(): 1}


def test_a_database_that_is_away_is_a_number_too(workers: Workers, tmp_path: Path) -> None:
    nowhere = {**workers.environment, "BOOKCLI_DATABASE_URL": f"postgresql://nobody@/none?host={tmp_path}"}
    found = command(nowhere)
    assert found["up"] == {labels(server="database"): 0, labels(server="redis"): 1}
    assert "oversold_slots" not in found


def test_a_database_that_is_too_slow_to_count_is_not_said_to_be_away(clinic: Clinic, workers: Workers) -> None:
    clinic.run(
        "CREATE OR REPLACE FUNCTION app.measures(token text DEFAULT NULL)"
        " RETURNS TABLE (name text, labels jsonb, value double precision) LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE EXCEPTION 'too slow' USING ERRCODE = '57014'; END $$"
    )
    found = command(workers.environment)
    assert found["up"][labels(server="database")] == 1 and "messages_due" not in found


def test_a_failure_of_last_week_is_counted_no_longer(clinic: Clinic, workers: Workers) -> None:
    book(clinic, 2)
    clinic.run("UPDATE notification SET failed_at = now() - notification_id * interval '5 days', reason = 'smtp-550'")
    assert list(command(workers.environment)["messages_failed"].values()) == [1]


def test_a_worker_serves_the_numbers_and_notes_its_tasks(clinic: Clinic, workers: Workers) -> None:
    port = free_port()
    process = workers.start("--metrics-port", str(port))
    book(clinic, 2)

    def served() -> Numbers:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
                assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
                return read(answer.read().decode())
        except OSError:
            return {}

    tasks = {labels(task=name) for name in ("holds", "seal", "replay", "offers", "warm", "publish")}
    eventually(lambda: served().get("task_age_seconds", {}).keys() == tasks)
    eventually(lambda: sum(served().get("messages_sent_last_hour", {}).values()) == 2)
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/secrets", timeout=60)

    taken = subprocess.run(
        [BOOKCLI, "worker", "run", "--metrics-port", str(port), "--json"],
        env=workers.environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert taken.returncode == 2 and "metrics-port" in taken.stderr
    process.terminate()
    assert process.wait(60) == 0


def test_who_asks_while_nothing_is_found_is_told_so_and_does_not_wait_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_port, "PATIENCE", 0.1)
    answered = threading.Event()
    found = iter(["bookcli_first 1\n"])

    def find() -> str:
        answered.wait(60)
        return next(found)

    board, stopping = metrics_port.Board(find), Stopping()
    tending = threading.Thread(target=board.tend, args=(stopping,))
    tending.start()
    assert read(board.read()) == {"up": {labels(server="database"): 0}}
    answered.set()
    eventually(lambda: board.read() == "bookcli_first 1\n")
    assert board.read() == "bookcli_first 1\n"  # not looked for again: there is no second
    stopping.set()
    tending.join(60)
    assert not tending.is_alive()
