"""What a Redis or Valkey says about itself: whether it evicts, whether it keeps what it has on disk, and its role.

What must stay true: it is asked nothing that could keep it, or a desk, busy.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ..errors import NotAllowed, Unavailable

_PATIENCE = 0.25


class QueueHealth(NamedTuple):
    """Its version, eviction policy, whether it has an append-only file, and whether it takes writes."""

    version: str
    policy: str
    append_only: bool
    writable: bool


def look(url: str) -> QueueHealth:
    """Asks once. Raises Unavailable `queue-away`, and NotAllowed when this user may not ask."""
    try:
        with redis.Redis.from_url(
            url, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE, retry=Retry(NoBackoff(), 0)
        ) as client:
            said: dict[str, Any] = client.info()
    except redis.exceptions.NoPermissionError:
        raise NotAllowed("This user of Redis may not ask it how it is.") from None
    except (redis.RedisError, OSError, ValueError):
        raise Unavailable("Redis does not answer.", code="queue-away") from None
    version = str(said.get("valkey_version") or said.get("redis_version") or "")
    policy = str(said.get("maxmemory_policy") or "")
    return QueueHealth(version, policy, bool(said.get("aof_enabled")), said.get("role") == "master")
