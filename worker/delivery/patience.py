"""Ends a conversation that takes too long, however slowly the other side goes on talking.

What must stay true: a socket's own time-out begins anew with every byte, so what takes longer in all is shut down from
outside; and nothing is shut down that has been left already.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

_TICK = 0.2
_lock = threading.Lock()
_watcher: threading.Thread | None = None


@dataclass(slots=True, eq=False)
class _Conversation:
    until: float
    sockets: list[socket.socket] = field(default_factory=list)
    over: bool = False

    def end(self) -> None:
        self.over = True
        for one in self.sockets:
            with contextlib.suppress(OSError):
                # Not that of an SSLSocket, which begins to talk in the clear.
                socket.socket.shutdown(one, socket.SHUT_RDWR)


_open: list[_Conversation] = []


@contextlib.contextmanager
def within(seconds: float, *sockets: socket.socket) -> Iterator[None]:
    """Shuts these sockets down, and those that are covered meanwhile, when the body takes longer.

    Raises TimeoutError then, whatever the body raises or returns: half an answer may look like a whole one.
    """
    conversation = _Conversation(time.monotonic() + seconds, list(sockets))
    with _lock:
        _open.append(conversation)
        _watch()
    try:
        yield
    except Exception:
        if not conversation.over:
            raise
    finally:
        with _lock:
            _open.remove(conversation)
    if conversation.over:
        raise TimeoutError


def cover(one: socket.socket) -> None:
    """From now on a socket ends with the conversation that was begun last, if there is one."""
    with _lock:
        if _open:
            _open[-1].sockets.append(one)
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
