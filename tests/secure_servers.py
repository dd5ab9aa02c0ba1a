"""PostgreSQL and Redis with TLS on a loopback port, and the authority that signs for them; ended with the test.

What must stay true: every key is made here and trusted by nobody else, and a server that was started is stopped.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import redis
import trustme

from tests.servers import SYSTEM_PROGRAMS

_HBA = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\nhost all all all reject\n"
_LONGEST_START = 20


@dataclass(frozen=True)
class Certificate:
    """The files a server shows."""

    chain: Path
    key: Path


class Authority:
    """An authority of its own in `directory`; `file` is what a desk must trust."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._authority = trustme.CA()
        self.file = directory / "authority.pem"
        self._authority.cert_pem.write_to_path(self.file)

    def issue(self, host: str, *, expired: bool = False) -> Certificate:
        """A certificate for a host; an expired one ended yesterday."""
        yesterday = datetime.now(UTC) - timedelta(days=1)
        period = {"not_before": yesterday - timedelta(days=9), "not_after": yesterday} if expired else {}
        issued = self._authority.issue_cert(host, **period)
        name = f"{host}-expired" if expired else host
        made = Certificate(self._directory / f"{name}.pem", self._directory / f"{name}.key")
        for number, part in enumerate(issued.cert_chain_pems):
            part.write_to_path(made.chain, append=number > 0)
        issued.private_key_pem.write_to_path(made.key)
        made.key.chmod(0o600)
        return made


@dataclass(frozen=True)
class SecurePostgres:
    """A running server: `port` on 127.0.0.1 wants TLS and a password, the socket in `directory` wants neither."""

    directory: Path
    port: int

    def dsn(self, **more: str) -> str:
        """The address of its database `postgres` through the socket, as superuser."""
        return psycopg.conninfo.make_conninfo(
            "", host=str(self.directory), port=self.port, dbname="postgres", user="postgres", **more
        )

    def logins(self) -> int:
        """How often somebody got in over the network."""
        return sum("connection authorized" in line and "SSL" in line for line in self._log())

    def network_attempts(self) -> int:
        """How often the network was tried."""
        return sum("connection received: host=127.0.0.1" in line for line in self._log())

    def said(self) -> str:
        """Its whole log."""
        return (self.directory / "log").read_text(encoding="utf-8", errors="replace")

    def _log(self) -> list[str]:
        return self.said().splitlines()


class Clusters:
    """Makes one empty cluster, and servers on copies of it."""

    def __init__(self) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="bookcli-tls-", dir="/tmp"))
        self._home.chmod(0o755)
        self._template = self._home / "template"
        _own(self._home)
        _run([SYSTEM_PROGRAMS / "initdb", "-D", self._template, "-U", "postgres", "-N", "--no-locale", "-E", "UTF8"])

    @contextlib.contextmanager
    def server(self, certificate: Certificate | None, **more: str) -> Iterator[SecurePostgres]:
        """A server that shows the certificate, or does not know TLS; `more` are settings of it."""
        directory = Path(tempfile.mkdtemp(prefix="s", dir=self._home))
        _own(directory)
        cluster = directory / "data"
        _run(["cp", "-a", self._template, cluster])
        (cluster / "pg_hba.conf").write_text(_HBA)
        port = free_port()
        settings = _settings(directory, port, certificate, more)
        with (
            (directory / "log").open("wb") as log,
            _process([SYSTEM_PROGRAMS / "postgres", "-D", cluster, *settings], log.fileno()) as process,
        ):
            server = SecurePostgres(directory, port)
            _wait_for(process, lambda: psycopg.connect(server.dsn()).close(), psycopg.OperationalError)
            yield server

    def close(self) -> None:
        """Removes all files."""
        shutil.rmtree(self._home, ignore_errors=True)


def _settings(directory: Path, port: int, certificate: Certificate | None, more: Mapping[str, str]) -> list[str]:
    settings = {
        **more,
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": str(directory),
        "fsync": "off",
        "log_connections": "on",
        "ssl": "on" if certificate else "off",
    }
    if certificate:
        settings["ssl_cert_file"] = str(_copied(certificate.chain, directory))
        settings["ssl_key_file"] = str(_copied(certificate.key, directory))
    return [word for name, setting in settings.items() for word in ("-c", f"{name}={setting}")]


@contextlib.contextmanager
def secure_redis(certificate: Certificate, *words: str) -> Iterator[int]:
    """A redis-server that talks TLS only; the port. Clients need no certificate."""
    program = shutil.which("redis-server")
    assert program, "redis-server is missing: apt-get install redis-server"
    port = free_port()
    tls = ["--tls-cert-file", certificate.chain, "--tls-key-file", certificate.key, "--tls-auth-clients", "no"]
    tls += ["--tls-ca-cert-file", certificate.chain]
    with redis_process([program, "--port", "0", "--tls-port", str(port), *map(str, tls), *words]) as process:
        _wait_for(process, lambda: socket.create_connection(("127.0.0.1", port), 1).close(), OSError)
        yield port


@contextlib.contextmanager
def redis_process(words: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A Redis or Valkey that keeps nothing and listens where `words` say, on loopback only."""
    with tempfile.TemporaryDirectory(prefix="bookcli-redis-", dir="/tmp") as directory:
        keeps_nothing = ["--save", "", "--appendonly", "no", "--dir", directory, "--bind", "127.0.0.1"]
        process = subprocess.Popen([*words, *keeps_nothing], stdout=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(10)


def wait_for_redis(process: subprocess.Popen[bytes], client: redis.Redis) -> None:
    """Returns when the server answers."""
    _wait_for(process, client.ping, redis.ConnectionError)


class Eavesdropper:
    """Plays a server without TLS and keeps every byte that a client sends to it."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.heard = bytearray()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client:
                    self.heard += client.recv(65536)
                    client.sendall(self._answer)
                    while more := client.recv(65536):
                        self.heard += more


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has just now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _copied(path: Path, directory: Path) -> Path:
    """A copy that only the server's own user can read: it refuses a key that others can."""
    copy = directory / path.name
    shutil.copyfile(path, copy)
    copy.chmod(0o600)
    _own(copy)
    return copy


@contextlib.contextmanager
def _process(words: Sequence[str | Path], log: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([str(word) for word in words], stdout=log, stderr=log, cwd="/", **_server_user())
    try:
        yield process
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(10)


def _run(words: Sequence[str | Path]) -> None:
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, check=False, cwd="/", **_server_user()
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _server_user() -> dict[str, object]:
    """PostgreSQL does not run as root."""
    return {"user": "postgres", "group": "postgres", "extra_groups": []} if os.geteuid() == 0 else {}


def _own(path: Path) -> None:
    if os.geteuid() == 0:
        shutil.chown(path, "postgres", "postgres")


def _wait_for(process: subprocess.Popen[bytes], attempt: Callable[[], object], not_yet: type[Exception]) -> None:
    until = time.monotonic() + _LONGEST_START
    while True:
        assert process.poll() is None, "the server ended"
        try:
            attempt()
            return
        except not_yet:
            assert time.monotonic() < until, "the server does not answer"
            time.sleep(0.02)
