"""What goes wrong beside the database, or is done to it on purpose, while desks book: nobody is told what is not so.

What must stay true: the desks work on a server that other tests share, so nothing here stops it.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bookcli.core import clock
from bookcli.core.config import Settings, paths
from bookcli.core.context import Context
from bookcli.core.db import engine, gateway, schema, upgrades
from bookcli.core.model.slots import Search
from bookcli.core.services import database as databases
from bookcli.core.services import slots
from tests import caching
from tests.clinic import STAFF, sign_in
from tests.faults import load, outages
from tests.faults.conftest import Publish
from tests.faults.journal import finish
from tests.faults.load import CAPACITIES, Load
from tests.faults.programs import wait_until
from tests.faults.proxy import SlowNetwork
from tests.servers import Server
from tests.valkeys import Valkey
from tests.valkeys import valkey as own_valkey

SHORT_AND_LONG = pytest.mark.parametrize(
    "many", [pytest.param(20, id="short"), pytest.param(400, id="long", marks=pytest.mark.soak)]
)


@pytest.fixture
def ground(server: Server) -> Iterator[str]:
    """The address of a database that is ready to be booked in."""
    dsn = server.lend(server.template("load_template", load.fill))
    yield dsn
    server.take_back(dsn)


def _kill(redis: Valkey) -> Callable[[], None]:
    redis.stop()
    return redis.start


def _freeze(redis: Valkey) -> Callable[[], None]:
    redis.freeze()
    return redis.thaw


def _flush(redis: Valkey) -> Callable[[], None]:
    redis.client.flushall()
    return lambda: None


def _replica(redis: Valkey) -> Callable[[], None]:
    redis.client.replicaof("127.0.0.1", "1")
    return lambda: bool(redis.client.replicaof("NO", "ONE"))


def _full(redis: Valkey) -> Callable[[], None]:
    redis.client.config_set("maxmemory", "1")
    return lambda: bool(redis.client.config_set("maxmemory", "0"))


@SHORT_AND_LONG
@pytest.mark.parametrize("fault", [_kill, _freeze, _flush, _replica, _full], ids=lambda one: one.__name__.strip("_"))
def test_redis_fails(
    ground: str,
    tmp_path: Path,
    seed: int,
    publish: Publish,
    many: int,
    fault: Callable[[Valkey], Callable[[], None]],
) -> None:
    first = clock.now().astimezone(UTC).date() + timedelta(days=2)
    search = Search("load", (first, first + timedelta(days=3)), most=10_000, everything=True)
    with own_valkey() as redis:
        cached = Settings(database_url=ground, redis_url=redis.url, cache_soft_seconds="60")
        installation = paths({"BOOKCLI_HOME": str(tmp_path / "looking")})
        with Context(cached, installation) as desk:
            sign_in(desk)
            slots.find(desk, search)
        with Load(ground, tmp_path / "journals", seed=seed, processes=2, redis_url=redis.url) as desks:
            desks.wait_for_bookings(many)
            mend = fault(redis)
            try:
                desks.wait_for_bookings(many)
            finally:
                mend()
            findings = publish(finish(desks, ground, many))
        assert findings.sound
        assert (findings.pending, findings.ambiguous) == (0, 0), "Redis decides nothing"
        caching.age(redis.client, 3600)
        with Context(cached, installation) as desk, Context(Settings(database_url=ground), installation) as plain:
            assert slots.find(desk, search) == slots.find(plain, search)


@contextlib.contextmanager
def _meanwhile(dsn: str, work: Callable[[engine.Connection], None]) -> Iterator[list[BaseException]]:
    """Does something again and again over a connection of whoever runs the server, until the block ends."""
    stop, problems = threading.Event(), list[BaseException]()

    def run() -> None:
        with engine.connect(dsn) as connection:
            connection.token, _ = gateway.sign_in_here(connection, STAFF)
            try:
                while not stop.wait(0.01):
                    work(connection)
            except BaseException as problem:  # noqa: BLE001 - the test must see it
                problems.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield problems
    finally:
        stop.set()
        thread.join()


@SHORT_AND_LONG
def test_capacities_are_cut_and_slots_closed(
    ground: str, tmp_path: Path, seed: int, publish: Publish, many: int
) -> None:
    chance, verdicts = random.Random(seed), list[str]()

    def manage(connection: engine.Connection) -> None:
        slot, capacity = chance.randrange(1, 4 * load.TIMES + 1), chance.choice((1, *CAPACITIES))
        statement = b"SELECT verdict FROM app.set_capacity(%s, %s, %s)"
        (verdict,) = connection.execute(statement, (slot, capacity, connection.token)).fetchone() or ("",)
        verdicts.append(verdict)
        start = datetime.now(UTC) + timedelta(days=2, minutes=chance.randrange(3000))
        closing = b"SELECT app.close_period(1, %s, tstzrange(%s, %s), 'x', %s)"
        resource = chance.randrange(1, 5)
        connection.execute(closing, (resource, start, start + timedelta(hours=2), connection.token))
        (newest,) = connection.execute(b"SELECT max(closure_id) FROM app.closure").fetchone() or (0,)
        connection.execute(b"SELECT app.reopen(%s, %s)", (newest, connection.token))

    with Load(ground, tmp_path / "journals", seed=seed, processes=2) as desks:
        with _meanwhile(ground, manage) as problems:
            desks.wait_for_bookings(many)
            wait_until(lambda: len(set(verdicts)) > 1 or bool(problems), 60, "a capacity was cut, and one was not")
        assert problems == []
        assert publish(finish(desks, ground, many)).sound


@SHORT_AND_LONG
def test_the_schema_is_migrated(
    ground: str, tmp_path: Path, seed: int, publish: Publish, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {number: tmp_path / f"{number}.sql" for number in range(2, 7)}
    for number, file in files.items():
        file.write_text(f"ALTER TABLE appointment ADD COLUMN step_{number} text; CREATE INDEX ON slot (version)")
    monkeypatch.setattr(upgrades, "files", lambda: files)
    monkeypatch.setattr(schema, "VERSION", max(files))
    with Load(ground, tmp_path / "journals", seed=seed, processes=2) as desks:
        desks.wait_for_bookings(many)
        with Context(Settings(database_url=ground)) as administrator:
            assert databases.upgrade(administrator) == list(files)
        findings = publish(finish(desks, ground, many))
    assert findings.sound
    assert (findings.pending, findings.ambiguous) == (0, 0), "nobody is sent away for a migration"


@SHORT_AND_LONG
def test_the_disk_is_full(server: Server, ground: str, tmp_path: Path, seed: int, publish: Publish, many: int) -> None:
    with Load(ground, tmp_path / "journals", seed=seed, processes=2) as desks:
        desks.wait_for_bookings(many)
        with outages.disk_full(server, ground):
            wait_until(lambda: sum(one.answer == "pending" for one in desks.entries()) >= 4, 60, "no room is told")
        findings = publish(finish(desks, ground, many))
    assert findings.sound
    assert findings.pending >= 4


@SHORT_AND_LONG
def test_the_network_is_slow_and_loses_messages(
    ground: str, tmp_path: Path, seed: int, publish: Publish, many: int
) -> None:
    with tempfile.TemporaryDirectory(prefix="bookcli-", dir="/tmp") as directory:
        network = SlowNetwork(ground, Path(directory), seed)
        with (
            contextlib.closing(network),
            Load(network.dsn, tmp_path / "journals", seed=seed, processes=2 + many // 100) as desks,
        ):
            desks.wait_for_bookings(many, 180)
            wait_until(lambda: min(network.lost, network.late) >= many // 20, 120, "enough was lost and late")
            network.calm.set()
            findings = publish(finish(desks, network.dsn, many))
    assert findings.sound
