"""What is open right now: settings, the connection, who is at the desk. One object carries the outside world.

What must stay true: nothing is opened before it is needed, and a command that finds the servers up never
imports what starts them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from . import config
from .adapters import local_sockets, session_file
from .errors import InvalidInput, NotAllowed, Unavailable
from .model.staff import SignedIn, checked_name

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
        self._session: SignedIn | None = None
        self._looked = False

    @property
    def embedded(self) -> bool:
        """Whether the database is the one bookcli starts for this user."""
        return not self.settings.database_url

    @property
    def dsn(self) -> str:
        """The address of the database."""
        return self.settings.database_url or local_sockets.postgres_dsn(self.paths)

    @property
    def token(self) -> str | None:
        """The token of the session this desk has kept; None when nobody is signed in."""
        session = self.session
        return session.token if session else None

    @property
    def session(self) -> SignedIn | None:
        """The session this desk has kept, live or not. Raises NotAllowed `session-file-open`."""
        if self._session is None and not self._looked:
            self._session, self._looked = session_file.read(self._session_file), True
        return self._session

    def keep(self, session: SignedIn | None, *, on_disk: bool = True) -> None:
        """From now on this is the session of the context and, unless told otherwise, of the desk; None forgets it."""
        self._session, self._looked = session, True
        if on_disk and session is not None:
            session_file.write(self._session_file, session)
        elif on_disk:
            session_file.forget(self._session_file)
        if self._connection is not None:
            self._connection.token = self.token

    @property
    def _session_file(self) -> Path:
        return session_file.path(self.paths, self.settings)

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
            connection = engine.connect(self.dsn, deadline=self.settings.deadline_seconds, desk=self.settings.desk)
            connection.token = self.token
            return connection
        try:
            connection = engine.connect(self.dsn, deadline=self.settings.deadline_seconds, desk=self.settings.desk)
        except Unavailable:
            from .adapters import embedded  # noqa: PLC0415 - only when the server must be started

            embedded.ensure_postgres(self.paths, self.settings, announce=self.announce)
            connection = engine.connect(self.dsn, deadline=self.settings.deadline_seconds, desk=self.settings.desk)
        self._ensure_schema(connection)
        self._ensure_session(connection)
        return connection

    def _ensure_schema(self, connection: Connection) -> None:
        from .db import schema  # noqa: PLC0415 - psycopg is 160 ms

        if schema.version(connection) is None:
            self.announce("preparing the local database…")
            schema.load(connection)

    def _ensure_session(self, connection: Connection) -> None:
        """Whoever the embedded servers belong to is signed in as a manager, unless somebody else is or was signed in.

        A clerk's session that ran out does not turn into a manager's: that takes a login or a logout.
        """
        from .db import gateway  # noqa: PLC0415 - psycopg is 160 ms

        connection.token = self.token
        person = gateway.whoami(connection) if connection.token else None
        ended = person is not None and person.problem == "session-expired"
        if person is None or (ended and person.name == operating_system_user()):
            with contextlib.suppress(NotAllowed):  # disabled: then somebody else must sign in
                self.sign_in_here(connection)

    def sign_in_here(self, connection: Connection) -> SignedIn:
        """Signs in whoever these embedded servers belong to, without a password."""
        from .db import gateway  # noqa: PLC0415 - psycopg is 160 ms

        name = operating_system_user()
        token, expires_at = gateway.sign_in_here(connection, name)
        connection.token = token
        person = gateway.whoami(connection)
        session = SignedIn(token, name, person.role if person else "manager", expires_at)
        self.keep(session)
        return session

    def another(self) -> Context:
        """A context like this one, with the same session and connections of its own."""
        other = Context(self.settings, self.paths, announce=self.announce)
        other._session, other._looked = self._session, self._looked
        return other

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


def operating_system_user() -> str:
    """The name under which the user of this machine is signed in at the embedded servers."""
    import pwd  # noqa: PLC0415 - does not exist everywhere, and only a first start needs it

    try:
        return checked_name(pwd.getpwuid(os.geteuid()).pw_name)
    except (KeyError, InvalidInput):
        return f"user-{os.geteuid()}"
