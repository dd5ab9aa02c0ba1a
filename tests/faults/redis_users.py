"""Servers with the users of .deploy/redis-users.acl, and one user more who may do everything, for the test.

What must stay true: nothing of the file is changed but its placeholders, as README.md has them replaced.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import redis

from tests import valkeys
from tests.processes import REPOSITORY
from tests.secure_servers import free_port, redis_process, wait_for_redis

USERS = REPOSITORY / ".deploy" / "redis-users.acl"
PASSWORDS = {"desk": "a word of the desks", "worker": "a word of the workers"}
PASSWORDS |= {"servers": "a word among servers", "tester": "a word of this test"}
PROGRAMS = ("redis", "valkey")
INTRODUCTION = {"client|setinfo", "client|maint_notifications"}
"""What redis-py says of itself after signing in; servers before 7.2 have no such words, so nobody is given them."""


@dataclass(frozen=True)
class Server:
    """A running server with the users of the file, and a tester who may do everything."""

    port: int

    def url(self, user: str) -> str:
        """The address for this user, as a desk is given it."""
        return f"redis://{user}:{quote(PASSWORDS[user])}@127.0.0.1:{self.port}/0"

    @contextlib.contextmanager
    def user(self, name: str, *, decoded: bool = True) -> Iterator[redis.Redis]:
        """A connection as this user; RQ wants answers that are not decoded."""
        client = redis.Redis(port=self.port, username=name, password=PASSWORDS[name], decode_responses=decoded)
        try:
            yield client
        finally:
            client.close()

    def refused(self, user: str) -> set[str]:
        """What this user was refused since the log was emptied, but for how redis-py introduces itself."""
        with self.user("tester") as tester:
            entries = tester.acl_log(128)
        return {f"{entry['context']} {entry['object']}" for entry in entries if _counts(entry, user)}


def _counts(entry: dict[str, Any], user: str) -> bool:
    return entry["username"] == user and entry["object"] not in INTRODUCTION


def program(name: str) -> str:
    """The server program of that make."""
    if name == "valkey":
        return valkeys.program()
    found = shutil.which("redis-server")
    assert found, "redis-server is missing: apt-get install redis-server"
    return found


@contextlib.contextmanager
def running(name: str) -> Iterator[Server]:
    """A server of that make."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="bookcli-users-", dir="/tmp") as directory:
        # DEBUG is switched on, so that it is the user's list that refuses it.
        words = [program(name), "--port", str(port), "--enable-debug-command", "yes"]
        with redis_process([*words, "--aclfile", str(_users_file(Path(directory)))]) as process:
            server = Server(port)
            with server.user("tester") as tester:
                wait_for_redis(process, tester)
            yield server


def _users_file(directory: Path) -> Path:
    text = USERS.read_text()
    for user, password in PASSWORDS.items():
        text = text.replace(f"${{{user.upper()}_PASSWORD_SHA256}}", hashlib.sha256(password.encode()).hexdigest())
    path = directory / "users.acl"
    path.write_text(text + f"user tester on #{hashlib.sha256(PASSWORDS['tester'].encode()).hexdigest()} ~* &* +@all\n")
    return path
