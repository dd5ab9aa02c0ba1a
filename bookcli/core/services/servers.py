"""The servers behind a desk: start, stop and look at them, and find out what is wrong with this installation.

What must stay true: looking starts and changes nothing, and what somebody else runs is neither started nor stopped.
"""

from __future__ import annotations

import contextlib
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass

from .. import clock
from ..adapters import embedded
from ..adapters.local_sockets import valkey_url
from ..adapters.wake_up import CHANNEL
from ..context import Context
from ..db import engine, schema, server
from ..errors import BookcliError, InvalidInput
from ..model.addresses import queue_is_exposed
from ..model.findings import Finding
from . import checkups, pending_copies

MOST_SKEW_SECONDS = 5
WAKE_CHANNEL = CHANNEL
"""Where desks nudge workers."""
LEAST_FREE_BYTES = 200 * 1024 * 1024
_FREE_DAYS = "the next 14 days"


@dataclass(frozen=True, slots=True)
class ServerState:
    """One server; `ours` when bookcli starts it for this user. What is not known is empty or None."""

    name: str
    ours: bool
    running: bool
    version: str = ""
    pid: int | None = None
    where: str = ""


def up(context: Context) -> list[ServerState]:
    """Starts the servers that are ours and do not run; how all of them are then. Raises Unavailable, InvalidInput."""
    if context.embedded:
        context.connection()
    if not context.settings.redis_url:
        embedded.ensure_valkey(context.paths, context.settings, context.announce)
    return status(context)


def queue_url(context: Context) -> str:
    """The address of the queue's Redis; the one that is ours is started. Raises Unavailable."""
    if context.settings.redis_url:
        return context.settings.redis_url
    embedded.ensure_valkey(context.paths, context.settings, context.announce)
    return valkey_url(context.paths)


def down(context: Context) -> list[str]:
    """Stops the servers that are ours; the names of those that ran. Raises Unavailable when one does not end."""
    context.close()
    return embedded.stop(context.paths)


def status(context: Context) -> list[ServerState]:
    """How the database and the message queue are."""
    local = {one.name: one for one in embedded.status(context.paths)}
    states = []
    for name, address in (("postgres", context.settings.database_url), ("valkey", context.settings.redis_url)):
        one = local[name]
        if not address:
            states.append(ServerState(name, True, one.running, one.version, one.pid, str(one.data_directory)))
        elif name == "postgres":
            states.append(_foreign_database(context))
        else:
            states.append(ServerState(name, False, True, where="BOOKCLI_REDIS_URL"))
    return states


def _foreign_database(context: Context) -> ServerState:
    try:
        with contextlib.closing(engine.connect(context.dsn)) as connection:
            version, _, _ = server.version_and_clock(connection)
    except BookcliError:
        return ServerState("postgres", False, False, where="BOOKCLI_DATABASE_URL")
    return ServerState("postgres", False, True, version, where="BOOKCLI_DATABASE_URL")


def doctor(context: Context) -> list[Finding]:
    """Everything that can be looked at without changing it, in the order in which it should be put right."""
    here = (*_settings(context), *_files(context), *checkups.kept(context), *transport(context))
    return [*here, *_servers(context), *_database(context), *checkups.queue(context)]


def _settings(context: Context) -> Iterator[Finding]:
    try:
        context.settings.check()
    except InvalidInput as problem:
        yield Finding("settings", False, problem.message, f"{problem.hint.rstrip('.')} or the settings file.")
    else:
        seconds, site = context.settings.deadline_seconds, context.settings.site or "not set"
        yield Finding("settings", True, f"deadline {seconds:g} s, site {site}")
    if context.settings.pending_key:
        try:
            pending_copies.check(context)
        except InvalidInput as problem:
            yield Finding("pending key", False, problem.message, problem.hint)


def _files(context: Context) -> Iterator[Finding]:
    paths = context.paths
    # Others may pass through the data directory, because root's servers run as another user; nobody may write in it.
    secrets = (
        ("database files", paths.postgres),
        ("queue files", paths.valkey),
        ("log directory", paths.state),
        ("pending requests", paths.spool),
        ("session directory", paths.sessions),
    )
    for name, path, forbidden in (
        ("data directory", paths.data, 0o022),
        *((name, path, 0o077) for name, path in (*secrets, ("log file", paths.log_file))),
    ):
        if path.exists():
            mode = stat.S_IMODE(path.stat().st_mode)
            shut = "go-w" if forbidden == 0o022 else "go-rwx"
            yield Finding(name, not mode & forbidden, f"{path} has mode {mode:04o}", f"chmod {shut} '{path}'")
    if context.embedded:
        parent = next(path for path in (paths.data, *paths.data.parents) if path.is_dir())
        free = shutil.disk_usage(parent).free
        yield Finding("disk", free >= LEAST_FREE_BYTES, f"{free // 2**20} MiB free in {parent}", "Make room there.")


def transport(context: Context) -> Iterator[Finding]:
    """Whether what goes to the servers that were set can be read or answered by somebody else; asks nobody."""
    database, queue = context.settings.database_url, context.settings.redis_url
    for name, set_by, exposed, advice in (
        ("database address", database, bool(database) and server.is_exposed(database), "sslmode=verify-full"),
        ("queue address", queue, bool(queue) and queue_is_exposed(queue), "rediss://, and leave its checks on"),
    ):
        if set_by:
            found = (
                "crosses a network, and the server need not show who it is"
                if exposed
                else "nothing crosses a network unprotected"
            )
            yield Finding(name, not exposed, found, f"Ask for {advice}: README, Encrypted connections.")


def _servers(context: Context) -> Iterator[Finding]:
    for state in status(context):
        whose = "ours" if state.ours else f"set by {state.where}"
        found = f"{'running' if state.running else 'not running'}, {whose}"
        needed = state.name == "postgres"
        advice = "bookcli up" if state.ours else "Ask whoever runs it."
        if state.running or needed:
            yield Finding(state.name, state.running, found, advice)
        else:
            yield Finding(state.name, True, f"{found}; it is started when needed")


def _database(context: Context) -> Iterator[Finding]:
    try:
        with contextlib.closing(engine.connect(context.dsn)) as connection:
            yield from _inside(connection)
            if schema.version(connection) == schema.VERSION:
                yield from checkups.server(context, connection)
    except BookcliError as problem:
        yield Finding("database", False, problem.message, "bookcli up" if context.embedded else problem.hint)


def _inside(connection: engine.Connection) -> Iterator[Finding]:
    version = schema.version(connection)
    if version is None:
        yield Finding("schema", False, "the database has no bookcli schema", "bookcli db init")
        return
    advice = "bookcli db upgrade" if version < schema.VERSION else "Install the bookcli that the other desks have."
    yield Finding("schema", version == schema.VERSION, f"version {version}, needed {schema.VERSION}", advice)
    seen = server.look(connection)
    yield Finding("writable", seen.writable, f"PostgreSQL {seen.version}", "The server is a standby: ask its owner.")
    skew = abs((seen.clock - clock.now()).total_seconds())
    found = f"this desk and the database differ by {skew:.1f} s"
    yield Finding("clock", skew <= MOST_SKEW_SECONDS, found, "Set this machine's clock (NTP).")
    found = f"{seen.miscounted} of {seen.slots} slots in {_FREE_DAYS} are miscounted"
    yield Finding("counters", seen.miscounted == 0, found, "bookcli verify, and stop booking.")
    yield Finding("slots", True, f"{seen.free} of {seen.slots} slots in {_FREE_DAYS} are free")
