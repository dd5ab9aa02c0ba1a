"""Ends a conversation that takes too long, however slowly the other side goes on talking.

What must stay true: a socket's own time-out begins anew with every byte, so what takes longer in all is shut down from
outside; and nothing is shut down that has been left already.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time

_TICK = 0.2
_lock = threading.Lock()
_watcher: threading.Thread | None = None


class Conversation:
    """What is said on some sockets; as a context it ends in time."""

    def __init__(self, seconds: float, sockets: tuple[socket.socket, ...]) -> None:
        self.until = time.monotonic() + seconds
        self.sockets = list(sockets)
        self.twins: list[socket.socket] = []
        self.over = False

    def end(self) -> None:
        """From now on nothing is read or written on them."""
        self.over = True
        for one in (*self.sockets, *self.twins):
            with contextlib.suppress(OSError):
                # Not that of an SSLSocket, which begins to talk in the clear.
                socket.socket.shutdown(one, socket.SHUT_RDWR)

    def __enter__(self) -> None:
        with _lock:
            _open.append(self)
            _watch()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with _lock:
            _open.remove(self)
            for twin in self.twins:
                twin.close()
        if self.over and (kind is None or issubclass(kind, Exception)):
            raise TimeoutError from None


_open: list[Conversation] = []


def within(seconds: float, *sockets: socket.socket) -> Conversation:
    """A context that shuts these sockets down, and those that are covered meanwhile, when the body takes longer.

    It raises TimeoutError then, whatever the body raises or returns: half an answer may look like a whole one.
    """
    return Conversation(seconds, sockets)


def cover(one: socket.socket) -> None:
    """From now on a connection ends with the conversation that was begun last, if there is one.

    Also when TLS takes the socket over, which leaves this object empty: its twin ends the same connection.
    """
    with _lock:
        if _open:
            _open[-1].twins.append(one.dup())
            if _open[-1].over:
                _open[-1].end()


def _watch() -> None:
    """One thread for all conversations of the process, which costs each of them nothing; a fork has none."""
    global _watcher
    if _watcher is None or not _watcher.is_alive():
        _watcher = threading.Thread(target=_look_around, name="bookcli-patience", daemon=True)
        _watcher.start()


def _look_around() -> None:
    while True:
        time.sleep(_TICK)
        with _lock:
            for conversation in _open:
                if time.monotonic() > conversation.until:
                    conversation.end()
