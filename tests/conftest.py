"""What every test may use: real servers, a fresh database, a context on it, a small clinic in it.

What must stay true: a test sees nothing of the developer's own settings, servers or files, and leaves nothing behind.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bookcli.core import clock
from bookcli.core.config import Paths, Settings
from bookcli.core.context import Context
from bookcli.core.db import engine, gateway
from bookcli.core.model.staff import SignedIn
from tests import clinic as clinics
from tests import leaks
from tests.pooler import Pools
from tests.servers import NEWEST, OLDEST, Server, Servers, engine_connection, load_schema, login_as
from tests.valkeys import Valkey
from tests.valkeys import valkey as running_valkey


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--pooled` puts every desk of the tests behind a pgbouncer in transaction pooling."""
    parser.addoption("--pooled", action="store_true", help="desks reach the database through a real pgbouncer")


def pytest_configure(config: pytest.Config) -> None:
    """Where the suite was started in the background Ctrl-C is ignored, and would be by every command that it starts."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Two for each processor: a test waits for servers and clocks for more than half of its time."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--pooled`, only what has a desk runs, and what needs a server connection of its own does not."""
    if config.getoption("--pooled"):
        kept = [one for one in items if "context" in one.fixturenames and not one.get_closest_marker("unpooled")]  # type: ignore[attr-defined]
        config.hook.pytest_deselected(items=[one for one in items if one not in kept])
        items[:] = kept


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test marked `both_servers` runs on the oldest and on the newest PostgreSQL; behind the pool on the newest."""
    if metafunc.definition.get_closest_marker("both_servers") is not None:
        versions = [NEWEST] if metafunc.config.getoption("--pooled") else [NEWEST, OLDEST]
        metafunc.parametrize("server", versions, indirect=True, ids=[f"pg{version}" for version in versions])


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The servers of this run (of this worker, with pytest-xdist), each started on first use."""
    running = Servers()
    try:
        yield running
    finally:
        logs = running.stop()
    # Whatever the tests did, no patient of the clinic got into a server's log.
    assert leaks.names_in(logs) == set()


@pytest.fixture(scope="session")
def pools() -> Iterator[Pools]:
    """The pools of this run, each started on first use."""
    running = Pools()
    try:
        yield running
    finally:
        running.close()


@pytest.fixture(scope="session")
def own_valkey() -> Iterator[Valkey]:
    """The Valkey of this run, started on first use."""
    with running_valkey() as server:
        yield server


@pytest.fixture
def valkey(own_valkey: Valkey, own_environment: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Valkey]:
    """An empty Valkey, in which no patient is named; commands that the test starts find it through the environment."""
    own_valkey.client.flushall()
    monkeypatch.setenv("BOOKCLI_REDIS_URL", own_valkey.url)
    with own_valkey.client.pubsub() as published:
        published.psubscribe("*")
        yield own_valkey
        heard = [one["data"] for one in iter(published.get_message, None) if one["type"] == "pmessage"]
    assert leaks.names_in(own_valkey.written() + b"".join(heard)) == set()


@pytest.fixture(autouse=True)
def own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty installation below tmp_path, in UTC; nothing of the developer's is seen."""
    for name in list(os.environ):
        if name.startswith(("BOOKCLI_", "XDG_", "PG")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("BOOKCLI_HOME", str(tmp_path / "bookcli"))
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield tmp_path / "bookcli"
    monkeypatch.undo()
    time.tzset()
    assert leaks.names_in_files(tmp_path / "bookcli") == {}
    assert leaks.STARTED.names() == set()


@pytest.fixture
def server(servers: Servers, request: pytest.FixtureRequest) -> Server:
    """The newest PostgreSQL, or the one a `both_servers` test is at."""
    return servers.get(getattr(request, "param", NEWEST))


@pytest.fixture
def database(server: Server, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a fresh database with the schema; with the clinic in it when the test asks for `clinic` too."""
    with_clinic = "clinic" in request.fixturenames
    template = clinics.template(server) if with_clinic else server.template("empty_template", load_schema)
    dsn = server.lend(template)
    yield dsn
    server.take_back(dsn)


@pytest.fixture
def owner(database: str) -> Iterator[engine.Connection]:
    """The connection of whoever runs the server, past every guard; with a manager's session."""
    with engine_connection(database) as connection:
        connection.token, _ = gateway.sign_in_here(connection, clinics.STAFF)
        yield connection


@pytest.fixture
def desk_dsn(database: str, request: pytest.FixtureRequest) -> str:
    """The address of the fresh database for a desk; with `--pooled` it leads through the pool."""
    direct = login_as(database, "desk")
    return str(request.getfixturevalue("pools").address(direct)) if request.config.getoption("--pooled") else direct


@pytest.fixture
def context(
    desk_dsn: str, owner: engine.Connection, own_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Context]:
    """A desk with a manager's session on the fresh database; commands that the test starts are at the same desk."""
    dsn = desk_dsn
    monkeypatch.setenv("BOOKCLI_DATABASE_URL", dsn)
    directories = Paths(own_environment / "config", own_environment / "data", own_environment / "state")
    with Context(Settings(database_url=dsn), directories) as opened:
        opened.keep(SignedIn(*gateway.sign_in_here(owner, clinics.STAFF)[:1], clinics.STAFF, "manager", clock.now()))
        yield opened


@pytest.fixture
def owning(
    database: str, owner: engine.Connection, context: Context, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Context]:
    """A context of whoever runs the server, for what no desk may do; commands that the test starts have it too."""
    monkeypatch.setenv("BOOKCLI_DATABASE_URL", database)
    with Context(Settings(database_url=database), context.paths) as opened:
        opened.keep(SignedIn(owner.token or "", clinics.STAFF, "manager", clock.now()))
        yield opened


@pytest.fixture
def clinic(context: Context, owner: engine.Connection) -> clinics.Clinic:
    """The small clinic of tests/clinic.py, in the database of `context`."""
    return clinics.Clinic(context, owner)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the races tried and found, one line each."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    lines = [
        f"{report.nodeid.rpartition('::')[2]}: {figures}"
        for report in reports
        for name, figures in getattr(report, "user_properties", [])
        if name == "race"
    ]
    if lines:
        terminalreporter.section("races")
        for line in lines:
            terminalreporter.write_line(line)
