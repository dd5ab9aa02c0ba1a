"""Calls of the gateway's functions: signing in and out, and who works here.

What must stay true: a password never comes here, only the key it was stretched to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from ..model.staff import Member, Person, Session, Stretching
from .engine import Connection, call


class Answer(NamedTuple):
    """What `app.sign_in` said; everything but the verdict and the seconds to wait is None unless `signed-in`."""

    verdict: str
    token: str | None
    name: str | None
    full_name: str | None
    role: str | None
    expires_at: datetime | None
    idle_seconds: int | None
    must_change: bool | None
    wait_seconds: int


@dataclass(frozen=True, slots=True)
class Password:
    """A stretched password and how it was stretched."""

    key: bytes
    how: Stretching

    @property
    def values(self) -> tuple[Any, ...]:
        """As the functions of the schema take them: key, salt, passes, memory, lanes."""
        return (self.key, self.how.salt, self.how.passes, self.how.memory_kib, self.how.lanes)


def parameters(connection: Connection, name: str) -> tuple[Stretching, Stretching]:
    """How the password of a name is stretched, and the least a new one is (without salt).

    For an unknown name an answer that looks like any other.
    """
    row = _one(connection, "SELECT * FROM app.sign_in_parameters(%s)", (name,), writes=False)
    return Stretching(bytes(row[0]), *row[1:4]), Stretching(b"", *row[4:])


def sign_in(connection: Connection, name: str, key: bytes, previous: str | None) -> Answer:
    """Opens a session and ends the `previous` one."""
    return Answer(*_one(connection, "SELECT * FROM app.sign_in(%s, %s, %s)", (name, key, previous)))


def sign_in_here(connection: Connection, name: str, role: str = "manager") -> tuple[str, datetime]:
    """(token, expires_at) for whoever owns the database. Raises NotAllowed for anybody else."""
    token, expires_at, _ = _one(connection, "SELECT * FROM app.sign_in_here(%s, %s::app.staff_role)", (name, role))
    return token, expires_at


def has_password(connection: Connection, name: str) -> bool:
    """Whether somebody has one, asked by whoever owns the database. Raises NotAllowed for anybody else."""
    with call(connection, writes=False) as cursor:
        cursor.execute("SELECT has_password FROM app.list_staff() WHERE name = %s", (name,))
        row = cursor.fetchone()
    return bool(row and row[0])


def sign_out(connection: Connection) -> bool:
    """Ends the connection's session; False when it had ended."""
    return bool(_one(connection, "SELECT app.sign_out(%s)", (connection.token,))[0])


def lock(connection: Connection) -> bool:
    """Locks the connection's session; False when it had ended."""
    return bool(_one(connection, "SELECT app.lock_session(%s)", (connection.token,))[0])


def whoami(connection: Connection) -> Person | None:
    """Whose session it is; None for a token that never was one."""
    with call(connection, writes=False) as cursor:
        cursor.execute("SELECT * FROM app.whoami(%s)", (connection.token,))
        row = cursor.fetchone()
    if row is None:
        return None
    return Person(*row)._replace(sites=tuple(row[3]), permissions=tuple(row[-1]))


def meanings(connection: Connection) -> dict[str, str]:
    """Every permission and what it allows."""
    with call(connection, writes=False) as cursor:
        cursor.execute("SELECT permission, meaning FROM app.permission")
        return dict(cursor.fetchall())


def change_password(connection: Connection, old: bytes | None, new: Password, *, only_stretched: bool = False) -> str:
    """changed, wrong-credentials or locked."""
    values = (connection.token, old, *new.values, only_stretched)
    return str(_one(connection, "SELECT app.change_password(%s, %s, %s, %s, %s, %s, %s, %s)", values)[0])


def add(connection: Connection, name: str, called: str, role: str, sites: Sequence[str], password: Password) -> str:
    """created, name-taken or site-unknown."""
    statement = "SELECT app.add_staff(%s, %s, %s::app.staff_role, %s::text[], %s, %s, %s, %s, %s, %s)"
    values = (name, called, role, list(sites), *password.values, connection.token)
    return str(_one(connection, statement, values)[0])


def change(
    connection: Connection,
    name: str,
    *,
    role: str | None = None,
    sites: Sequence[str] | None = None,
    enabled: bool | None = None,
) -> str:
    """changed, unchanged, staff-unknown, site-unknown or last-manager; None leaves as it is, no sites mean all."""
    statement = "SELECT app.change_staff(%s, %s::app.staff_role, %s::text[], %s, %s)"
    values = (name, role, None if sites is None else list(sites), enabled, connection.token)
    return str(_one(connection, statement, values)[0])


def reset(connection: Connection, name: str, password: Password) -> str:
    """changed or staff-unknown."""
    statement = "SELECT app.reset_password(%s, %s, %s, %s, %s, %s, %s)"
    return str(_one(connection, statement, (name, *password.values, connection.token))[0])


def revoke(connection: Connection, *, name: str = "", session: int | None = None) -> int:
    """How many live sessions were ended."""
    statement = "SELECT app.revoke_sessions(%s, %s::bigint, %s)"
    return int(_one(connection, statement, (name or None, session, connection.token))[0])


def staff(connection: Connection) -> list[Member]:
    """Everybody, by name."""
    with call(connection, writes=False) as cursor:
        cursor.execute("SELECT * FROM app.list_staff(%s)", (connection.token,))
        return [Member(name, full, role, tuple(sites), *rest) for name, full, role, sites, *rest in cursor]


def sessions(connection: Connection) -> list[Session]:
    """Those that are live or locked, oldest first."""
    with call(connection, writes=False) as cursor:
        cursor.execute("SELECT * FROM app.list_sessions(%s)", (connection.token,))
        return [Session(*row) for row in cursor]


def _one(connection: Connection, statement: str, values: tuple[Any, ...], *, writes: bool = True) -> tuple[Any, ...]:
    with call(connection, writes=writes) as cursor:
        cursor.execute(statement.encode(), values)
        row = cursor.fetchone()
    assert row is not None
    return row
