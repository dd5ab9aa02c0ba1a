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
from datetime import datetime
from pathlib import Path

from ..config import Paths, Settings
from ..errors import NotAllowed, Unavailable
from ..model.staff import SignedIn

_SECRETS = re.compile(r"(?<=//)[^/@]*@|password=('[^']*'|\S*)", re.IGNORECASE)


def path(paths: Paths, settings: Settings) -> Path:
    """The file for this database; its name says which, by a checksum of the address without user and password."""
    if not settings.database_url:
        return paths.sessions / "local"
    address = _SECRETS.sub("", settings.database_url)
    return paths.sessions / f"{zlib.crc32(address.encode()):08x}"


def read(file: Path) -> SignedIn | None:
    """What is kept; None when nothing is. Raises NotAllowed `session-file-open` when others could read or place it."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError:
        raise _refused(file, "cannot be read, or is a link") from None
    with os.fdopen(descriptor, encoding="utf-8") as stream:
        _check(os.fstat(stream.fileno()), file, 0o077, f"chmod 600 '{file}'")
        _check(file.parent.stat(), file.parent, 0o077, f"chmod 700 '{file.parent}'")
        return _understood(stream.read(4096))


def _understood(text: str) -> SignedIn | None:
    try:
        content = json.loads(text)
        return SignedIn(
            str(content["token"]),
            str(content["name"]),
            str(content["role"]),
            datetime.fromisoformat(content["expires_at"]),
        )
    except (ValueError, KeyError, TypeError):
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
        _check(file.parent.stat(), file.parent, 0o077, f"chmod 700 '{file.parent}'")
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


def _check(found: os.stat_result, what: Path, forbidden: int, advice: str) -> None:
    regular = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
    if not regular or found.st_uid != os.geteuid():
        raise _refused(what, "does not belong to you")
    if stat.S_IMODE(found.st_mode) & forbidden:
        raise _refused(what, "can be reached by others", advice)


def _refused(what: Path, why: str, advice: str = "") -> NotAllowed:
    return NotAllowed(
        f"The session is not used, because {what} {why}.", hint=advice or f"Remove it: {what}", code="session-file-open"
    )
