"""A PostgreSQL of a test's own that can be stopped, killed, frozen and starved, and what a desk kept meanwhile.

What must stay true: whatever was done to the server is undone when its block ends, and it runs again.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

import psycopg

from bookcli.core.adapters import embedded
from bookcli.core.config import Paths, Settings
from tests.faults.proxy import Proxy
from tests.pooler import pooled
from tests.servers import OLDEST, SYSTEM_PROGRAMS, Server


class Running(Protocol):
    """A server by where its files are."""

    @property
    def paths(self) -> Paths: ...


Outage = Callable[[Server, str], contextlib.AbstractContextManager[str]]
"""outage(server, dsn): while the block runs the database is away at the address it gives; afterwards it answers."""


@contextlib.contextmanager
def stopped(server: Server, dsn: str) -> Iterator[str]:
    """Shut down, as for maintenance."""
    embedded.stop(server.paths)
    try:
        yield dsn
    finally:
        _start(server)


@contextlib.contextmanager
def killed(server: Server, dsn: str) -> Iterator[str]:
    """kill -9 of the postmaster."""
    os.kill(_postmaster(server), signal.SIGKILL)
    try:
        yield dsn
    finally:
        _start(server)


@contextlib.contextmanager
def frozen(server: Running, dsn: str) -> Iterator[str]:
    """SIGSTOP of every process of the server: it accepts connections and says nothing."""
    postmaster = _postmaster(server)
    # First, so that no child is made unseen.
    os.kill(postmaster, signal.SIGSTOP)
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    processes = [postmaster, *map(int, children)]
    for process in processes[1:]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGSTOP)
    try:
        yield dsn
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


@contextlib.contextmanager
def crowded(server: Server, dsn: str) -> Iterator[str]:
    """max_connections idle clients: 53300."""
    with contextlib.ExitStack() as clients:
        with contextlib.suppress(psycopg.OperationalError):
            while True:
                clients.enter_context(contextlib.closing(psycopg.connect(dsn)))
        yield dsn


@contextlib.contextmanager
def read_only(server: Server, dsn: str) -> Iterator[str]:
    """As a demoted primary: 25006."""
    _as_owner(dsn, "ALTER DATABASE {} SET default_transaction_read_only = on")
    try:
        yield dsn
    finally:
        _as_owner(
            dsn, "SET default_transaction_read_only = off", "ALTER DATABASE {} RESET default_transaction_read_only"
        )


@contextlib.contextmanager
def cut_off(server: Server, dsn: str) -> Iterator[str]:
    """A network that swallows every byte and tells nobody."""
    with tempfile.TemporaryDirectory(prefix="bookcli-", dir="/tmp") as directory:
        proxy = Proxy(dsn, Path(directory), "question", times=0)
        proxy.silent.set()
        try:
            yield proxy.dsn
        finally:
            proxy.close()


@contextlib.contextmanager
def pool_exhausted(server: Server, dsn: str) -> Iterator[str]:
    """The only connection of the pool is somebody else's: 08P01 after query_wait_timeout."""
    with pooled(dsn, size=1) as address, contextlib.closing(psycopg.connect(address, prepare_threshold=None)) as other:
        other.execute("SELECT 1")
        stop = threading.Event()
        busy = threading.Thread(target=_keep_busy, args=(other, stop))
        busy.start()
        try:
            yield address
        finally:
            stop.set()
            busy.join()


@contextlib.contextmanager
def no_locks_left(server: Server, dsn: str) -> Iterator[str]:
    """The shared lock table is full: 53200."""
    with contextlib.closing(psycopg.connect(dsn, autocommit=True)) as greedy:
        first = 0
        for step in (1000, 100, 10, 1):
            with contextlib.suppress(psycopg.errors.OutOfMemory):
                while True:
                    greedy.execute(
                        "SELECT pg_advisory_lock(99, i) FROM generate_series(%s::integer, %s::integer) i",
                        (first, first + step),
                    )
                    first += step + 1
        yield dsn


@contextlib.contextmanager
def disk_full(server: Server, dsn: str) -> Iterator[str]:
    """No page of the appointments can be added: 53100. A real full disk where a test may mount one."""
    with contextlib.closing(psycopg.connect(dsn, autocommit=True)) as owner, contextlib.ExitStack() as after:
        disk = small_disk(after, 4)
        if disk is None:
            owner.execute("CREATE FUNCTION app.full_disk() RETURNS trigger LANGUAGE plpgsql AS"
                          " 'BEGIN RAISE EXCEPTION USING ERRCODE = ''disk_full''; END'")  # fmt: skip
            owner.execute("CREATE TRIGGER full_disk BEFORE INSERT ON app.appointment EXECUTE FUNCTION app.full_disk()")
            yield dsn
            owner.execute("DROP FUNCTION app.full_disk CASCADE")
            return
        owned = server.paths.postgres.stat()
        os.chown(disk, owned.st_uid, owned.st_gid)
        owner.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")  # type: ignore[arg-type]
        owner.execute("ALTER TABLE app.appointment SET TABLESPACE small")
        fill(disk)
        yield dsn
        (disk / "filler").unlink()
        owner.execute("ALTER TABLE app.appointment SET TABLESPACE pg_default")
        owner.execute("DROP TABLESPACE small")


@contextlib.contextmanager
def wal_disk(server: Server) -> Iterator[Callable[[str], contextlib.AbstractContextManager[str]]]:
    """The server's WAL lies on a small disk; what is given takes its room away for as long as a block lasts.

    Where nobody may mount a disk, no file of the server may become as large as a segment.
    """
    with contextlib.ExitStack() as after:
        wal, disk = server.paths.postgres / "pg_wal", small_disk(after, 160)
        # Without it a busy server keeps more segments than the disk has room for.
        _as_owner(server.dsn("postgres"), "ALTER SYSTEM SET max_wal_size = '32MB'", "SELECT pg_reload_conf()")
        if disk is not None:
            _move_wal(server, wal, disk / "pg_wal")
            wal.symlink_to(disk / "pg_wal")
            _start(server)
        try:
            yield partial(_without_wal, server, disk)
        finally:
            _as_owner(server.dsn("postgres"), "ALTER SYSTEM RESET max_wal_size", "SELECT pg_reload_conf()")
            if disk is not None:
                embedded.stop(server.paths)
                wal.unlink()
                _move_wal(server, disk / "pg_wal", wal)
                _start(server)


@contextlib.contextmanager
def wal_disk_full(server: Server, dsn: str) -> Iterator[str]:
    """No WAL can be written: the server panics, and cannot come back before there is room."""
    with wal_disk(server) as without_room, without_room(dsn) as address:
        yield address


def _move_wal(server: Server, old: Path, new: Path) -> None:
    embedded.stop(server.paths)
    owned = server.paths.postgres.stat()
    shutil.move(old, new)
    for path in (new, *new.rglob("*")):
        os.chown(path, owned.st_uid, owned.st_gid)


@contextlib.contextmanager
def _without_wal(server: Server, disk: Path | None, dsn: str) -> Iterator[str]:
    if disk is None:
        _restart_with_small_files(server)
    else:
        fill(disk)
    # A full disk is an OperationalError, a file that may not grow an InternalError.
    with contextlib.suppress(psycopg.Error), psycopg.connect(dsn, autocommit=True) as owner:
        # Without checkpoints no segment is used again, so that the next ones must be made.
        owner.execute("ALTER SYSTEM SET max_wal_size = '10GB'")
        owner.execute("SELECT pg_reload_conf()")
        for _ in range(50):
            owner.execute("SELECT pg_logical_emit_message(false, 'tests', repeat('x', 2000000))")
            owner.execute("SELECT pg_switch_wal()")
        raise AssertionError("the server did not panic")
    try:
        yield dsn
    finally:
        if disk is None:
            embedded.stop(server.paths)
        else:
            (disk / "filler").unlink()
        _start(server)


def _restart_with_small_files(server: Server) -> None:
    """No file of it becomes larger than three quarters of a segment, which it begins anew."""
    _as_owner(server.dsn("postgres"), "SELECT pg_switch_wal()")
    embedded.stop(server.paths)
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12 << 20, usual[1]))
    try:
        _start(server)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


def small_disk(after: contextlib.ExitStack, mebibytes: int) -> Path | None:
    """A disk of its own that is as small as said, unmounted by `after`; None where nobody may mount one."""
    directory = Path(after.enter_context(tempfile.TemporaryDirectory(prefix="bookcli-disk-", dir="/tmp")))
    options = ["-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0755", "tmpfs", str(directory)]
    if os.geteuid() != 0 or subprocess.run(["mount", *options], capture_output=True).returncode:
        return None
    after.callback(subprocess.run, ["umount", "-l", str(directory)], check=True)
    return directory


def fill(disk: Path) -> None:
    """Leaves no room on a disk."""
    with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))


def _keep_busy(other: psycopg.Connection[tuple[object, ...]], stop: threading.Event) -> None:
    """The transaction stays open, and is never idle for long enough to be ended."""
    while not stop.wait(0.5):
        other.execute("SELECT 1")
    other.rollback()


def _as_owner(dsn: str, *statements: str) -> None:
    name = str(psycopg.conninfo.conninfo_to_dict(dsn)["dbname"])
    with contextlib.closing(psycopg.connect(dsn, autocommit=True)) as owner:
        for statement in statements:
            owner.execute(statement.format(name))  # type: ignore[arg-type]


def _postmaster(server: Running) -> int:
    return int((server.paths.postgres / "postmaster.pid").read_text().splitlines()[0])


def _start(server: Server) -> None:
    programs = str(SYSTEM_PROGRAMS) if server.major == OLDEST else ""
    embedded.ensure_postgres(server.paths, Settings(postgres_bin=programs, deadline="60"))
