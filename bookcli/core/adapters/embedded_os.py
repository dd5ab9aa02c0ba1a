"""What the embedded servers need from the operating system: a lock, a user to run as, directories, live processes.

What must stay true: no directory above the product's own is ever changed, and a process counts as ours only
when it works in our directory — a pid alone proves nothing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..config import Paths
from ..errors import InvalidInput, Unavailable
from .local_sockets import server_user_id, socket_directory

_PAUSE = 0.01


@dataclass(frozen=True)
class ServerUser:
    """Whom a server runs as; `switch` is False when that is the running user."""

    name: str
    uid: int
    gid: int
    switch: bool


def server_user(paths: Paths) -> ServerUser:
    """Whom the servers of this data directory run as. Raises Unavailable when there is no such user."""
    uid = server_user_id(paths)
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        raise Unavailable(
            f"The local servers cannot run, because the user id {uid} has no name on this machine.",
            hint="Add it to /etc/passwd, or set BOOKCLI_DATABASE_URL and BOOKCLI_REDIS_URL.",
            code="no-server-user",
        ) from None
    return ServerUser(entry.pw_name, uid, entry.pw_gid, switch=uid != os.geteuid())


def run(argv: Sequence[str | Path], user: ServerUser, seconds: float = 15) -> subprocess.CompletedProcess[str]:
    """Run a program as the server user, away from the terminal, and wait for it.

    Its environment is bare: a server outlives this command and must not carry the user's secrets.
    """
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return subprocess.run(
        [str(word) for word in argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
        timeout=seconds,
        cwd="/",
        env={"PATH": os.defpath, **kept, "LC_ALL": "C", "TZ": "UTC"},
        umask=0o077,
        start_new_session=True,
        user=user.uid if user.switch else None,
        group=user.gid if user.switch else None,
        extra_groups=[] if user.switch else None,
    )


def launch(argv: Sequence[str | Path], log: Path, user: ServerUser) -> int:
    """Start a server that outlives this command, its first words in `log`, and return its pid.

    The shell in between ends at once, so that the server is the init system's child and never a zombie of ours.
    """
    started = run(["/bin/sh", "-c", '"$@" >"$0" 2>&1 </dev/null & echo $!', log, *argv], user)
    return int(started.stdout)


@contextlib.contextmanager
def held_lock(paths: Paths, name: str, seconds: float) -> Iterator[None]:
    """Hold the machine-wide lock of one server. Raises Unavailable when another command keeps it longer."""
    descriptor = _open_lock(paths.data / f".{name}.lock", server_user(paths))
    try:
        until = time.monotonic() + seconds
        while not _locked(descriptor):
            if time.monotonic() > until:
                raise Unavailable(
                    "Another command is still starting or stopping the local servers.",
                    hint="Try again in a moment.",
                    code="server-starting",
                )
            time.sleep(_PAUSE)
        yield
    finally:
        os.close(descriptor)


def _open_lock(lock: Path, user: ServerUser) -> int:
    flags = os.O_RDWR | os.O_NOFOLLOW
    try:
        descriptor = os.open(lock, flags | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return os.open(lock, flags)
    if user.switch:
        os.fchown(descriptor, user.uid, user.gid)
    return descriptor


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def make_data_directory(paths: Paths) -> None:
    """Create the data directory if it is not there; root's can be passed through by the server user."""
    root = os.geteuid() == 0
    missing = [path for path in (paths.data, *paths.data.parents) if not path.exists()]
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
            if root:
                path.chmod(0o755)
    found = paths.data.stat()
    if root and found.st_uid == 0 and not found.st_mode & stat.S_IXOTH:
        paths.data.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXGRP | stat.S_IXOTH)


def make_private_directory(directory: Path, user: ServerUser) -> None:
    """Create a 0700 directory that belongs to the server user, unless it is there."""
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        return
    if user.switch:
        os.chown(directory, user.uid, user.gid, follow_symlinks=False)


def make_socket_directory(paths: Paths, user: ServerUser) -> None:
    """Create the directory in which the servers listen, and look at it again once it is there."""
    make_private_directory(socket_directory(paths), user)
    directory = socket_directory(paths)
    if user.switch and directory.lstat().st_uid == 0:
        os.chown(directory, user.uid, user.gid, follow_symlinks=False)


def refuse_unreachable(directory: Path, user: ServerUser) -> None:
    """Raise InvalidInput when the server user may not enter a directory."""
    if user.switch and run(["/bin/sh", "-c", 'cd "$0"', directory], user).returncode != 0:
        raise InvalidInput(
            f"The local servers run as the user {user.name}, who may not enter {directory}.",
            hint="Set BOOKCLI_HOME to a directory below which every user may look, such as /var/lib/bookcli.",
            code="data-directory-unreachable",
        )


def copied(source: Path, parts: Sequence[Path], name: str, paths: Paths) -> Path:
    """A readable copy of `parts` of `source` in the data directory, made once; copies of older versions go.

    For root whose programs lie below a private directory. Call it with the server's lock held and no server up.
    """
    stamp = max(int((source / part).stat().st_mtime) for part in parts)
    shelf = paths.data / "programs"
    target = shelf / f"{name}-{stamp}"
    if target.is_dir():
        return target
    shelf.mkdir(exist_ok=True)
    shelf.chmod(0o755)
    for old in shelf.glob(f"*{name}-*"):
        shutil.rmtree(old, ignore_errors=True)
    scratch = shelf / f".{name}-{os.getpid()}"
    for part in parts:
        (scratch / part).parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, scratch / part, ignore=shutil.ignore_patterns("*.a", "__pycache__"))
        else:
            shutil.copy2(source / part, scratch / part)
    for path in (scratch, *scratch.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
    return scratch.rename(target)


def is_running(pid: int) -> bool:
    """Whether a process is there and more than a zombie."""
    if sys.platform == "linux":
        try:
            return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] not in "ZX"
        except OSError:
            return False
    state = _ps(pid, "state")
    return bool(state) and not state.startswith("Z")


def works_in(pid: int, directory: Path, *marks: Path) -> bool:
    """Whether a running process has its working directory there; where that is hidden, whether it names a mark."""
    if not is_running(pid):
        return False
    if sys.platform == "linux":
        with contextlib.suppress(PermissionError):  # root in a container may not look at other users' processes
            try:
                return Path(f"/proc/{pid}/cwd").samefile(directory)
            except FileNotFoundError:
                return False
    return any(str(mark) in command_line(pid) for mark in (directory, *marks))


def pids_in(directory: Path, user: ServerUser) -> list[int]:
    """The server user's processes whose working directory it is; none where there is no /proc.

    Looked for as that user: root in a container may not look at the processes of others.
    """
    look = 'for p in /proc/[0-9]*; do [ "$p/cwd" -ef "$0" ] && echo "${p#/proc/}"; done; :'
    return [int(pid) for pid in run(["/bin/sh", "-c", look, directory], user).stdout.split()]


def command_line(pid: int) -> str:
    """The words a process was started with, or its title; empty when it is gone."""
    if sys.platform != "linux":
        return _ps(pid, "command")
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="surrogateescape")
    except OSError:
        return ""


def _ps(pid: int, column: str) -> str:
    answer = subprocess.run(["ps", "-ww", "-o", f"{column}=", "-p", str(pid)], capture_output=True, check=False)
    return answer.stdout.decode(errors="surrogateescape").strip()


def end(pid: int, signals: Sequence[signal.Signals], seconds: float) -> bool:
    """Ask a process to end, each signal getting `seconds`; False when it is still there after the last."""
    for number in signals:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        until = time.monotonic() + seconds
        while is_running(pid) and time.monotonic() < until:
            time.sleep(_PAUSE)
        if not is_running(pid):
            return True
    return False


def last_words(log: Path) -> str:
    """The last lines a server wrote before it gave up; for people, and for choosing whether to try again."""
    try:
        return "\n".join(log.read_text(errors="replace").strip().splitlines()[-6:])
    except OSError:
        return ""
