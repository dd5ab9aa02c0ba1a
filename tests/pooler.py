"""A real pgbouncer in transaction pooling in front of a test's database; ended with the test."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg import conninfo

from bookcli.core.adapters.local_sockets import ROLE
from tests import servers

SERVER_CONNECTIONS = 20
"""How many connections of one database a pool of the whole suite has."""

_SETTINGS = """[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr =
unix_socket_dir = {directory}
listen_port = 6432
auth_type = trust
auth_file = {directory}/users.txt
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 300
query_wait_timeout = 5
server_login_retry = 1
server_connect_timeout = 2
"""
_SHIPPED = Path(__file__).parent.parent / ".deploy" / "pgbouncer.ini"


def forgetting() -> str:
    """The settings with which the pool that is shipped lets the next desk find nothing of the one before."""
    lines = [line for line in _SHIPPED.read_text().splitlines() if line.startswith("server_reset_query")]
    assert len(lines) == 2
    return "\n".join([*lines, ""])


@contextlib.contextmanager
def pooled(dsn: str, *, size: int, mode: str = "transaction", more: str = "") -> Iterator[str]:
    """The address of the same database through a pool of `size` server connections; `more` are settings of it."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    assert program, "pgbouncer is missing: apt-get install pgbouncer"
    directory = Path(tempfile.mkdtemp(prefix="bookcli-pool-", dir="/tmp"))
    where = conninfo.conninfo_to_dict(dsn)
    (directory / "pgbouncer.ini").write_text(
        _SETTINGS.format(host=where["host"], port=where.get("port", 5432), directory=directory, size=size, mode=mode)
        + more
    )
    (directory / "users.txt").write_text(
        "".join(f'"{name}" ""\n' for name in (ROLE, *(f"tests_{kind}" for kind in servers.MACHINES)))
    )
    # pgbouncer does not run as root; the server's own user may enter the server's socket directory.
    owner = Path(str(where["host"])).stat()
    if os.geteuid() == 0:
        for path in (directory, *directory.iterdir()):
            os.chown(path, owner.st_uid, owner.st_gid)
    process = subprocess.Popen(
        [program, "-q", str(directory / "pgbouncer.ini")],
        user=owner.st_uid if os.geteuid() == 0 else None,
        group=owner.st_gid if os.geteuid() == 0 else None,
        extra_groups=[] if os.geteuid() == 0 else None,
        stdout=subprocess.DEVNULL,
    )
    address = f"postgresql://{where['user']}@/{where['dbname']}?host={directory}&port=6432"
    try:
        _wait_for(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def occupied(address: str, places: int) -> Iterator[None]:
    """Somebody keeps so many server connections of a pool for as long as the block lasts."""
    leave, seated = threading.Event(), threading.Barrier(places + 1)

    def sit() -> None:
        with psycopg.connect(address, prepare_threshold=None) as connection:
            connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
            seated.wait(30)
            leave.wait(60)

    sitters = [threading.Thread(target=sit) for _ in range(places)]
    for sitter in sitters:
        sitter.start()
    seated.wait(30)
    try:
        yield
    finally:
        leave.set()
        for sitter in sitters:
            sitter.join()


class Pools:
    """One pool in front of each server, started on first use; `address` leads through it to any of its databases."""

    def __init__(self) -> None:
        self._running = contextlib.ExitStack()
        self._directories: dict[str, str] = {}

    def address(self, dsn: str) -> str:
        """The address of the same database for the same role, through the pool of its server."""
        where = conninfo.conninfo_to_dict(dsn)
        server = str(where["host"])
        if server not in self._directories:
            opened = self._running.enter_context(pooled(dsn, size=SERVER_CONNECTIONS))
            self._directories[server] = str(conninfo.conninfo_to_dict(opened)["host"])
        return f"postgresql://{where['user']}@/{where['dbname']}?host={self._directories[server]}&port=6432"

    def close(self) -> None:
        """Ends them all."""
        self._running.close()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        assert process.poll() is None, "pgbouncer ended"
        with contextlib.suppress(psycopg.OperationalError):
            psycopg.connect(address, prepare_threshold=None).close()
            return
        time.sleep(0.02)
    raise AssertionError("pgbouncer does not answer")
