"""Opens every database connection there is, and turns the driver's errors into ours.

What must stay true: a connection can sit behind a transaction pool (no session state, no prepared statements,
autocommit), nothing waits longer than the deadline, and no error text of the driver, which may quote patient
data, leaves this module.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import psycopg

from ... import __version__
from ..errors import BookcliError, InvalidInput, NotAllowed, OutcomeUnknown, Refused, Unavailable
from .transport import turned_away, untrusted
from .watchdog import watched


class Connection(psycopg.Connection[tuple[Any, ...]]):
    """A desk's connection; `deadline` is how many seconds one call may take, `token` the session every call carries.

    Behind a transaction pool a connection has no state at the server, so the token is sent each time.
    """

    deadline = 8.0
    token: str | None = None


TRY_AGAIN = frozenset({"40001", "40P01"})
SLOT_BUSY = "55P03"
AWAY = frozenset(
    {"25006", "25P03", "57P01", "57P02", "57P03", "57P05", "53100", "53200", "53300", "54000", "08P01", "57014"}
)
"""SQLSTATEs that mean the database is away rather than that the request is wrong (traps.md, "Errors")."""

_MADE_MEANWHILE = frozenset(
    {
        *("request_pkey", "patient_mrn_key", "site_code_key", "test_code_key", "resource_site_id_code_key"),
        "notification_once",
    }
)
"""Another desk created the same thing a moment ago: sent again, the call finds it and decides."""

GONE = frozenset({"25006", "25P03", "57P01", "57P02", "57P03", "57P05"})
"""SQLSTATEs after which this connection is of no more use, but a new one may be; nothing was committed."""

SIGN_IN_PROBLEMS = {
    "not-signed-in": ("Nobody is signed in at this desk.", "bookcli login"),
    "session-expired": ("The session has ended.", "bookcli login"),
    "session-locked": ("The session is locked.", "bookcli login"),
    "password-change-needed": ("Your password must be changed first.", "bookcli passwd"),
    "forbidden": ("You are not allowed to do that.", "bookcli whoami --permissions shows what you may do."),
}
"""The codes with which `app.enter` ends a call, and what is said."""

_POOL_HAD_NO_ROOM = ("query_wait_timeout", "server login has been failing", "no more connections allowed")
"""What pgbouncer says before a statement ran; its other 08P01 may come after the server has committed."""

_BY_CONSTRAINT = {
    "slot_booked_within_capacity": "slot-full",
    "occupancy_pkey": "slot-full",
    "occupancy_place_within_capacity": "slot-full",
    "appointment_patient_in_one_place": "patient-overlap",
}


def connect(dsn: str, *, deadline: float = 8.0, desk: str = "") -> Connection:
    """An autocommit connection that survives transaction pooling. Raises Unavailable within 2 s or so.

    `desk` is written beside what was done; without one it is the name of the machine.
    """
    try:
        connection = Connection.connect(
            dsn,
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=2,
            tcp_user_timeout=3000,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            application_name=f"bookcli/{__version__} {(desk or os.uname().nodename).split('.')[0]}"[:63],
        )
    except psycopg.Error as problem:
        raise untrusted(problem) or turned_away(problem) or _away(problem, "connect") from None
    connection.deadline = deadline
    return connection


def address(dsn: str) -> str:
    """Where a database is: host, port and name, without who asks and what they must not tell."""
    where = psycopg.conninfo.conninfo_to_dict(dsn)
    host = where.get("host") or where.get("hostaddr") or "local"
    return f"{host}:{where.get('port') or 5432}/{where.get('dbname') or where.get('user') or ''}"


@contextlib.contextmanager
def call(
    connection: Connection, *, writes: bool, deadline: float | None = 0
) -> Iterator[psycopg.Cursor[tuple[Any, ...]]]:
    """A cursor for one statement, with a watchdog (`deadline` 0: the connection's, None: none) and translated errors.

    Statement time-outs and keepalives do not end the wait for a frozen server; shutting the socket down does.
    Raises OutcomeUnknown when a write may or may not have been committed, RetryableConflict to send it again.
    """
    notices: list[str] = []

    def on_notice(diagnostic: psycopg.errors.Diagnostic) -> None:
        notices.append(diagnostic.sqlstate or "")

    connection.add_notice_handler(on_notice)
    try:
        with (
            watched(connection.fileno(), connection.deadline if deadline == 0 else deadline),
            connection.cursor() as cursor,
        ):
            yield cursor
    except psycopg.Error as problem:
        raise _translated(problem, connection, writes) from None
    except UnicodeEncodeError:
        raise InvalidInput("The text holds characters that are not valid Unicode.", code="text-not-unicode") from None
    finally:
        connection.remove_notice_handler(on_notice)
    # A cancelled wait for a synchronous standby answers success with a warning: committed here, perhaps nowhere else.
    if writes and "01000" in notices:
        raise OutcomeUnknown("The database could not confirm that the change is safe.")


class RetryableConflict(BookcliError):
    """Another transaction came in between; nothing was changed and the same call may be sent again at once."""

    code = "conflict"


def _translated(problem: psycopg.Error, connection: Connection, writes: bool) -> BookcliError:
    state = problem.sqlstate
    if state is None:
        if not (connection.closed or isinstance(problem, psycopg.OperationalError)):
            return InvalidInput("A value cannot be stored in the database.", code="value-not-storable")
        if writes:
            return OutcomeUnknown("The connection was lost before the database answered.")
        return _away(problem, "answer")
    if writes and problem.diag.severity_nonlocalized == "PANIC":
        # The server fell while it wrote, whatever the reason; what it had written by then it finds again.
        connection.close()
        return OutcomeUnknown("The database crashed before it had answered.")
    constraint = problem.diag.constraint_name or ""
    if state in TRY_AGAIN or constraint in _MADE_MEANWHILE:
        return RetryableConflict("Another change came in between.", details={"sqlstate": state})
    if state == SLOT_BUSY:
        return RetryableConflict("The slot is busy.", code="busy", details={"sqlstate": state})
    if constraint in _BY_CONSTRAINT:
        return Refused("The database refused it.", code=_BY_CONSTRAINT[constraint], details={"constraint": constraint})
    if state in GONE:
        connection.close()
    if writes and state.startswith("08") and not _never_ran(problem):
        return OutcomeUnknown("The connection was lost before the database answered.")
    if state in AWAY or state.startswith("08"):
        return _away(problem, "answer")
    return _by_class(state, constraint, problem)


def _never_ran(problem: psycopg.Error) -> bool:
    return any(words in (problem.diag.message_primary or "") for words in _POOL_HAD_NO_ROOM)


def _by_class(state: str, constraint: str, problem: psycopg.Error) -> BookcliError:
    if state == "42501" and problem.diag.message_primary in SIGN_IN_PROBLEMS:
        return _not_entered(problem.diag.message_primary)
    if state in {"42501", "28000", "28P01"}:
        return NotAllowed("The database does not allow this desk to do that.", details={"sqlstate": state})
    if state in {"3F000", "42P01", "42883"}:
        return Unavailable(
            "The database has no bookcli schema, or an older one.", hint="bookcli db check", code="schema-missing"
        )
    if state.startswith(("22", "23")):
        return InvalidInput(
            "A value is not allowed here.", hint=constraint, details={"sqlstate": state, "constraint": constraint}
        )
    unexpected = RuntimeError(f"unexpected database error, SQLSTATE {state} {constraint}".strip())
    raise unexpected from None


def _not_entered(code: str) -> NotAllowed:
    message, hint = SIGN_IN_PROBLEMS[code]
    return NotAllowed(message, hint=hint, code=code, details={"sqlstate": "42501"})


def _away(problem: psycopg.Error, when: str) -> Unavailable:
    return Unavailable(
        "The database does not answer.",
        hint="Nothing was changed. Try again, or see: bookcli status",
        code="database-away",
        details={"sqlstate": problem.sqlstate, "when": when},
    )
