"""What `bookcli doctor` looks at beyond this machine: roles, replication, pool, logs, queues, cache, kept requests.

What must stay true: nothing is changed, and what this desk may not see is said to be unseen, not well.
"""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from datetime import timedelta

from .. import clock
from ..context import Context
from ..db import engine, health
from ..errors import BookcliError, NotAllowed, Unavailable
from ..model.findings import Finding
from . import cache, pending, tasks

LONGEST_UNSENT = timedelta(hours=1)
LONGEST_WAITING = timedelta(minutes=10)
MOST_LAG_BYTES = 64 * 1024 * 1024


def server(context: Context, connection: engine.Connection) -> Iterator[Finding]:
    """The database server around this desk."""
    yield from _role(context, connection)
    yield from _replication(connection)
    yield _pool(context, connection)
    talkative = health.talkative(connection)
    found = f"{', '.join(talkative)} let it quote values" if talkative else "the server's log quotes no values"
    yield Finding("server log", not talkative, found, "A superuser sets what schema.sql says: bookcli db check.")
    open_to_all = health.anybody_locks(connection)
    found = "whoever can connect can keep the locks of bookings" if open_to_all else "only bookings take their locks"
    yield Finding("locks", not open_to_all, found, "A superuser forbids it as schema.sql does: REVOKE EXECUTE ….")
    waited = health.oldest_unsent(connection)
    found = f"the oldest unsent message has waited {_length(waited)}" if waited else "no message waits"
    yield Finding("messages", not waited or waited < LONGEST_UNSENT, found, "See whether a worker runs.")
    yield from _workers(context, waited)


def _workers(context: Context, waited: timedelta | None) -> Iterator[Finding]:
    """Whether workers were seen lately; of one that nobody needs it is no matter that it does not run."""
    with contextlib.suppress(BookcliError):
        seen = min((run.age for run in tasks.last_runs(context)), default=None)
        found = "no worker was seen" if seen is None else f"a worker was seen {_length(timedelta(seconds=seen))} ago"
        lately = seen is not None and seen < tasks.LONGEST_SILENCE
        yield Finding("workers", lately or not waited, found, "Start one: bookcli worker run.")


def _role(context: Context, connection: engine.Connection) -> Iterator[Finding]:
    role = health.role(connection)
    if context.embedded:
        yield Finding("role", True, f"{role.name}, at this user's own servers")
    else:
        more = "a superuser" if role.superuser else "an owner of the schema" if role.owner else ""
        found = f"{role.name} is {more or ('a machine' if role.machine else 'none of the roles of bookcli')}"
        advice = "Log in as a role of its own: CREATE ROLE … LOGIN IN ROLE bookcli_desk."
        yield Finding("role", role.machine and not more, found, advice)
    powerful = ", ".join(role.too_powerful)
    found = f"desks that may do more than a desk: {powerful}" if powerful else "no desk's role may do more than a desk"
    yield Finding("roles", not powerful, found, "Take from them what is not bookcli_desk: ALTER ROLE, REVOKE.")


def _replication(connection: engine.Connection) -> Iterator[Finding]:
    seen = health.replication(connection)
    nobody = seen.waited_for == 0 if seen.standbys else True
    if seen.names_set and seen.commits_wait and nobody:
        found = f"{seen.standbys} standbys, but none of those named" if seen.standbys else "no standby follows now"
        advice = "Start a standby that synchronous_standby_names names, or they wait for ever."
        yield Finding("replication", False, f"{found}: bookings wait", advice)
        return
    if not seen.standbys:
        found = "a single server, no standby"
        yield Finding("replication", seen.commits_wait, found, "Set synchronous_commit = on: bookings are lost else.")
        return
    well = seen.names_set and seen.commits_wait
    found = f"{seen.standbys} standbys, {'synchronous' if well else 'and a booking waits for none of them'}"
    yield Finding("replication", well, found, "Set synchronous_standby_names and synchronous_commit = on: README.")
    told = "this role may not see it (pg_monitor)" if seen.lag is None else f"{seen.lag // 1024} KiB behind at most"
    yield Finding("replication lag", (seen.lag or 0) <= MOST_LAG_BYTES, told, "Look at the standby's disk and network.")


def _pool(context: Context, connection: engine.Connection) -> Finding:
    try:
        with contextlib.closing(engine.connect(context.dsn)) as other:
            mode = health.pool_mode(connection, other)
    except Unavailable:
        mode = "full"
    found = {
        "none": "no pool: every desk has a connection of its own",
        "transaction": "a pool in transaction mode",
        "session": "a pool in session mode: every desk keeps a server connection",
        "unknown": "a pool, too busy to tell its mode",
        "full": "there is no second connection: the pool or the server is full",
    }[mode]
    advice = "Make room (max_connections, default_pool_size)." if mode == "full" else "Set pool_mode = transaction."
    return Finding("pool", mode not in {"session", "full"}, found, advice)


def queue(context: Context) -> Iterator[Finding]:
    """The Redis or Valkey that was set or runs here."""
    url = context.queue_address
    if not url:
        return
    from ..adapters import queue_health  # noqa: PLC0415 - redis is imported only where there is one

    try:
        seen = queue_health.look(url)
    except NotAllowed as unseen:
        yield Finding("queue", True, unseen.message)
        return
    except Unavailable as away:
        yield Finding("queue", False, away.message, "bookcli up" if not context.settings.redis_url else "Start it.")
        return
    yield Finding("queue", seen.writable, f"version {seen.version}", "It is a replica: name its primary in redis_url.")
    yield Finding("queue policy", seen.policy == "noeviction", seen.policy, "Set maxmemory-policy noeviction.")
    found = "an append-only file" if seen.append_only else "nothing is kept on disk"
    yield Finding("queue persistence", seen.append_only, found, "Set appendonly yes.")
    with contextlib.suppress(BookcliError):
        entries = cache.show(context).entries
        oldest = _length(timedelta(seconds=max((one.age for one in entries), default=0)))
        yield Finding("cache", True, f"{len(entries)} days, the oldest read {oldest} ago" if entries else "empty")


def kept(context: Context) -> Iterator[Finding]:
    """What is kept on this desk's disk: requests that wait, and sessions."""
    with contextlib.suppress(BookcliError):
        items = pending.items(context)
        damaged = sum(item.outcome == "damaged" for item in items)
        waiting = [item.kept.asked_at for item in items if item.kept and item.outcome in {"waiting", "unknown"}]
        age = clock.now() - min(waiting) if waiting else timedelta()
        found = f"{len(waiting)} wait, the oldest for {_length(age)}" if waiting else "no request waits"
        found += f", {damaged} damaged" if damaged else ""
        yield Finding("waiting requests", age < LONGEST_WAITING and not damaged, found, "bookcli pending replay")
    with contextlib.suppress(OSError):
        for file in sorted(context.paths.sessions.iterdir()):
            mode = stat.S_IMODE(file.stat().st_mode)
            if mode & 0o077:
                yield Finding("session file", False, f"{file} has mode {mode:04o}", f"chmod 600 '{file}'")


def _length(time: timedelta) -> str:
    minutes = int(time.total_seconds()) // 60
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes} min"
