"""What workers do by themselves: keep the cache warm, open slots ahead; and that one sees when it was last done."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bookcli.core.context import Context
from bookcli.core.db import kernel
from bookcli.core.services import cache, checkups, desk, notifications, schedules, tasks
from tests.clinic import Clinic
from tests.valkeys import Valkey
from tests.worker.conftest import BOOKCLI, Workers, book, eventually
from worker import timetable

HOURS = {
    "site": "north",
    "resource": "lab",
    "weekdays": "mon-sun",
    "opens": "17:00",
    "closes": "18:00",
    "slot_minutes": "20",
    "capacity": "2",
}
DAYS, A_DAY = 6, 3


@pytest.fixture
def publishing(working: Context, clinic: Clinic) -> Iterator[Context]:
    """A worker that opens what the hours of the laboratory say of the next six days."""
    assert schedules.add(clinic.context, HOURS) == 7
    settings = dataclasses.replace(working.settings, publish_days=str(DAYS))
    with Context(settings, working.paths) as context:
        notifications.sign_in_worker(context)
        yield context


def evening_slots(clinic: Clinic) -> int:
    return int(clinic.row("SELECT count(*) FROM slot WHERE local_start::time >= '17:00'")[0])


def test_slots_are_opened_ahead_once_as_the_hours_say(publishing: Context, clinic: Clinic) -> None:
    assert schedules.publish_ahead(publishing) == DAYS * A_DAY == evening_slots(clinic)
    assert schedules.publish_ahead(publishing) == 0
    assert clinic.rows("SELECT DISTINCT capacity FROM slot WHERE local_start::time >= '17:00'") == [(2,)]
    assert clinic.sound()


def test_nothing_is_opened_ahead_unless_it_was_set(working: Context, clinic: Clinic) -> None:
    schedules.add(clinic.context, HOURS)
    assert schedules.publish_ahead(working) == 0 == evening_slots(clinic)


def test_what_the_hours_do_not_say_a_worker_does_not_open(publishing: Context, clinic: Clinic) -> None:
    first = clinic.day() + timedelta(days=2)
    start, resource = clinic.row(
        "SELECT (%s::date + time '17:20') AT TIME ZONE 'Europe/Berlin', resource_id FROM resource WHERE code = 'lab'",
        (first,),
    )

    def row(later: int = 0, minutes: int = 20, **other: Any) -> dict[str, Any]:
        begins = start + timedelta(minutes=later)
        local = f"{first}T{17 + (20 + later) // 60:02}:{(20 + later) % 60:02}:00"
        ends = begins + timedelta(minutes=minutes)
        times = {"starts_at": begins.isoformat(), "ends_at": ends.isoformat(), "local_start": local}
        return {"resource_id": resource, **times, "capacity": 2, **other}

    (other_resource,) = clinic.row("SELECT resource_id FROM resource WHERE code = 'mri-1'")
    wrong = [
        *(row(later) for later in (7, 40, -40, 60 * 4)),
        *(row(minutes=minutes) for minutes in (10, 40)),
        row(capacity=3),
        row(local_start=f"{first}T17:00:00"),
        row(resource_id=other_resource),
    ]
    connection = publishing.connection()
    assert [kernel.publish_hours(connection, [one]) for one in wrong] == [0] * len(wrong)
    clinic.run("UPDATE schedule SET valid = daterange(NULL, %s)", (first,))
    assert kernel.publish_hours(connection, [row()]) == 0
    clinic.run("UPDATE schedule SET valid = daterange(NULL, NULL)")
    assert kernel.publish_hours(connection, [row()]) == 1 == evening_slots(clinic)


def test_two_workers_open_every_slot_once(publishing: Context, clinic: Clinic, workers: Workers) -> None:
    workers.environment["BOOKCLI_PUBLISH_DAYS"] = str(DAYS)
    for _ in range(2):
        workers.start("--processes", "1")
    eventually(lambda: evening_slots(clinic) == DAYS * A_DAY)
    audited = "SELECT sum((after ->> 'slots')::integer) FROM audit WHERE action = 'publish' AND actor = 'tests_worker'"
    assert clinic.row(audited) == (DAYS * A_DAY,)


def test_the_cache_is_filled_ahead_and_only_where_it_is_empty(working: Context, valkey: Valkey) -> None:
    kept = cache.keep_warm(working, seconds=60)
    assert kept == len(cache.show(working).entries) > 14
    assert cache.keep_warm(working, seconds=60) == 0
    gone = [key for key in valkey.client.scan_iter("bookcli:slots:*:mri:*") if not key.endswith(b":lease")]
    valkey.client.delete(*gone)
    assert cache.keep_warm(working, seconds=60) == len(gone) > 0


def test_a_short_round_of_warming_is_continued_by_the_next(working: Context) -> None:
    rounds = 0
    while cache.keep_warm(working, seconds=0):
        rounds += 1
    assert rounds > 1 and cache.keep_warm(working, seconds=60) == 0


def test_no_day_is_kept_warm_when_none_is_wanted(working: Context) -> None:
    with Context(dataclasses.replace(working.settings, warm_days="0"), working.paths) as context:
        notifications.sign_in_worker(context)
        assert cache.keep_warm(context) == 0


def test_places_of_holds_that_are_over_come_back_by_the_timetable(working: Context, clinic: Clinic) -> None:
    from bookcli.core.services import appointments

    appointments.hold(clinic.context, clinic.request(1, "mri", clinic.slot("mri")))
    clinic.run("UPDATE appointment SET held_until = now() - interval '1 s'")
    (holds,) = [task for task in timetable.TASKS if task.name == "holds"]
    assert timetable.do(working, holds) == 1
    (run,) = tasks.last_runs(working)
    assert (run.task, run.done, run.problem) == ("holds", 1, "") and 0 <= run.age < 60


def status(workers: Workers, *words: str) -> Any:
    done = subprocess.run(
        [*words, "status", "--json"], env=workers.environment, capture_output=True, text=True, timeout=60, check=True
    )
    (state,) = json.loads(done.stdout)["worker"]
    return state


def test_the_state_of_the_workers_is_seen(clinic: Clinic, workers: Workers) -> None:
    process = workers.start("--processes", "2")
    wanted = {task.name for task in timetable.TASKS}
    eventually(lambda: {one["task"] for one in status(workers, BOOKCLI, "worker")["tasks"]} == wanted)
    book(clinic, 1)
    clinic.run("UPDATE notification SET reason = 'smtp-refused', due_at = now() + interval '1 h', leased_until = NULL")
    state = status(workers, sys.executable, "-m", "worker")
    assert state["workers"] == 2 == len(state["alive"])
    assert all(one["pid"] and one["host"] and one["since"] for one in state["alive"])
    assert not state["paused"] and state["failed_jobs"] == 0
    said = subprocess.run(
        [BOOKCLI, "worker", "status", "-o", "table"], env=workers.environment, capture_output=True, text=True
    ).stdout
    assert said.startswith("2 workers, ") and "holds: 0 done, last " in said
    process.terminate()
    assert process.wait(60) == 0


def test_what_stands_in_the_way_of_messages_is_in_the_state(clinic: Clinic, workers: Workers, tmp_path: Path) -> None:
    book(clinic, 2)
    clinic.run("UPDATE notification SET reason = 'smtp-refused'")
    state = status(workers, BOOKCLI, "worker")
    assert state["put_off"] == {"smtp-refused": 2} and state["due"] == 2
    workers.environment["BOOKCLI_DATABASE_URL"] = clinic.context.dsn
    workers.environment["BOOKCLI_HOME"] = str(tmp_path / "nobody")
    assert status(workers, BOOKCLI, "worker")["due"] is None  # nobody is signed in there
    assert state["workers"] == 0 and state["alive"] == []


def test_messages_that_wait_for_no_worker_are_found_by_the_doctor_and_seen_at_the_desk(
    working: Context, clinic: Clinic
) -> None:
    def finding() -> Any:
        (found,) = [one for one in checkups.server(working, working.connection()) if one.check == "workers"]
        return found

    assert finding().well and finding().found == "no worker was seen"
    assert (desk.look(working).worker, desk.waits_for_a_worker(working)) == ("ok", False)
    book(clinic, 1)
    assert not finding().well and "bookcli worker run" in finding().advice
    assert (desk.look(working).worker, desk.waits_for_a_worker(working)) == ("unseen", True)
    timetable.do(working, timetable.TASKS[0])
    assert finding().well
    assert (desk.look(working).worker, desk.waits_for_a_worker(working)) == ("ok", False)
