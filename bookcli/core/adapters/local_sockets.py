"""Where the embedded servers listen, worked out from the data directory alone.

What must stay true: importing this costs nothing, nothing is started or created here, and every process
with the same data directory gets the same addresses whatever its environment holds.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..config import Paths
from ..errors import NotAllowed, Unavailable

DATABASE = "bookcli"
ROLE = "bookcli"
PORT = 5432
SERVER_USERS = ("bookcli", "postgres", "nobody")

# A socket address holds 107 bytes on Linux and 103 on macOS.
_LONGEST_SOCKET = 103
# Not XDG_RUNTIME_DIR: a cron job of the same user does not have it and would look elsewhere.
_SHORT_PARENT = Path("/tmp")
_UNQUOTED = frozenset(b"/-._~abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def postgres_dsn(paths: Paths) -> str:
    """The libpq URL of the embedded PostgreSQL. Raises NotAllowed when its socket directory is somebody else's."""
    directory = socket_directory(paths)
    address = f"postgresql://{ROLE}@/{DATABASE}?host={_quoted(directory)}&port={PORT}"
    if directory.parent == _SHORT_PARENT and (peer := _server_user_name(paths)):
        address += f"&requirepeer={_quoted(peer)}"
    return address


def valkey_url(paths: Paths) -> str:
    """The redis-py URL of the embedded Valkey. Raises NotAllowed when its socket directory is somebody else's."""
    return f"unix://{_quoted(valkey_socket(paths))}?db=0"


def postgres_socket(paths: Paths) -> Path:
    """The file on which the embedded PostgreSQL answers."""
    return socket_directory(paths) / f".s.PGSQL.{PORT}"


def valkey_socket(paths: Paths) -> Path:
    """The file on which the embedded Valkey answers."""
    return socket_directory(paths) / "valkey.sock"


def socket_directory(paths: Paths) -> Path:
    """`run` in the data directory, or a short directory in /tmp when a socket in there would be too long a path.

    So it is when the path has a comma, at which libpq parts host names, however it is quoted.
    Raises NotAllowed when the short directory exists and others could have put a server of their own in it.
    """
    beside = paths.data.absolute() / "run"
    if len(os.fsencode(beside / f".s.PGSQL.{PORT}")) <= _LONGEST_SOCKET and "," not in str(beside):
        return beside
    import hashlib  # noqa: PLC0415 - 3 ms, and hardly any path is that long

    digest = hashlib.blake2b(os.fsencode(os.path.realpath(paths.data)), digest_size=8).hexdigest()
    directory = _SHORT_PARENT / f"bookcli-{digest}"
    _refuse_foreign(directory, paths)
    return directory


def server_user_id(paths: Paths) -> int:
    """The user id the servers run as: oneself, or for root whoever owns the files, else the first of SERVER_USERS.

    Raises Unavailable for root on a machine that has none of these users.
    """
    if os.geteuid() != 0:
        return os.geteuid()
    for directory in (paths.postgres, paths.valkey, paths.data):
        try:
            owner = directory.lstat().st_uid
        except OSError:
            continue
        if owner != 0:
            return owner
    import pwd  # noqa: PLC0415 - does not exist everywhere, and only root needs it

    for name in SERVER_USERS:
        try:
            return pwd.getpwnam(name).pw_uid
        except KeyError:
            continue
    raise Unavailable(
        "The local servers cannot run as root, and this machine has no other user for them.",
        hint="Create one: useradd --system bookcli",
        code="no-server-user",
    )


def _server_user_name(paths: Paths) -> str:
    import pwd  # noqa: PLC0415 - only for the short directory

    try:
        return pwd.getpwuid(server_user_id(paths)).pw_name
    except KeyError:
        return ""


def _refuse_foreign(directory: Path, paths: Paths) -> None:
    try:
        found = directory.lstat()
    except FileNotFoundError:
        return
    ours = found.st_uid in (os.geteuid(), server_user_id(paths))
    if not (stat.S_ISDIR(found.st_mode) and ours and stat.S_IMODE(found.st_mode) & 0o077 == 0):
        raise NotAllowed(
            f"The directory {directory}, in which the local servers listen, belongs to or is open to somebody else.",
            hint="Have it removed, or set BOOKCLI_HOME to a directory with a shorter path.",
            code="socket-directory-foreign",
        )


def _quoted(path: Path | str) -> str:
    return "".join(chr(byte) if byte in _UNQUOTED else f"%{byte:02X}" for byte in os.fsencode(path))
