"""Keeps the session of this desk between commands, in a file that nobody else can read or it is refused.

What must stay true: a token is written nowhere else, and never sent to another database than the one that gave it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import zlib
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from ..config import Paths, Settings
from ..errors import InvalidInput, NotAllowed, Unavailable
from ..model.staff import SignedIn, checked_name, checked_role
from . import own_file

_SECRETS = re.compile(r"(?<=//)[^/@]*@|password=('[^']*'|\S*)", re.IGNORECASE)
_TOKEN = re.compile(r"[0-9a-f]{64}")


def path(paths: Paths, settings: Settings) -> Path:
    """The file for this database; its name says which, by a checksum of the address without user and password."""
    if not settings.database_url:
        return paths.sessions / "local"
    address = _SECRETS.sub("", settings.database_url)
    return paths.sessions / f"{zlib.crc32(address.encode()):08x}"


def read(file: Path) -> SignedIn | None:
    """What is kept; None when nothing is. Raises NotAllowed `session-file-open` when others could read or place it."""
    try:
        text, found = own_file.read(file, 4096)
    except FileNotFoundError:
        return None
    except OSError:
        raise _refused(file, "cannot be read, or is a link") from None
    _check(found, file, stat.S_ISREG, f"chmod 600 '{file}'")
    _check(file.parent.stat(), file.parent, stat.S_ISDIR, f"chmod 700 '{file.parent}'")
    return _understood(text)


def _understood(text: bytes) -> SignedIn | None:
    try:
        content = json.loads(text)
        token, expires_at = content["token"], datetime.fromisoformat(content["expires_at"])
        if not _TOKEN.fullmatch(token) or expires_at.tzinfo is None:
            return None
        return SignedIn(token, checked_name(content["name"]), checked_role(content["role"]), expires_at)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidInput):
        return None


def write(file: Path, session: SignedIn) -> None:
    """Keeps a session, whole or not at all. Raises NotAllowed as `read`, Unavailable when the disk takes no more."""
    content = {
        "token": session.token,
        "name": session.name,
        "role": session.role,
        "expires_at": session.expires_at.isoformat(),
    }
    part = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        file.parent.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.parent.mkdir(mode=0o700, exist_ok=True)
        _check(file.parent.stat(), file.parent, stat.S_ISDIR, f"chmod 700 '{file.parent}'")
        part.unlink(missing_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(content, stream)
        part.replace(file)
    except OSError as problem:
        with contextlib.suppress(OSError):
            part.unlink()
        raise Unavailable(
            "The session cannot be kept.", hint=f"{file.parent}: {problem.strerror}", code="session-not-kept"
        ) from None


def forget(file: Path) -> None:
    """Removes what is kept; harmless when nothing is."""
    with contextlib.suppress(FileNotFoundError):
        file.unlink()


def _check(found: os.stat_result, what: Path, expected: Callable[[int], bool], advice: str) -> None:
    wrong, can_be_mended = own_file.flaw(found, expected)
    if wrong:
        raise _refused(what, wrong, advice if can_be_mended else "")


def _refused(what: Path, why: str, advice: str = "") -> NotAllowed:
    return NotAllowed(
        f"The session is not used, because {what} {why}.", hint=advice or f"Remove it: {what}", code="session-file-open"
    )
