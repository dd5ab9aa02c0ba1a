"""A primary that goes away, in every way it can: what was acknowledged is there afterwards.

What must stay true: the desks are real processes, their journals are on disk before they go on, and the control
without synchronous replication loses bookings, which shows that a loss would be seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bookcli.core.config import Settings
from bookcli.core.context import Context
from bookcli.core.db import engine, kernel
from bookcli.core.model.requests import BookingRequest, Place
from bookcli.core.services import appointments
from tests.faults import load
from tests.faults.cluster import Cluster
from tests.faults.conftest import Publish
from tests.faults.journal import Findings, judge
from tests.faults.load import Load

WARM, AFTERWARDS = 200, 200
"""Bookings that are acknowledged before the fault, and after it."""


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Three nodes of which one must have confirmed what another acknowledges."""
    with Cluster(with_redis=False) as running:
        load.fill(running.dsn)
        yield running


@pytest.fixture
def desks(cluster: Cluster, tmp_path: Path, seed: int) -> Iterator[Load]:
    """Desks at work."""
    with Load(cluster.dsn, tmp_path / "journals", seed=seed) as working:
        working.wait_for_bookings(WARM)
        yield working


def finish(cluster: Cluster, desks: Load, publish: Publish) -> Findings:
    """Lets the desks work a while longer, sends them home and compares."""
    desks.wait_for_bookings(AFTERWARDS)
    desks.__exit__()
    findings = judge(desks, cluster.dsn)
    publish(findings)
    return findings


def test_bookings_survive_a_planned_change_of_the_primary() -> None:
    with Cluster() as cluster:
        load.fill(cluster.dsn)
        with Context(Settings(database_url=cluster.dsn)) as context:
            before = _book(context, 1)
            old, new = cluster.switchover()
            cluster.wait_ready()
            after = _book(context, 2)
        assert old != new
        for name in cluster.nodes:
            with engine.connect(cluster.direct_dsn(name)) as connection:
                references = connection.execute("SELECT app.reference_of(appointment_id) FROM app.appointment")
                assert {reference for (reference,) in references} == {before, after}, name
                assert all(violations == 0 for _, violations in kernel.verify(connection))


def _book(context: Context, patient: int) -> str:
    (slot,) = context.connection().execute("SELECT max(slot_id) FROM app.slot").fetchone() or (0,)
    outcome = appointments.book(context, BookingRequest(f"P{patient}", "load", Place(slot=slot)))
    assert outcome.outcome == "booked"
    return outcome.verdicts[0].reference or ""


@pytest.mark.soak
def test_a_planned_switchover_under_load(cluster: Cluster, desks: Load, publish: Publish) -> None:
    cluster.switchover()
    assert finish(cluster, desks, publish).sound


@pytest.mark.soak
def test_the_primary_dies_with_its_machine(cluster: Cluster, desks: Load, publish: Publish) -> None:
    old = cluster.primary() or ""
    cluster.kill_node(old)
    cluster.wait_for_new_primary(old)
    findings = finish(cluster, desks, publish)
    assert findings.sound
    cluster.start_node(old)
    cluster.wait_ready()


@pytest.mark.soak
def test_only_patroni_dies_on_the_primary(cluster: Cluster, desks: Load, publish: Publish) -> None:
    old = cluster.primary() or ""
    cluster.kill_patroni(old)
    cluster.wait_for_new_primary(old)
    assert finish(cluster, desks, publish).sound


@pytest.mark.soak
def test_the_primary_freezes_and_comes_back(cluster: Cluster, desks: Load, publish: Publish) -> None:
    old = cluster.primary() or ""
    cluster.freeze(old)
    cluster.wait_for_new_primary(old)
    desks.wait_for_bookings(AFTERWARDS)
    cluster.thaw(old)
    cluster.wait_ready()
    assert cluster.primary() != old
    assert finish(cluster, desks, publish).sound


@pytest.mark.soak
def test_without_synchronous_replication_bookings_are_lost(tmp_path: Path, seed: int, publish: Publish) -> None:
    with Cluster(synchronous=False, with_redis=False) as cluster:
        load.fill(cluster.dsn)
        with Load(cluster.dsn, tmp_path / "journals", seed=seed) as desks:
            desks.wait_for_bookings(WARM)
            cluster.stall_replicas()
            desks.wait_for_bookings(20)
            old = cluster.primary() or ""
            cluster.kill_node(old)
            cluster.unstall_replicas()
            cluster.wait_for_new_primary(old)
            findings = finish(cluster, desks, publish)
    assert findings.lost
