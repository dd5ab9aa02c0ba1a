"""The life of one embedded server: find it, start it once however many ask, wait until it answers, stop it.

What must stay true: a server is started or its remains removed only with its lock held, and only after
looking again that it is neither answering nor running.
"""

from __future__ import annotations

import contextlib
import enum
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

from ..config import Paths, Settings
from ..errors import Unavailable
from . import embedded_os
from .embedded_os import ServerUser

_PAUSE = 0.01
_SOCKET_LOST_AFTER = 2.0
_FIRST_USE_SECONDS = 60.0


class Answer(enum.Enum):
    """What came back over a server's socket."""

    READY = "ready"
    EMPTY = "ready, but what belongs in it has not been created"
    BUSY = "somebody listens but does not serve yet, or any more"
    NOTHING = "nobody listens"


class EmbeddedServer(ABC):
    """What differs between the servers; the functions below are what they share."""

    name: str
    title: str
    announcement: str
    stop_signals: tuple[signal.Signals, ...]

    def __init__(self, paths: Paths, directory: Path, socket: Path) -> None:
        self.paths = paths
        self.directory = directory
        self.socket = socket

    @property
    def log(self) -> Path:
        """The server's first words of its latest start."""
        return self.directory / "start.log"

    @abstractmethod
    def answer(self) -> Answer:
        """Ask the server something real; takes at most a second."""

    @abstractmethod
    def version(self) -> str:
        """The version that runs, or that the files are of; empty when neither is known."""

    @abstractmethod
    def recorded_pid(self) -> int | None:
        """What the pid file says, true or not."""

    @abstractmethod
    def exists(self) -> bool:
        """Whether the server's files have been set up."""

    @abstractmethod
    def prepare(self, settings: Settings, user: ServerUser) -> list[str]:
        """Set the files up if they are not there; return the words that start the server."""

    @abstractmethod
    def fill(self) -> None:
        """Create what belongs in a server whose answer is EMPTY."""

    @abstractmethod
    def clear_remains(self) -> None:
        """Remove what a dead server left and the next one would stumble over."""

    @abstractmethod
    def start_failure(self, words: str) -> Unavailable | None:
        """What to tell the user about a start that failed with these words; None when trying again can help."""

    def pid(self) -> int | None:
        """The server's pid, if it runs."""
        pid = self.recorded_pid()
        if pid is None or not embedded_os.works_in(pid, self.directory, self.socket):
            return None
        return pid


def bring_up(server: EmbeddedServer, settings: Settings, announce: Callable[[str], None] | None) -> None:
    """Return when the server answers, having started it if need be. Raises Unavailable or InvalidInput."""
    if server.answer() is Answer.READY:
        return
    if announce is not None:
        announce(server.announcement)
    with _said_plainly(server):
        embedded_os.make_data_directory(server.paths)
        patience = settings.deadline_seconds if server.exists() else _FIRST_USE_SECONDS
        with embedded_os.held_lock(server.paths, server.name, patience):
            if server.answer() is not Answer.READY:
                _start(server, settings)


def take_down(server: EmbeddedServer) -> bool:
    """Stop the server and wait for its end; False when it was not running. Raises Unavailable when it will not end."""
    if not server.exists():
        return False
    with _said_plainly(server), embedded_os.held_lock(server.paths, server.name, _FIRST_USE_SECONDS):
        pid = server.pid()
        if pid is None:
            return False
        _end(server, pid)
        return True


def _start(server: EmbeddedServer, settings: Settings) -> None:
    user = embedded_os.server_user(server.paths)
    embedded_os.refuse_unreachable(server.paths.data, user)
    embedded_os.make_socket_directory(server.paths, user)
    words = server.prepare(settings, user)
    until = time.monotonic() + settings.deadline_seconds
    launched: int | None = None
    seen = time.monotonic()
    while (answer := server.answer()) is not Answer.READY:
        if answer is Answer.EMPTY:
            server.fill()
            continue
        pid = server.pid() or _still(launched)
        if pid is None and answer is Answer.NOTHING:
            _explain(server, launched)
            server.clear_remains()
            launched = embedded_os.launch(words, server.log, user)
            seen = time.monotonic()
        elif pid is not None and not server.socket.exists() and time.monotonic() > seen + _SOCKET_LOST_AFTER:
            _end_unreachable(server, pid)
            launched = None
        _wait_until(until, server)


def _end_unreachable(server: EmbeddedServer, pid: int) -> None:
    """Stop a server whose socket was removed, by a cleaner of /tmp perhaps: it runs, but nobody can ever reach it."""
    if str(server.socket.parent) not in embedded_os.command_line(pid):
        raise Unavailable(
            f"The local {server.title} was started while {server.directory} had another name.",
            hint="Stop the local servers once and try again, and use one BOOKCLI_HOME everywhere.",
            code="server-elsewhere",
        )
    _end(server, pid)


def _still(pid: int | None) -> int | None:
    return pid if pid is not None and embedded_os.is_running(pid) else None


def _explain(server: EmbeddedServer, launched: int | None) -> None:
    """After a start that failed: raise when trying again is no use, else leave the remains time to go."""
    if launched is None:
        return
    failure = server.start_failure(embedded_os.last_words(server.log))
    if failure is not None:
        raise failure
    time.sleep(0.1)


def _wait_until(until: float, server: EmbeddedServer) -> None:
    if time.monotonic() > until:
        raise Unavailable(
            f"The local {server.title} has not answered yet.",
            hint=f"Try again in a moment. Its log is {server.log}.",
            code="server-starting",
        )
    time.sleep(_PAUSE)


def _end(server: EmbeddedServer, pid: int) -> None:
    if not embedded_os.end(pid, server.stop_signals, seconds=10):
        raise Unavailable(f"The local {server.title} (pid {pid}) does not stop.", code="server-stuck")


@contextlib.contextmanager
def _said_plainly(server: EmbeddedServer) -> Iterator[None]:
    """Turn what the operating system refuses into a sentence."""
    try:
        yield
    except OSError as problem:
        what = f"{problem.strerror or problem}: {problem.filename}" if problem.filename else str(problem)
        raise Unavailable(
            f"The local {server.title} in {server.directory} cannot be used.", hint=what, code="server-failed"
        ) from problem
    except subprocess.TimeoutExpired as problem:
        raise Unavailable(
            f"The local {server.title} in {server.directory} takes too long to set up.", code="server-failed"
        ) from problem
