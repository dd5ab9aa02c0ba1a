"""A PostgreSQL with one standby, small and quick to start, for what only a server that is copied does.

What must stay true: both are dead when the block ends.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg

from tests.faults.programs import (
    HOST,
    Program,
    as_server_user,
    backends,
    free_ports,
    kill_everything_in,
    private_directory,
    signal_all,
    wait_until,
)
from tests.servers import SYSTEM_PROGRAMS


class Pair:
    """Use with `with`: the primary answers at `dsn`, as superuser; nobody waits for the standby yet."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="bookcli-pair-", dir="/tmp"))
        self.home.chmod(0o755)
        self._primary, self._standby = (private_directory(self.home / name) for name in ("primary", "standby"))
        self._ports = free_ports(2)
        self._stopped: list[int] = []

    def __enter__(self) -> Pair:
        try:
            self._run("initdb", "-D", self._primary, "-U", "bookcli", "-A", "trust", "-N", "--no-locale", "-E", "UTF8")
            self._start(self._primary, self._ports[0])
            wait_until(self._answers, 30, "the primary answers")
            where = f"host={HOST} port={self._ports[0]} user=bookcli"
            self._run("pg_basebackup", "-D", self._standby, "-d", where, "-R", "-c", "fast", "-N")
            self._start(self._standby, self._ports[1])
            wait_until(lambda: self.standbys() == 1, 30, "the standby follows")
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    @property
    def dsn(self) -> str:
        """The address of the primary's database."""
        return f"postgresql://bookcli@{HOST}:{self._ports[0]}/postgres"

    def login_as(self, role: str) -> str:
        """The same for another role."""
        return self.dsn.replace("//bookcli@", f"//{role}@")

    def standbys(self) -> int:
        """How many follow the primary."""
        return int(self.say("SELECT count(*) FROM pg_stat_replication")[0])

    def say(self, statement: str) -> tuple[object, ...]:
        """Lets whoever runs the primary say something; the first row, if there is one."""
        with psycopg.connect(self.dsn, autocommit=True) as owner:
            cursor = owner.execute(statement.encode())
            return (cursor.fetchone() or ()) if cursor.description else ()

    def wait_for(self, names: str) -> None:
        """From now on bookings wait for the standbys of these names: `*` all, `nobody` none there is."""
        self.say(f"ALTER SYSTEM SET synchronous_standby_names = '{names}'")
        self.say("SELECT pg_reload_conf()")
        wait_until(lambda: self.say("SHOW synchronous_standby_names") == (names,), 30, "the setting is read")

    def stall(self) -> None:
        """The standby receives nothing any more, and the primary does not know."""
        self._stopped = backends(self._standby, "walreceiver")
        assert self._stopped, "the standby is not receiving"
        signal_all(self._stopped, signal.SIGSTOP)

    def unstall(self) -> None:
        """It goes on."""
        signal_all(self._stopped, signal.SIGCONT)

    def stop_standby(self) -> None:
        """It goes away in good order."""
        self._run("pg_ctl", "stop", "-m", "fast", "-w", "-D", self._standby)
        wait_until(lambda: self.standbys() == 0, 30, "nobody follows")

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError):
            return bool(self.say("SELECT true"))
        return False

    def _start(self, directory: Path, port: int) -> None:
        words = [f"listen_addresses={HOST}", f"port={port}", f"unix_socket_directories={directory}", "fsync=off"]
        settings = [word for one in (*words, "wal_sender_timeout=60s") for word in ("-c", one)]
        command: list[str | Path] = [SYSTEM_PROGRAMS / "postgres", "-D", directory, *settings]
        Program(command, self.home, {}, self.home / f"{directory.name}.log").start()

    def _run(self, name: str, *words: str | Path) -> None:
        command = [*as_server_user(), str(SYSTEM_PROGRAMS / name), *map(str, words)]
        done = subprocess.run(command, cwd="/tmp", capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def _close(self) -> None:
        self.unstall()
        kill_everything_in(self.home)
        shutil.rmtree(self.home, ignore_errors=True)
