"""Desks and workers at their work, as the users of .deploy/redis-users.acl: Redis refuses them nothing they need.

What must stay true: what a user was refused is read from the server's own log, for the cache goes on without it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from bookcli.core.adapters import slot_cache, wake_up
from bookcli.core.adapters.breaker import Breaker
from bookcli.core.adapters.slot_cache import SlotCache
from bookcli.core.config import Settings
from bookcli.core.context import Context
from bookcli.core.errors import Unavailable
from bookcli.core.model.availability import Change, Day, Reading
from bookcli.core.model.slots import Search, Slot
from bookcli.core.services import appointments, availability_changes, cache, checkups, notifications, pending, slots
from tests.caching import NAME
from tests.clinic import Clinic
from tests.faults.redis_users import PROGRAMS, Server, running
from tests.servers import login_as
from tests.worker.conftest import MAIL_FROM, Workers, eventually, states
from tests.worker.mail_server import MailServer
from worker import control
from worker.wake_ups import Ear

USERS = ("desk", "worker")
DAY = Day("north", "mri", date(2030, 6, 3))
START = datetime(2030, 6, 3, 6, tzinfo=UTC)


@pytest.fixture(scope="module", params=PROGRAMS)
def running_redis(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param) as started:
        yield started


@pytest.fixture
def redis_server(running_redis: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """An empty server that has refused nobody anything and knows no scripts; it is waited for as long as it takes."""
    monkeypatch.setattr(slot_cache, "SECONDS", 10)
    with running_redis.user("tester") as tester:
        tester.flushall()
        tester.script_flush()
        tester.acl_log_reset()
    return running_redis


@contextlib.contextmanager
def _cache(server: Server, user: str, directory: Path) -> Iterator[SlotCache]:
    opened = SlotCache(server.url(user), "test", 3600, Breaker(directory / user))
    yield opened
    opened.close()


def _slot(version: int, remaining: int) -> Slot:
    end = START + timedelta(minutes=30)
    return Slot(1, "north", "Europe/Berlin", "mri", "mri-1", START, end, 4, remaining, "free", version)


def _reading(slot: Slot) -> Reading:
    return Reading(START - timedelta(days=1), "Europe/Berlin", True, (slot,))


def _remaining(kept: SlotCache) -> int | None:
    (entry,) = kept.days([DAY]) or [None]
    return entry.reading.slots[0].remaining if entry is not None else None


@pytest.mark.parametrize("user", USERS)
def test_the_cache_may_do_all_it_does(redis_server: Server, tmp_path: Path, user: str) -> None:
    with _cache(redis_server, user, tmp_path) as kept:
        lease = kept.lease([DAY])
        assert lease.keys == {kept.key(DAY)}
        kept.release(lease)
        # Everything twice: a script is sent as it is when the server does not know it, and by its name afterwards.
        for version in (1, 3):
            assert kept.fill(kept.lease([DAY], anyway=True), DAY, _reading(_slot(version, 4)), 0.0)
            kept.changed(Change("north", "mri-1", DAY.day, {1: (version + 1, 4, version)}))
            assert _remaining(kept) == version
            kept.forget("north", [DAY.day])
            assert _remaining(kept) is None
        for hits in (1, 2):
            kept.count(hit=True)
            assert kept.ratio() == (hits, 0)
        assert kept.fill(kept.lease([DAY]), DAY, _reading(_slot(5, 2)), 0.0)
        assert (kept.kept(), kept.drop("north"), kept.kept(), kept.drop()) == ([DAY], 1, [], 0)
        assert kept.ratio() == (0, 0)
    assert redis_server.refused(user) == set()


@pytest.mark.parametrize("user", USERS)
def test_what_has_changed_is_told_and_heard(redis_server: Server, tmp_path: Path, user: str) -> None:
    with _cache(redis_server, user, tmp_path) as kept, _cache(redis_server, "desk", tmp_path) as desk:
        heard = kept.listen(["north"], 0.01)
        assert next(heard) is None
        desk.forget("north", [DAY.day])
        assert next(one for one in heard if one is not None) == ("north", DAY.day)
    assert redis_server.refused(user) == redis_server.refused("desk") == set()


@pytest.mark.parametrize("user", USERS)
def test_workers_are_woken_by_whoever_has_something_to_send(redis_server: Server, tmp_path: Path, user: str) -> None:
    with (
        redis_server.user("worker") as client,
        redis_server.user("tester") as tester,
        contextlib.closing(Ear(client)) as ear,
        _cache(redis_server, user, tmp_path) as kept,
    ):
        ear.wait(0.01)
        until = time.monotonic() + 60
        while tester.pubsub_numsub(wake_up.CHANNEL) != [(wake_up.CHANNEL, 1)]:
            assert time.monotonic() < until, "the worker does not listen"
        wake_up.nudge(kept)
        ear.wait(60)
        assert time.monotonic() < until, "the worker heard nothing"
    assert redis_server.refused(user) == redis_server.refused("worker") == set()


@pytest.fixture
def at_desk(clinic: Clinic, redis_server: Server, tmp_path: Path) -> Iterator[Context]:
    """A desk of the clinic whose Redis knows it as `desk`; what it cannot send at once is copied there."""
    with Context(_settings(clinic, redis_server, "desk", tmp_path), clinic.context.paths) as desk:
        yield desk


@pytest.fixture
def at_worker(clinic: Clinic, redis_server: Server, tmp_path: Path) -> Iterator[Context]:
    """A worker of the clinic whose Redis knows it as `worker`."""
    with Context(_settings(clinic, redis_server, "worker", tmp_path), clinic.context.paths) as worker:
        notifications.sign_in_worker(worker)
        yield worker


def _settings(clinic: Clinic, server: Server, user: str, directory: Path) -> Settings:
    key = directory / "pending.key"
    if not key.exists():
        key.touch(0o600)
        key.write_text("ab" * 32)
    return dataclasses.replace(
        clinic.context.settings,
        database_url=login_as(clinic.owner_dsn, user),
        redis_url=server.url(user),
        cache_name=NAME,
        cache_soft_seconds="3600",
        pending_key=str(key),
    )


def test_a_desk_works_as_the_user_of_desks(clinic: Clinic, redis_server: Server, at_desk: Context) -> None:
    day = clinic.day(1)
    assert cache.warm(at_desk, site="north", days=3) == 9
    assert len(cache.show(at_desk).entries) == 9
    search = Search("blood", (day, day), ["north"], most=1)
    assert slots.find(at_desk, search)[0].remaining == 4
    outcome = appointments.book(at_desk, clinic.request(1, "blood", clinic.slot("blood")))
    assert outcome.outcome == "booked" and slots.find(at_desk, search)[0].remaining == 3
    appointments.cancel(at_desk, outcome.verdicts[0].reference or "")
    assert slots.find(at_desk, search)[0].remaining == 4
    state = cache.show(at_desk)
    assert (state.hits, state.searches) == (3, 3)
    availability_changes.days_changed(at_desk, ["north"], day, day)
    assert [entry for entry in cache.show(at_desk).entries if entry.day == day] == []
    availability_changes.catalog_changed(at_desk)
    assert cache.show(at_desk).entries == [] and cache.drop(at_desk) == 0
    assert redis_server.refused("desk") == set()


def test_a_request_that_waits_is_copied_withdrawn_and_sent_by_a_worker(
    clinic: Clinic, redis_server: Server, at_desk: Context, at_worker: Context
) -> None:
    for patient in (1, 2):
        at_desk.away(Unavailable("away", code="database-away"))
        request = clinic.request(patient, "blood", clinic.slot("blood"))
        assert appointments.book(at_desk, request).outcome == "pending"
    pending.drop(at_desk, pending.find(at_desk, str(request.key)))
    assert pending.replay_copies(at_worker) == 1 and pending.replay_copies(at_worker) == 0
    assert clinic.row("SELECT count(*) FROM appointment") == (1,)
    assert redis_server.refused("desk") == redis_server.refused("worker") == set()


@pytest.fixture
def mail() -> Iterator[MailServer]:
    server = MailServer()
    server.start()
    yield server
    server.stop()


def test_a_worker_works_as_the_user_of_workers(
    clinic: Clinic, redis_server: Server, at_desk: Context, at_worker: Context, mail: MailServer
) -> None:
    clinic.run("UPDATE patient SET email = 'p' || patient_id || '@patients.example'")
    environment = {
        **os.environ,
        "BOOKCLI_DATABASE_URL": at_worker.settings.database_url or "",
        "BOOKCLI_REDIS_URL": redis_server.url("worker"),
        "BOOKCLI_SMTP_URL": mail.url,
        "BOOKCLI_MAIL_FROM": MAIL_FROM,
    }
    with contextlib.closing(Workers(environment)) as crew:
        working = crew.start()
        eventually(lambda: control.status(at_worker)["workers"] == 2)
        control.pause(at_worker)
        assert control.status(at_worker)["paused"]
        control.go_on(at_worker)
        assert appointments.book(at_desk, clinic.request(1, "blood", clinic.slot("blood"))).outcome == "booked"
        mail.await_messages(1)
        eventually(lambda: states(clinic) == {"sent": 1})
        working.send_signal(signal.SIGTERM)
        assert working.wait(60) == 0
    assert cache.warm(at_worker, site="north", days=3) == 9 and cache.drop(at_worker) == 9
    assert redis_server.refused("worker") == redis_server.refused("desk") == set()


def test_a_doctor_who_may_not_ask_redis_how_it_is_says_so(
    clinic: Clinic, redis_server: Server, at_desk: Context, at_worker: Context
) -> None:
    (finding,) = checkups.queue(at_desk)
    assert (finding.well, finding.found) == (True, "This user of Redis may not ask it how it is.")
    assert redis_server.refused("desk") == {"toplevel info"}
    assert [one.check for one in checkups.queue(at_worker)][:2] == ["queue", "queue policy"]
    assert redis_server.refused("worker") == set()


def test_a_refusal_would_be_seen(redis_server: Server, tmp_path: Path) -> None:
    with redis_server.user("tester") as tester, _cache(redis_server, "desk", tmp_path) as kept:
        try:
            tester.execute_command("ACL", "SETUSER", "desk", "clearselectors")
            assert not kept.lease([DAY]).keys
            assert redis_server.refused("desk") != set()
        finally:
            tester.execute_command("ACL", "LOAD")
