"""What is open right now: settings, the connection, who is at the desk. One object carries the outside world.

What must stay true: nothing is opened before it is needed, and a command that finds the servers up never
imports what starts them.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from . import config
from .adapters import local_sockets, session_file
from .errors import BookcliError, InvalidInput, NotAllowed, Unavailable
from .model.staff import SignedIn, checked_name

if TYPE_CHECKING:
    from .adapters.slot_cache import SlotCache
    from .db.engine import Connection


def _silent(_: str) -> None:
    """The default announcer: a library says nothing."""


_LONGEST_CALL = 5.7
"""Seconds for one call: more than the server's own statement time-out, less than a command's deadline."""
_SLOW, _STILL_AWAY = 1.0, 2.0
_LOOKS = 3.0
"""Seconds that two looks at an embedded server take when it says nothing."""


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
        self.asked_at = 0.0
        """When the database was last asked something, by the monotonic clock."""
        self._connection: Connection | None = None
        self._session: SignedIn | None = None
        self._looked = False
        self._cache: SlotCache | None = None
        self._away: tuple[float, Unavailable] | None = None
        self._later: list[Callable[[], None]] | None = None

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
    def staff(self) -> str:
        """The name of who is signed in; empty when nobody is."""
        return self.session.name if self.session else ""

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

    @property
    def connected(self) -> bool:
        """Whether the database has been reached and not been lost since."""
        return self._connection is not None and not self._connection.closed

    def connection(self, patience: float | None = None) -> Connection:
        """The open connection, opened on first use and again after it broke. Raises Unavailable.

        A database that did not answer for some seconds is not waited for again at once: a command asks several times.
        `patience`: how many seconds to wait for it, for whoever can do without, and who then does not wait twice.
        """
        self.asked_at = time.monotonic()
        if self._connection is not None and not self._connection.closed:
            return self._connection
        if self._away is not None and time.monotonic() < self._away[0]:
            raise self._away[1]
        began = time.monotonic()
        try:
            self._connection = self._open() if patience is None else self._open_within(patience)
        except Unavailable as away:
            now = time.monotonic()
            waited = patience is not None or now - began > _SLOW
            self._away = (now + _STILL_AWAY, away) if waited else None
            raise
        return self._connection

    def _open_within(self, patience: float) -> Connection:
        from .db import watchdog  # noqa: PLC0415 - only where the cache can answer too

        return watchdog.opened_within(patience, self._open)

    def away(self, away: Unavailable) -> None:
        """Somebody has waited for the database in vain: nobody else of this command does so again at once."""
        self._hang_up()
        self._away = (time.monotonic() + _STILL_AWAY, away)

    @property
    def _call_seconds(self) -> float:
        """How long one call may take, so that an answer that was lost can be asked for again within the deadline."""
        seconds = self.settings.deadline_seconds
        return max(min(seconds, _LONGEST_CALL), seconds - 2.3)

    def slot_cache(self) -> SlotCache | None:
        """The availability cache, if there is a Redis or the embedded Valkey runs; starts and imports nothing."""
        if self._cache is None and (address := self.queue_address):
            from .adapters import breaker, slot_cache  # noqa: PLC0415 - only where there is a Redis

            self._cache = slot_cache.SlotCache(
                address,
                slot_cache.database_id(self.dsn, self.settings.cache_name),
                self.settings.cache_seconds,
                breaker.Breaker(self.paths.cache_away_file),
            )
        return self._cache

    @property
    def queue_address(self) -> str:
        """The address of the Redis that was set, or of the embedded Valkey if it runs; empty when there is none."""
        return self.settings.redis_url or self._embedded_valkey()

    def _embedded_valkey(self) -> str:
        try:
            return local_sockets.valkey_url(self.paths) if local_sockets.valkey_socket(self.paths).exists() else ""
        except (BookcliError, OSError):
            return ""

    def answer_first(self) -> None:
        """From now on, what follows a change waits until the answer has been given, which is when this is closed."""
        self._later = self._later or []

    def afterwards(self, work: Callable[[], None]) -> None:
        """Does what follows a committed change and may fail: at once, or after the answer (see `answer_first`)."""
        if self._later is None:
            work()
        else:
            self._later.append(work)

    def fresh_connection(self) -> Connection:
        """A connection of the caller's own, to be closed by it."""
        return self._open()

    def _connect(self) -> Connection:
        from .db import engine  # noqa: PLC0415 - psycopg is 160 ms

        return engine.connect(self.dsn, deadline=self._call_seconds, desk=self.settings.desk)

    def _open(self) -> Connection:
        if not self.embedded:
            connection = self._connect()
            connection.token = self.token
            return connection
        began = time.monotonic()
        try:
            connection = self._connect()
        except Unavailable:
            self._start(time.monotonic() - began)
            connection = self._connect()
        self._ensure_schema(connection)
        self._ensure_session(connection)
        return connection

    def _start(self, waited: float) -> None:
        """Starts the embedded server, within what is left of the deadline after so many seconds and two more looks."""
        from .adapters import embedded  # noqa: PLC0415 - only when the server must be started

        left = max(self.settings.deadline_seconds - waited - _LOOKS, 1.0)
        settings = replace(self.settings, deadline=str(left))
        embedded.ensure_postgres(self.paths, settings, announce=self.announce)

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
        """Does what waited for the answer and closes what is open; harmless when nothing is."""
        later, self._later = self._later, None
        for work in later or ():
            work()
        if self._cache is not None:
            self._cache.close()
            self._cache = None
        self._hang_up()

    def _hang_up(self) -> None:
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
