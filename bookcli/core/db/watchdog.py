"""Ends the wait for a server that no longer answers, by shutting its socket down.

Neither statement_timeout nor keepalives end the wait for a frozen server (traps.md, "Time-outs"). One thread
watches all calls of the process: a thread per call would cost more than the call.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..errors import BookcliError, Unavailable

if TYPE_CHECKING:
    from .engine import Connection

_TICK = 0.25
_condition = threading.Condition()
_calls: dict[object, tuple[float, int]] = {}
_running = False


@contextlib.contextmanager
def watched(descriptor: int, seconds: float | None) -> Iterator[None]:
    """Shuts the socket `descriptor` down when the body takes longer than `seconds` (None: never)."""
    if seconds is None:
        yield
        return
    ticket = object()
    _start(ticket, time.monotonic() + seconds, descriptor)
    try:
        yield
    finally:
        with _condition:
            _calls.pop(ticket, None)


def _start(ticket: object, until: float, descriptor: int) -> None:
    global _running
    with _condition:
        _calls[ticket] = (until, descriptor)
        if _running:
            _condition.notify()
            return
        _running = True
    threading.Thread(target=_watch, name="bookcli-watchdog", daemon=True).start()


def _watch() -> None:
    while True:
        with _condition:
            while not _calls:
                _condition.wait()
            late = [(ticket, call[1]) for ticket, call in list(_calls.items()) if call[0] < time.monotonic()]
            for ticket, descriptor in late:
                # Still registered under the lock, hence still the same socket.
                if _calls.pop(ticket, None) is not None:
                    _cut(descriptor)
        time.sleep(_TICK)


def _cut(descriptor: int) -> None:
    with contextlib.suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as end:
        end.shutdown(socket.SHUT_RDWR)


def _after_fork() -> None:
    global _condition, _running
    _condition = threading.Condition()
    _running = False
    _calls.clear()


os.register_at_fork(after_in_child=_after_fork)


def opened_within(seconds: float, open_: Callable[[], Connection]) -> Connection:
    """The connection, or Unavailable when it is not open after so many seconds: libpq itself waits two at least.

    One that is opened too late is closed by the thread that opened it; a process that ends does not wait for it.
    """
    lock = threading.Lock()
    results: list[Connection | BookcliError] = []
    given_up: list[bool] = []

    def work() -> None:
        try:
            result: Connection | BookcliError = open_()
        except BookcliError as problem:
            result = problem
        with lock:
            results.append(result)
            late = bool(given_up)
        if late and not isinstance(result, BookcliError):
            result.close()

    thread = threading.Thread(target=work, name="bookcli-connect", daemon=True)
    thread.start()
    thread.join(seconds)
    with lock:
        given_up.append(True)
        result = results[0] if results else None
    if result is None:
        raise Unavailable("The database does not answer.", hint="See: bookcli status", code="database-away")
    if isinstance(result, BookcliError):
        raise result
    return result
