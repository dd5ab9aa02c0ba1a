"""Remembers for some seconds that a server did not answer, so that nobody waits for it again meanwhile.

What must stay true: the memory is shared by all processes of a user, because each command is one; looking at it costs
a microsecond, and where nothing can be written it is only forgotten sooner.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

SECONDS = 5.0
_LOOK_SECONDS = 0.2


class Breaker:
    """Open for `SECONDS` after `trip`; the file's time of change says when that was."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._until = 0.0
        self._look_again = 0.0
        self.trips = 0

    @property
    def is_open(self) -> bool:
        """Whether the server failed a moment ago, here or in another process, and is not to be asked."""
        moment = time.monotonic()
        if moment < self._until:
            return True
        if moment < self._look_again:
            return False
        self._look_again = moment + _LOOK_SECONDS
        try:
            age = time.time() - self._file.lstat().st_mtime
        except OSError:
            return False
        # A time to come is that of a clock that was put back, not of a failure.
        if 0 <= age < SECONDS:
            self._until = moment + SECONDS - age
            return True
        return False

    def trip(self) -> None:
        """Notes that the server has just failed."""
        self.trips += 1
        self._until = time.monotonic() + SECONDS
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                os.utime(descriptor)
            finally:
                os.close(descriptor)
