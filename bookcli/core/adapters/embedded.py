"""The local database and message queue of a desk that has configured neither: start, stop and look at them.

What must stay true: a command that finds them up never imports this — their addresses are in `local_sockets`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..config import Paths, Settings
from .embedded_postgres import PostgresServer
from .embedded_server import Answer, EmbeddedServer, bring_up, take_down
from .embedded_valkey import ValkeyServer


@dataclass(frozen=True)
class ServerStatus:
    """One server as it is now; `version` is empty when it is not known, `pid` None when it does not run."""

    name: str
    running: bool
    version: str
    pid: int | None
    socket: Path
    data_directory: Path


def ensure_postgres(paths: Paths, settings: Settings, announce: Callable[[str], None] | None = None) -> None:
    """Return when the local PostgreSQL answers and has the database `bookcli`, which may be empty.

    `announce` gets one sentence before anything slow happens. Raises Unavailable when it does not answer in
    time or cannot be started, InvalidInput when its directory or programs do not fit.
    """
    bring_up(PostgresServer(paths), settings, announce)


def ensure_valkey(paths: Paths, settings: Settings, announce: Callable[[str], None] | None = None) -> None:
    """Return when the local Valkey answers. `announce` and errors are those of `ensure_postgres`."""
    bring_up(ValkeyServer(paths), settings, announce)


def stop(paths: Paths) -> list[str]:
    """Stop the local servers; returns the names of those that ran. Raises Unavailable when one does not end."""
    return [server.name for server in _servers(paths) if take_down(server)]


def status(paths: Paths) -> list[ServerStatus]:
    """How the local servers are; starts and changes nothing."""
    return [_status(server) for server in _servers(paths)]


def _servers(paths: Paths) -> tuple[EmbeddedServer, ...]:
    return PostgresServer(paths), ValkeyServer(paths)


def _status(server: EmbeddedServer) -> ServerStatus:
    running = server.answer() is Answer.READY
    return ServerStatus(server.name, running, server.version(), server.pid(), server.socket, server.directory)
