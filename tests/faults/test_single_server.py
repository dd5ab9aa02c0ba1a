"""One PostgreSQL that is killed, hurt or frozen, and a pool without room, while desks book.

What must stay true: the server is this module's own, so that no other test sees it fall.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bookcli.core.adapters import embedded
from bookcli.core.config import Settings
from tests.faults import load, outages
from tests.faults.conftest import Publish
from tests.faults.journal import finish
from tests.faults.load import Load
from tests.faults.programs import postgres_processes, signal_all, wait_until
from tests.pooler import occupied, pooled
from tests.servers import OLDEST, SYSTEM_PROGRAMS, Server

pytestmark = pytest.mark.soak

WARM = 200


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A PostgreSQL that may be broken."""
    server = Server(OLDEST)
    try:
        yield server
    finally:
        signal_all(postgres_processes(server.paths.postgres), signal.SIGCONT)
        server.stop()


@pytest.fixture
def ground(own_server: Server) -> Iterator[str]:
    """The address of a database that is ready to be booked in."""
    dsn = own_server.lend(own_server.template("load_template", load.fill))
    with psycopg.connect(dsn, autocommit=True) as connection:
        # The sequences of a copy go back to where they were copied when the server crashes before its next checkpoint:
        # the template has already logged the numbers up to 32 beyond.
        connection.execute("CHECKPOINT")
    yield dsn
    own_server.take_back(dsn)


@pytest.fixture
def desks(ground: str, tmp_path: Path, seed: int) -> Iterator[Load]:
    """Desks at work."""
    with Load(ground, tmp_path / "journals", seed=seed) as working:
        working.wait_for_bookings(WARM)
        yield working


def test_the_postmaster_is_killed(own_server: Server, ground: str, desks: Load, publish: Publish) -> None:
    signal_all(postgres_processes(own_server.paths.postgres)[:1], signal.SIGKILL)
    settings = Settings(postgres_bin=str(SYSTEM_PROGRAMS), deadline="60")
    embedded.ensure_postgres(own_server.paths, settings)
    assert publish(finish(desks, ground)).sound


def test_one_backend_is_killed(ground: str, desks: Load, publish: Publish) -> None:
    with psycopg.connect(ground, autocommit=True) as connection:
        row = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'bookcli/%' AND pid <> pg_backend_pid()"
            " AND datname = current_database() LIMIT 1"
        ).fetchone()
    assert row is not None
    signal_all([row[0]], signal.SIGKILL)
    assert publish(finish(desks, ground)).sound


def test_the_whole_server_freezes_and_thaws(own_server: Server, ground: str, desks: Load, publish: Publish) -> None:
    family = postgres_processes(own_server.paths.postgres)
    frozen = time.monotonic()
    signal_all(family, signal.SIGSTOP)
    try:
        wait_until(lambda: _told_since(desks, frozen + 1, "unknown", "pending") >= 4, 60, "the desks are told")
    finally:
        signal_all(family, signal.SIGCONT)
    assert publish(finish(desks, ground)).sound


def test_the_disk_of_the_wal_is_full(
    own_server: Server, ground: str, tmp_path: Path, seed: int, publish: Publish
) -> None:
    with outages.wal_disk(own_server) as without_room, Load(ground, tmp_path / "journals", seed=seed) as desks:
        desks.wait_for_bookings(WARM)
        full = time.monotonic()
        with without_room(ground):
            wait_until(lambda: _told_since(desks, full, "pending") >= 4, 60, "the desks hear that it is away")
        assert any("PANIC" in log.read_text(errors="replace") for log in own_server.home.rglob("*.log"))
        assert publish(finish(desks, ground)).sound


def test_the_pool_has_no_room(ground: str, tmp_path: Path, seed: int, publish: Publish) -> None:
    with (
        pooled(ground, size=2) as address,
        Load(address, tmp_path / "journals", processes=6, seed=seed) as desks,
    ):
        desks.wait_for_bookings(WARM)
        with occupied(address, 2):
            wait_until(lambda: _told_since(desks, 0, "pending") >= 6, 60, "the desks hear that there is no room")
        findings = publish(finish(desks, address))
    assert findings.sound
    assert findings.ambiguous == 0, "a question that waited for a place was never asked"


def test_the_server_has_no_connection_left(ground: str, desks: Load, publish: Publish) -> None:
    with contextlib.ExitStack() as held:
        first = held.enter_context(psycopg.connect(ground, autocommit=True))
        full = time.monotonic()

        def sent_away() -> bool:
            first.execute(_END_THE_DESKS_CONNECTIONS)
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    held.enter_context(psycopg.connect(ground, autocommit=True))
            return _told_since(desks, full, "pending") >= 20

        wait_until(sent_away, 60, "the desks hear that there is no connection")
    assert publish(finish(desks, ground)).sound


def test_the_lock_table_is_full(ground: str, desks: Load, publish: Publish) -> None:
    with psycopg.connect(ground) as hoarder:
        hoarder.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        full = time.monotonic()

        def sent_away() -> bool:
            with contextlib.suppress(psycopg.errors.OutOfMemory):
                while True:
                    with hoarder.transaction():
                        hoarder.execute(_TAKE_LOCKS, [next(numbers) * LOCKS_AT_ONCE] * 2)
            return _told_since(desks, full, "pending") >= 4

        numbers = itertools.count()
        wait_until(sent_away, 60, "the desks hear that there is no memory for locks")
        hoarder.rollback()
    assert publish(finish(desks, ground)).sound


_END_THE_DESKS_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'bookcli/%'"
)
LOCKS_AT_ONCE = 5
_TAKE_LOCKS = f"SELECT pg_advisory_xact_lock(9, n) FROM generate_series(%s + 1, %s + {LOCKS_AT_ONCE}) n"


def _told_since(desks: Load, moment: float, *answers: str) -> int:
    return sum(entry.answered > moment and entry.answer in answers for entry in desks.entries())
