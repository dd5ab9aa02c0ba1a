"""What is open right now: settings, the connection, who is at the desk. One object carries the outside world.

What must stay true: nothing is opened before it is needed, and a command that finds the servers up never
imports what starts them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from . import config
from .adapters import local_sockets
from .errors import Unavailable

if TYPE_CHECKING:
    from .db.engine import Connection


def _silent(_: str) -> None:
    """The default announcer: a library says nothing."""


_LONGEST_CALL = 5.7
"""Seconds for one call: more than the server's own statement time-out, less than a command's deadline."""
_SLOW, _STILL_AWAY = 1.0, 2.0


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
        self.staff = ""
        """The name of who is signed in; empty when nobody is."""
        self._connection: Connection | None = None
        self._away: tuple[float, Unavailable] | None = None

    @property
    def embedded(self) -> bool:
        """Whether the database is the one bookcli starts for this user."""
        return not self.settings.database_url

    @property
    def dsn(self) -> str:
        """The address of the database."""
        return self.settings.database_url or local_sockets.postgres_dsn(self.paths)

    @property
    def connected(self) -> bool:
        """Whether the database has been reached and not been lost since."""
        return self._connection is not None and not self._connection.closed

    def connection(self) -> Connection:
        """The open connection, opened on first use and again after it broke. Raises Unavailable.

        A database that did not answer for some seconds is not waited for again at once: a command asks several times.
        """
        if self._connection is not None and not self._connection.closed:
            return self._connection
        if self._away is not None and time.monotonic() < self._away[0]:
            raise self._away[1]
        began = time.monotonic()
        try:
            self._connection = self._open()
        except Unavailable as away:
            now = time.monotonic()
            self._away = (now + _STILL_AWAY, away) if now - began > _SLOW else None
            raise
        return self._connection

    def away(self, away: Unavailable) -> None:
        """Somebody has waited for the database in vain: nobody else of this command does so again at once."""
        self.close()
        self._away = (time.monotonic() + _STILL_AWAY, away)

    @property
    def _call_seconds(self) -> float:
        """How long one call may take, so that an answer that was lost can be asked for again within the deadline."""
        seconds = self.settings.deadline_seconds
        return max(min(seconds, _LONGEST_CALL), seconds - 2.3)

    def fresh_connection(self) -> Connection:
        """A connection of the caller's own, to be closed by it."""
        return self._open()

    def _open(self) -> Connection:
        from .db import engine  # noqa: PLC0415 - psycopg is 160 ms

        if not self.embedded:
            return engine.connect(self.dsn, deadline=self._call_seconds)
        try:
            connection = engine.connect(self.dsn, deadline=self._call_seconds)
        except Unavailable:
            from .adapters import embedded  # noqa: PLC0415 - only when the server must be started

            embedded.ensure_postgres(self.paths, self.settings, announce=self.announce)
            connection = engine.connect(self.dsn, deadline=self._call_seconds)
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
