"""What this desk's role may see of the server around it: roles, replication, pool, logs, and how long messages wait.

What must stay true: every answer is about the server, never about a patient, and needs no more than a desk's role.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, NamedTuple

from .engine import Connection, call

_ROLE = """
SELECT session_user, r.rolsuper, pg_has_role(session_user, 'bookcli_owner', 'MEMBER'),
       EXISTS (SELECT FROM unnest(ARRAY['bookcli_desk', 'bookcli_worker', 'bookcli_auditor', 'bookcli_admin']) kind
                WHERE pg_has_role(session_user, kind, 'MEMBER')),
       ARRAY(SELECT o.rolname::text FROM pg_roles o
              WHERE o.rolcanlogin AND NOT o.rolsuper AND pg_has_role(o.oid, 'bookcli_desk', 'USAGE')
                AND (o.rolcreaterole OR o.rolcreatedb OR o.rolreplication OR o.rolbypassrls
                     OR pg_has_role(o.oid, 'bookcli_owner', 'MEMBER') OR pg_has_role(o.oid, 'bookcli_worker', 'MEMBER'))
              ORDER BY 1)
  FROM pg_roles r WHERE r.rolname = session_user
"""
_REPLICATION = """
SELECT count(*),
       CASE WHEN count(sync_state) = count(*) THEN count(*) FILTER (WHERE sync_state IN ('sync', 'quorum')) END,
       current_setting('synchronous_standby_names') <> '',
       current_setting('synchronous_commit') NOT IN ('off', 'local'),
       CASE WHEN pg_is_in_recovery() THEN NULL
            ELSE max(pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn)) END::bigint
  FROM pg_stat_replication
"""
_LOGS = {"log_error_verbosity": "terse", "log_parameter_max_length": "0", "log_parameter_max_length_on_error": "0"}
"""What schema.sql sets, so that no server's log says who its patients are."""
_ANYBODY_LOCKS = """
SELECT coalesce(bool_or(has_function_privilege('public', p.oid, 'EXECUTE')), false) FROM pg_proc p
 WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.proname IN ('pg_advisory_lock', 'pg_advisory_xact_lock')
"""

_LOOKS = 4


class Role(NamedTuple):
    """The role this desk logs in as, and the names of desks' roles that may do more than a desk."""

    name: str
    superuser: bool
    owner: bool
    machine: bool
    too_powerful: list[str]


class Replication(NamedTuple):
    """How many standbys follow, how many of them commits wait for, how many bytes the last is behind; None is not told.

    `names_set`: the settings name whom to wait for; `commits_wait`: they say that commits wait.
    """

    standbys: int
    waited_for: int | None
    names_set: bool
    commits_wait: bool
    lag: int | None


def role(connection: Connection) -> Role:
    """Who this desk is to the server. Who may only give the role of desks to others (PostgreSQL 16) is no desk."""
    return Role(*_row(connection, _ROLE))


def replication(connection: Connection) -> Replication:
    """How the server is copied, as far as this role may see."""
    return Replication(*_row(connection, _REPLICATION))


def talkative(connection: Connection) -> list[str]:
    """The settings with which the server's log may quote patients; they should be none."""
    values = _row(connection, "SELECT " + ", ".join(f"current_setting('{name}')" for name in _LOGS))
    return [name for (name, wanted), value in zip(_LOGS.items(), values, strict=True) if value != wanted]


def anybody_locks(connection: Connection) -> bool:
    """Whether everybody who can connect may take the locks of the kernel, which schema.sql forbids where it can."""
    return bool(_row(connection, _ANYBODY_LOCKS)[0])


def oldest_unsent(connection: Connection) -> timedelta | None:
    """How long the message has waited that waits longest; None when none waits."""
    (age,) = _row(connection, "SELECT app.oldest_unsent()")
    return age if isinstance(age, timedelta) else None


def pool_mode(connection: Connection, other: Connection) -> str:
    """`none`, `transaction`, `session`, or `unknown` for a pool too busy to tell, seen by two desks that take turns.

    A pool shows its clients process numbers of its own; in transaction pooling the second desk is given what the
    first has just left.
    """
    seen = [(_process(connection), _process(other)) for _ in range(_LOOKS)]
    if seen[0] == (connection.info.backend_pid, other.info.backend_pid):
        return "none"
    if any(mine == theirs for mine, theirs in seen):
        return "transaction"
    return "session" if len(set(seen)) == 1 else "unknown"


def _process(connection: Connection) -> int:
    return int(_row(connection, "SELECT pg_backend_pid()")[0])


def _row(connection: Connection, statement: str) -> tuple[Any, ...]:
    with call(connection, writes=False) as cursor:
        cursor.execute(statement.encode())
        row = cursor.fetchone()
    assert row is not None
    return row
