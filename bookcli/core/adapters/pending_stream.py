"""The copy in Redis of what waits in a spool, so that a worker can send it while the desk that kept it is switched off.

What must stay true: Redis holds nothing that could be read or changed there: each request is sealed (XSalsa20-Poly1305
of libsodium) with a key that only desks and workers have. The spool is the source; losing all of Redis loses nothing.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import redis
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox
from redis.backoff import NoBackoff
from redis.retry import Retry

from ..errors import Unavailable
from . import secret_file

STREAM = "bookcli:pending"
_PATIENCE = 0.25
_KEY = secret_file.Kind(
    "the copies of pending requests",
    "(umask 077; openssl rand -hex 32 > '{file}'), and give the same to all desks and workers.",
    "pending-key",
)


class Copy(NamedTuple):
    """One entry of the stream: its id there, and the document that was sealed."""

    entry: str
    document: Any


def read_key(file: Path) -> bytes:
    """The key in a file of 64 hexadecimal digits. Raises InvalidInput when it is not that, or others can read it."""
    return secret_file.read(file, _KEY, bytes.fromhex, range(SecretBox.KEY_SIZE, SecretBox.KEY_SIZE + 1))


class PendingStream:
    """The sealed requests of all desks, in the order they were asked. Raises Unavailable `redis-away` within 0.3 s."""

    def __init__(self, url: str, key: bytes) -> None:
        self._box = SecretBox(key)
        self._redis = redis.Redis.from_url(
            url, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE, retry=Retry(NoBackoff(), 0)
        )

    def add(self, document: Mapping[str, Any]) -> None:
        """Adds a request behind all others. Twice is harmless: its request key is what books once."""
        with _away():
            self._redis.xadd(STREAM, {"sealed": bytes(self._box.encrypt(json.dumps(document).encode()))})

    def copies(self) -> list[Copy]:
        """All copies, oldest first; what was not sealed with this key is left where it is."""
        with _away():
            entries: Any = self._redis.xrange(STREAM)
        opened = [(entry.decode(), self._opened(fields)) for entry, fields in entries]
        return [Copy(entry, document) for entry, document in opened if document is not None]

    def count(self) -> int:
        """How many copies there are, sealed with whatever key."""
        with _away():
            return int(self._redis.xlen(STREAM))

    def forget(self, *entries: str) -> None:
        """Removes entries whose end is known."""
        if entries:
            with _away():
                self._redis.xdel(STREAM, *entries)

    def forget_request(self, key: uuid.UUID) -> None:
        """Removes every copy of a request that is not wanted any more."""
        self.forget(*(copy.entry for copy in self.copies() if copy.document.get("key") == str(key)))

    def close(self) -> None:
        self._redis.close()

    def _opened(self, fields: Mapping[bytes, bytes]) -> Any:
        try:
            document = json.loads(self._box.decrypt(fields[b"sealed"]))
        except (CryptoError, KeyError, ValueError):
            return None
        return document if isinstance(document, dict) else None


@contextlib.contextmanager
def _away() -> Iterator[None]:
    try:
        yield
    except redis.RedisError:
        raise Unavailable("Redis does not answer.", hint="bookcli status", code="redis-away") from None
