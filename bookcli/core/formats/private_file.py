"""A file with patient data that is being written: only its owner can read it, and under its own name it is complete."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from ..errors import InvalidInput, Unavailable


class PrivateFile:
    """Written beside its name as `….part` and renamed by `finish`; a `….part` left by a crash is written anew.

    Raises InvalidInput `file-not-writable` or `file-in-use`; Unavailable `disk-full` while writing.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if self.path.is_dir():
            raise self._not_writable("is a directory")
        self._part = path.with_name(path.name + ".part")
        descriptor = self._open()
        # Whatever came in is kept: a lone surrogate is written as its escape.
        self._stream = os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="")

    def write(self, text: str) -> int:
        """Adds text, line ends as they are."""
        with self._disk():
            return self._stream.write(text)

    def finish(self) -> None:
        """Makes the file appear under its name, whole and on the disk."""
        with self._disk():
            self._stream.flush()
            os.fsync(self._stream.fileno())
            self._part.replace(self.path)

    def close(self) -> None:
        """Without `finish` nothing remains of it."""
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(self._stream.fileno()), self._part.stat()):
                self._part.unlink()
        with contextlib.suppress(OSError):
            self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> int:
        try:
            descriptor = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except (OSError, ValueError) as problem:
            why = problem.strerror if isinstance(problem, OSError) else "that is no name for a file"
            raise self._not_writable(f"cannot be written: {why}") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise InvalidInput(
                f"Another bookcli is writing the file {self.path}.",
                hint="wait for it, or name another file",
                code="file-in-use",
            ) from None
        os.fchmod(descriptor, 0o600)
        os.ftruncate(descriptor, 0)
        return descriptor

    def _not_writable(self, why: str) -> InvalidInput:
        return InvalidInput(f"The file {self.path} {why}.", hint="name another file", code="file-not-writable")

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as problem:
            raise Unavailable(
                f"The file {self.path} cannot be written: {problem.strerror}.",
                hint="Make room, then run the same command again.",
                code="disk-full",
            ) from None
