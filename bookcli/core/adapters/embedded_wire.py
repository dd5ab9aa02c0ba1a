"""What is said over the embedded servers' sockets: just enough to know that a server serves.

What must stay true: nothing here waits longer than asked, however dead, frozen or slow the other side is.
"""

from __future__ import annotations

import contextlib
import io
import socket
import struct
from pathlib import Path

_PROTOCOL_3 = 196608
_AUTHENTICATED = bytes(4)


def log_in(path: Path, role: str, database: str, statement: str = "", seconds: float = 1.0) -> tuple[str, str]:
    """Log in to PostgreSQL and perhaps run one statement: the SQLSTATE of an error or '', and the server's version.

    Written out, because a bare connect() also succeeds while the server recovers and the driver is not for this layer.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(seconds)
        link.connect(str(path))
        words = f"user\0{role}\0database\0{database}\0\0".encode()
        link.sendall(struct.pack("!II", len(words) + 8, _PROTOCOL_3) + words)
        with link.makefile("rb") as stream:
            sqlstate, version = _until_ready(stream)
            if statement and not sqlstate:
                query = statement.encode() + b"\0"
                link.sendall(b"Q" + struct.pack("!I", len(query) + 4) + query)
                sqlstate, _ = _until_ready(stream)
        with contextlib.suppress(OSError):  # after an error the server is gone already
            link.sendall(b"X\0\0\0\4")
    return sqlstate, version


def _until_ready(stream: io.BufferedReader) -> tuple[str, str]:
    sqlstate = version = ""
    while len(head := stream.read(5)) == 5:
        kind, length = struct.unpack("!cI", head)
        body = stream.read(length - 4)
        if kind == b"E":
            sqlstate = next((field[1:].decode() for field in body.split(b"\0") if field.startswith(b"C")), "XX000")
        elif kind == b"S" and body.startswith(b"server_version\0"):
            version = body.split(b"\0")[1].decode().split()[0]
        elif kind == b"Z" or (kind == b"R" and body != _AUTHENTICATED):
            return sqlstate, version
    if not sqlstate:
        raise ConnectionResetError("the server hung up")
    return sqlstate, version


def ask(path: Path, words: bytes, seconds: float = 1.0) -> bytes:
    """Send Valkey one command and QUIT; everything the server says until it closes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
        link.settimeout(seconds)
        link.connect(str(path))
        link.sendall(words + b"\r\nQUIT\r\n")
        with link.makefile("rb") as stream:
            return stream.read()
