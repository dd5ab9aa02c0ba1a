"""A primary that goes away, in every way it can: what was acknowledged is there afterwards.

What must stay true: the desks are real processes, their journals are on disk before they go on, and the control
without synchronous replication loses bookings, which shows that a loss would be seen.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import redis

from bookcli.core.config import Settings
from bookcli.core.context import Context
from bookcli.core.db import engine, kernel
from bookcli.core.model.requests import BookingRequest, Place
from bookcli.core.services import appointments, cache, checkups
from tests.faults import load
from tests.faults.cluster import Cluster
from tests.faults.conftest import Publish
from tests.faults.journal import finish
from tests.faults.load import Entry, Load
from tests.faults.programs import DEPLOY, wait_until
from tests.people import PASSWORD

WARM, AFTERWARDS = 200, 200
"""Bookings that are acknowledged before the fault, and after it."""

SETTLED = 1.0
"""Seconds after which nothing that was asked for before is still on its way."""

LONGEST_ANSWER = 20.0
"""Seconds: two rounds of the deadline of 8 s, when the second begins just before the first is over, and some."""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Three nodes of which one must have confirmed what another acknowledges."""
    with Cluster(with_redis=False) as running:
        load.fill(running.dsn)
        yield running


@pytest.fixture
def desks(cluster: Cluster, tmp_path: Path, seed: int) -> Iterator[Load]:
    """Desks at work."""
    with Load(cluster.desk_dsn, tmp_path / "journals", seed=seed, owner=cluster.dsn) as working:
        working.wait_for_bookings(WARM)
        yield working


def test_bookings_survive_a_planned_change_of_the_primary() -> None:
    with Cluster() as cluster:
        _run_as_the_containers_do(cluster, ["sh", DEPLOY / "prepare"])
        _run_as_the_containers_do(cluster, ["bookcli", "status", "--json"])
        load.fill(cluster.dsn)
        _run_as_the_containers_do(cluster, ["bookcli", "db", "init", "--manager", "b.okafor"], PASSWORD)
        _run_as_the_containers_do(cluster, ["bookcli", "login", "b.okafor"], PASSWORD, dsn=cluster.desk_dsn)
        settings = Settings(database_url=cluster.desk_dsn, redis_url=cluster.redis_url("desk"))
        with Context(settings) as context:
            assert cache.warm(context) > 0
            before = _book(context, 1)
            seen = {one.check: one for one in checkups.server(context, context.connection())}
            assert (seen["replication"].well, seen["replication"].found) == (True, "2 standbys, synchronous")
            assert seen["pool"].found == "a pool in transaction mode"
            old, new = cluster.switchover()
            cluster.wait_ready()
            after = _book(context, 2)
        assert old != new
        for name in cluster.nodes:
            with engine.connect(cluster.direct_dsn(name)) as connection:
                # A standby that nobody waits for may be a moment behind.
                wait_until(partial(_has, connection, {before, after}), 10, f"{name} has both")
                assert all(violations == 0 for _, violations in kernel.verify(connection))


def _run_as_the_containers_do(
    cluster: Cluster, words: list[str | Path], said: str = "", *, dsn: str | None = None
) -> None:
    """Runs what docker-compose.yml and README.md run: the schema, the worker's health check, the first manager."""
    path = f"{Path(sys.executable).parent}:{os.defpath}"
    addresses = {"BOOKCLI_DATABASE_URL": dsn or cluster.dsn, "BOOKCLI_REDIS_URL": cluster.redis_url("worker")}
    done = subprocess.run(
        ["sh", DEPLOY / "start", *words],
        env={**os.environ, "PATH": path, **addresses},
        input=said,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _book(context: Context, patient: int) -> str:
    (slot,) = context.connection().execute("SELECT max(slot_id) FROM app.slot").fetchone() or (0,)
    outcome = appointments.book(context, BookingRequest(f"P{patient}", "load", Place(slot=slot)))
    assert outcome.outcome == "booked"
    return outcome.verdicts[0].reference or ""


def _has(connection: engine.Connection, references: set[str]) -> bool:
    rows = connection.execute("SELECT app.reference_of(appointment_id) FROM app.appointment").fetchall()
    return {reference for (reference,) in rows} == references


@pytest.mark.soak
def test_a_planned_switchover_under_load(cluster: Cluster, desks: Load, publish: Publish) -> None:
    cluster.switchover()
    assert publish(finish(desks, cluster.dsn)).sound


@pytest.mark.soak
def test_the_primary_dies_with_its_machine(cluster: Cluster, desks: Load, publish: Publish) -> None:
    old = cluster.primary() or ""
    cluster.kill_node(old)
    cluster.wait_for_new_primary(old)
    assert publish(finish(desks, cluster.dsn)).sound
    cluster.start_node(old)
    cluster.wait_ready()
    assert cluster.primary() != old


@pytest.mark.soak
def test_a_standby_dies_with_its_machine(cluster: Cluster, desks: Load, publish: Publish) -> None:
    (standby,) = [one["name"] for one in cluster.members() if one["role"] == "sync_standby"]
    primary = cluster.primary()
    cluster.kill_node(standby)
    assert publish(finish(desks, cluster.dsn)).sound
    assert cluster.primary() == primary


@pytest.mark.soak
def test_only_patroni_dies_on_the_primary(cluster: Cluster, desks: Load, publish: Publish) -> None:
    old = cluster.primary() or ""
    cluster.kill_patroni(old)
    cluster.wait_for_new_primary(old)
    assert publish(finish(desks, cluster.dsn)).sound


@pytest.mark.soak
def test_the_primary_freezes_and_comes_back(cluster: Cluster, desks: Load, publish: Publish) -> None:
    old = cluster.primary() or ""
    cluster.freeze(old)
    cluster.wait_for_new_primary(old)
    desks.wait_for_bookings(AFTERWARDS)
    cluster.thaw(old)
    cluster.wait_ready()
    assert cluster.primary() != old
    assert publish(finish(desks, cluster.dsn)).sound


@pytest.mark.soak
def test_no_booking_is_promised_on_a_single_disk(cluster: Cluster, desks: Load, publish: Publish) -> None:
    stopped = cluster.stop_replicas()
    alone = time.monotonic()
    wait_until(lambda: len(_since(desks, alone + SETTLED, "pending", "unknown")) >= 8, 60, "desks are sent away")
    assert _since(desks, alone + SETTLED, "acknowledged") == []
    for name in stopped:
        cluster.start_node(name)
    cluster.wait_ready()
    assert publish(finish(desks, cluster.dsn)).sound
    assert max(one.answered - one.asked for one in desks.entries()) < LONGEST_ANSWER


def _since(desks: Load, moment: float, *answers: str) -> list[Entry]:
    return [one for one in desks.entries() if one.asked > moment and one.answer in answers]


@pytest.mark.soak
def test_etcd_goes_away_and_comes_back(cluster: Cluster, desks: Load, publish: Publish) -> None:
    cluster.kill_etcd()
    wait_until(lambda: cluster.primary() is None, 60, "the primary gives up its role")
    cluster.start_etcd()
    wait_until(lambda: cluster.primary() is not None, 60, "there is a primary again")
    assert publish(finish(desks, cluster.dsn)).sound


@pytest.mark.soak
def test_the_pool_is_killed_and_started_again(cluster: Cluster, desks: Load, publish: Publish) -> None:
    for _ in range(3):
        cluster.kill_pgbouncer()
        cluster.start_pgbouncer()
        desks.wait_for_bookings(AFTERWARDS)
    assert publish(finish(desks, cluster.dsn)).sound


@pytest.mark.soak
def test_the_queue_leads_to_another_valkey_when_its_primary_dies() -> None:
    with Cluster() as cluster, redis.Redis.from_url(cluster.redis_url("worker"), socket_timeout=1) as queue:
        wait_until(lambda: _answers(queue), 30, "the queue answers")
        old = cluster.kill_redis_primary()
        wait_until(lambda: _answers(queue), 60, "the queue answers again")
        wait_until(lambda: cluster.redis_primary() != old, 60, "every Sentinel has heard of it")
        queue.set("rq:after", "1")
        cluster.start_redis(old)
        wait_until(lambda: queue.info("replication")["connected_slaves"] == 1, 60, "the old primary follows")
        assert queue.get("rq:after") == b"1"


def _answers(queue: redis.Redis) -> bool:
    try:
        return bool(queue.ping()) and queue.info("replication")["role"] == "master"
    except redis.RedisError:
        return False


@pytest.mark.soak
def test_without_synchronous_replication_bookings_are_lost(tmp_path: Path, seed: int, publish: Publish) -> None:
    with Cluster(synchronous=False, with_redis=False) as cluster:
        load.fill(cluster.dsn)
        with Load(cluster.desk_dsn, tmp_path / "journals", seed=seed, owner=cluster.dsn) as desks:
            desks.wait_for_bookings(WARM)
            cluster.stall_replicas()
            desks.wait_for_bookings(100)
            old = cluster.primary() or ""
            cluster.kill_node(old)
            cluster.unstall_replicas()
            cluster.wait_for_new_primary(old)
            findings = publish(finish(desks, cluster.dsn))
    assert findings.lost
