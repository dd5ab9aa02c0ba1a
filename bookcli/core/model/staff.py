"""Who works here, who is signed in, and what may be a name or a password; no message repeats either."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from ..errors import InvalidInput
from .text import nearest

ROLES = ("desk", "manager", "auditor", "worker")
FEWEST_CHARACTERS = 10
MOST_CHARACTERS = 256
_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,38}[a-z0-9])?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Stretching:
    """How a password is stretched by argon2id (RFC 9106): salt, passes, memory in KiB, lanes."""

    salt: bytes
    passes: int
    memory_kib: int
    lanes: int

    def weaker_than(self, other: Stretching) -> bool:
        """Whether one of the costs is below the other's."""
        return self.passes < other.passes or self.memory_kib < other.memory_kib or self.lanes < other.lanes


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session as the desk keeps it: the token opens it, until `expires_at` (aware, the database's clock).

    `must_change`: somebody else chose the password, and nothing can be done but to change it.
    """

    token: str
    name: str
    role: str
    expires_at: datetime
    must_change: bool = False


class Person(NamedTuple):
    """Whose session it is. `sites` empty means all; `problem` says why it opens nothing, None when it is live."""

    name: str
    full_name: str
    role: str
    sites: tuple[str, ...]
    session_id: int
    started_at: datetime
    seen_at: datetime
    expires_at: datetime
    idle_seconds: int
    problem: str | None
    permissions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """One of the staff. `sites` empty means all."""

    name: str
    full_name: str
    role: str
    sites: tuple[str, ...]
    has_password: bool
    must_change: bool
    disabled_at: datetime | None
    live_sessions: int


@dataclass(frozen=True, slots=True)
class Session:
    """A session that is live or locked; `machine` is the role it came in through, `own` whether it is the asker's."""

    session_id: int
    name: str
    role: str
    machine: str
    source: str
    started_at: datetime
    seen_at: datetime
    expires_at: datetime
    locked: bool
    own: bool


def checked_name(text: str) -> str:
    """A name to sign in with, in lower case. Raises InvalidInput `staff-name-invalid`."""
    name = text.strip().lower()
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            "That cannot be a name to sign in with.",
            hint="up to 40 lower-case letters, digits, dots, hyphens and underscores, such as a.moreno",
            code="staff-name-invalid",
            details={"field": "name"},
        )
    return name


def checked_role(text: str) -> str:
    """One of ROLES. Raises InvalidInput `role-unknown`."""
    role = text.strip().lower()
    if role not in ROLES:
        raise InvalidInput(
            "There is no such role.", hint="One of " + ", ".join(nearest(role, ROLES) or ROLES), code="role-unknown"
        )
    return role


def normal_password(text: str) -> str:
    """The password in the form that is stretched: NFKC, so that two keyboards agree (NIST SP 800-63B, 5.1.1.2).

    Raises InvalidInput `password-invalid` for nothing, far too much and what is not Unicode.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _bad_password("it is not valid Unicode") from None
    if not text:
        raise InvalidInput(
            "A password is needed.", hint="none was typed", code="password-invalid", details={"field": "password"}
        )
    if len(text) > 4 * MOST_CHARACTERS:
        raise _bad_password(f"it has between 1 and {MOST_CHARACTERS} characters")
    return unicodedata.normalize("NFKC", text)


def new_password(text: str, name: str) -> str:
    """A password that somebody chooses, as `normal_password`; long, and not the name. Raises InvalidInput."""
    password = normal_password(text)
    if not FEWEST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        raise _bad_password(f"choose {FEWEST_CHARACTERS} to {MOST_CHARACTERS} characters; a few words are best")
    if len(set(password)) < 5 or (name and name in password.lower() and len(password) < len(name) + 6):
        raise _bad_password("choose something that is harder to guess")
    return password


def _bad_password(hint: str) -> InvalidInput:
    return InvalidInput(
        "That password cannot be used.", hint=hint, code="password-invalid", details={"field": "password"}
    )
