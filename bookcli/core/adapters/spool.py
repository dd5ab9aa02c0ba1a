"""The directory in which a desk keeps what it was asked while the database was away: one file per request.

What must stay true: a request is whole and on the disk before `add` returns, only its owner can read it, and it is
waiting until what became of it is on the disk too. It is the only place outside the database with patient numbers.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import stat
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import NotAllowed, Unavailable

WAITING, ENDED, TOLD = "waiting", "ended", "told"
_LOCK = "replay.lock"
_PART = ".part"
_DAY = 86400
_LARGEST = 1 << 20


class Name(NamedTuple):
    """A file: its place in the queue, its request key, and whether it waits, has ended, or has ended and was told.

    The place is one above all that were there. Two asked at the same moment may share it: either may go first.
    """

    place: int
    key: uuid.UUID
    state: str

    @property
    def file(self) -> str:
        return f"{self.place:010}-{self.key}.{self.state}"


class Spool:
    """The files of one desk. The directory is made when the first is added.

    Raises NotAllowed `spool-open` when somebody else could read or change what is in it, Unavailable `not-kept`,
    `disk-full` or `spool-unreadable` when the disk refuses.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def count(self, *states: str) -> int:
        """How many files there are in the given states; one listing, and 0 when there is no directory."""
        try:
            files = os.listdir(self.directory)  # noqa: PTH208 - names alone
        except OSError:
            return 0
        return sum(file.rpartition(".")[2] in states for file in files)

    def names(self, *states: str) -> list[Name]:
        """The files in the given states, in the order in which they were asked."""
        with self._directory() as folder:
            found = [] if folder is None else _names(folder)
        ended = {(name.place, name.key) for name in found if name.state != WAITING}
        # A crash between writing the end and removing the request leaves both: it has ended.
        alive = [name for name in found if name.state != WAITING or (name.place, name.key) not in ended]
        return sorted(name for name in alive if name.state in states)

    def add(self, key: uuid.UUID, document: Mapping[str, Any]) -> Name:
        """Keeps a request behind all others; when this returns it will be there after a power failure."""
        self._make()
        with self._directory() as folder:
            assert folder is not None
            last = max((name.place for name in _names(folder)), default=0)
            name = Name(last + 1, key, WAITING)
            _write(folder, name.file, document)
            return name

    def read(self, name: Name) -> Any:
        """What is in a file. Raises ValueError when it is damaged or somebody else could have written it."""
        with self._directory() as folder:
            if folder is None:
                raise ValueError("gone")
            return _read(folder, name.file)

    def end(self, name: Name, document: Mapping[str, Any]) -> Name:
        """Puts what became of a request in the place of the request; harmless when it is done twice."""
        ended = name._replace(state=ENDED)
        with self._directory() as folder:
            if folder is None:
                return ended
            _write(folder, ended.file, document)
            _remove(folder, name.file)
        return ended

    def tell(self, name: Name) -> None:
        """Marks an end as told. It stays for a day, for whoever did not see it."""
        with self._directory() as folder, contextlib.suppress(FileNotFoundError):
            if folder is not None and name.state == ENDED:
                told = name._replace(state=TOLD).file
                os.rename(name.file, told, src_dir_fd=folder, dst_dir_fd=folder)
                os.utime(told, dir_fd=folder)

    def drop(self, name: Name) -> None:
        """Forgets a request or its end."""
        with self._directory() as folder:
            if folder is not None:
                # The request first, which a crash may have left beside its end: it must not come back to life.
                _remove(folder, name._replace(state=WAITING).file)
                _remove(folder, name.file)
                os.fsync(folder)

    def sweep(self) -> None:
        """Removes requests whose end is there, then what was told a day ago and what a crash left half written."""
        with self._directory() as folder:
            if folder is None:
                return
            names = _names(folder)
            ends = {(name.place, name.key) for name in names if name.state != WAITING}
            for name in names:
                if name.state == WAITING and (name.place, name.key) in ends:
                    _remove(folder, name.file)
            os.fsync(folder)
            for file in os.listdir(folder):  # noqa: PTH208 - a descriptor
                if file.endswith((_PART, f".{TOLD}")) and _age(folder, file) > _DAY:
                    _remove(folder, file)

    @contextlib.contextmanager
    def alone(self) -> Iterator[bool]:
        """Whether nobody else replays this spool while the body runs. Politeness: the request keys are the guard."""
        with self._directory() as folder:
            if folder is None:
                yield True
                return
            lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
            else:
                yield True
        finally:
            os.close(lock)

    def _make(self) -> None:
        if self.directory.is_dir():
            return
        with _disk("not-kept"):
            self.directory.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self.directory.mkdir(mode=0o700)
            parent = os.open(self.directory.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(parent)
            finally:
                os.close(parent)

    @contextlib.contextmanager
    def _directory(self) -> Iterator[int | None]:
        """The open directory, None when there is none; the descriptor stays the one that was looked at."""
        try:
            folder = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            yield None
            return
        except OSError:
            raise self._open_to_others() from None
        try:
            if not _is_private(os.fstat(folder)):
                raise self._open_to_others()
            with _disk("spool-unreadable"):
                yield folder
        finally:
            os.close(folder)

    def _open_to_others(self) -> NotAllowed:
        return NotAllowed(
            f"The directory {self.directory}, which holds numbers of patients, belongs to others or is open to them.",
            hint=f"Find out who was there, then: chmod 700 '{self.directory}'",
            code="spool-open",
        )


def _is_private(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) & 0o077 == 0


def _name(file: str) -> Name | None:
    front, _, state = file.rpartition(".")
    place, _, key = front.partition("-")
    try:
        name = Name(int(place), uuid.UUID(key), state)
    except ValueError:
        return None
    return name if state in (WAITING, ENDED, TOLD) and name.file == file else None


def _names(folder: int) -> list[Name]:
    return [name for file in os.listdir(folder) if (name := _name(file)) is not None]


def _age(folder: int, file: str) -> float:
    try:
        return time.time() - os.stat(file, dir_fd=folder).st_mtime
    except FileNotFoundError:
        return 0.0


def _remove(folder: int, file: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(file, dir_fd=folder)


def _read(folder: int, file: str) -> Any:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        raise ValueError("it cannot be opened") from None
    with os.fdopen(descriptor, "rb") as stream:
        if not _is_private(os.fstat(descriptor)):
            raise ValueError("somebody else can read it")
        return json.loads(stream.read(_LARGEST))


def _write(folder: int, file: str, document: Mapping[str, Any]) -> None:
    """The file appears under its name whole and on the disk, or not at all. Raises Unavailable `not-kept`."""
    part = f"{file}.{os.getpid()}{_PART}"
    with _disk("not-kept"):
        _remove(folder, part)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(json.dumps(document).encode())
                stream.flush()
                os.fsync(descriptor)
            os.rename(part, file, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            _remove(folder, part)
            raise
        os.fsync(folder)


@contextlib.contextmanager
def _disk(code: str) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise Unavailable(
            f"This desk's own disk refuses the request: {problem.strerror}.",
            hint="Make room on it, or see: bookcli doctor",
            code=code,
        ) from None
