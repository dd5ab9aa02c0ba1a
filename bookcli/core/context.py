"""What is open right now: settings, the connection, who is at the desk. One object carries the outside world.

What must stay true: nothing is opened before it is needed, and a command that finds the servers up never
imports what starts them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from . import config
from .adapters import local_sockets
from .errors import Unavailable

if TYPE_CHECKING:
    from .db.engine import Connection


def _silent(_: str) -> None:
    """The default announcer: a library says nothing."""


class Context:
    """Settings and lazily opened connections of one command, screen or script. Close it, or use `with`.

    `announce` is called with one sentence before something slow happens, such as the first start of a server.
    """

    def __init__(
        self,
        settings: config.Settings | None = None,
        paths: config.Paths | None = None,
        *,
        announce: Callable[[str], None] = _silent,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self.settings = settings or config.load(environ)
        self.paths = paths or config.paths(environ)
        self.announce = announce
        self._connection: Connection | None = None

    @property
    def embedded(self) -> bool:
        """Whether the database is the one bookcli starts for this user."""
        return not self.settings.database_url

    @property
    def dsn(self) -> str:
        """The address of the database."""
        return self.settings.database_url or local_sockets.postgres_dsn(self.paths)

    def connection(self) -> Connection:
        """The open connection, opened on first use and again after it broke. Raises Unavailable."""
        if self._connection is None or self._connection.closed:
            self._connection = self._open()
        return self._connection

    def fresh_connection(self) -> Connection:
        """A connection of the caller's own, to be closed by it."""
        return self._open()

    def _open(self) -> Connection:
        from .db import engine  # noqa: PLC0415 - psycopg is 160 ms

        if not self.embedded:
            return engine.connect(self.dsn, deadline=self.settings.deadline_seconds)
        try:
            connection = engine.connect(self.dsn, deadline=self.settings.deadline_seconds)
        except Unavailable:
            from .adapters import embedded  # noqa: PLC0415 - only when the server must be started

            embedded.ensure_postgres(self.paths, self.settings, announce=self.announce)
            connection = engine.connect(self.dsn, deadline=self.settings.deadline_seconds)
        self._ensure_schema(connection)
        return connection

    def _ensure_schema(self, connection: Connection) -> None:
        from .db import schema  # noqa: PLC0415 - psycopg is 160 ms

        if schema.version(connection) is None:
            self.announce("preparing the local database…")
            schema.load(connection)

    def close(self) -> None:
        """Closes what is open; harmless when nothing is."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Context:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self.close()
