"""When each task of the workers' timetable was last done, in Redis, for `worker status` and `doctor`.

What must stay true: it says who did what and how much of it, by Redis's clock, and nothing about whom; losing it costs
nothing.
"""

from __future__ import annotations

import json
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ..errors import Unavailable
from ..model.tasks import LastRun

KEY = "bookcli:worker:tasks"
_PATIENCE = 0.25
_KEPT_SECONDS = 7 * 24 * 3600


class TaskLog:
    """The last run of every task. Raises Unavailable `redis-away` within half a second."""

    def __init__(self, url: str) -> None:
        self._redis = redis.Redis.from_url(
            url, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE, retry=Retry(NoBackoff(), 0)
        )

    def note(self, task: str, host: str, done: int, problem: str) -> None:
        """A task has been done now."""
        try:
            said = json.dumps({"at": self._now(), "host": host, "done": done, "problem": problem})
            self._redis.hset(KEY, task, said)
            self._redis.expire(KEY, _KEPT_SECONDS)
        except redis.RedisError:
            raise _away() from None

    def last(self) -> list[LastRun]:
        """Every task that was done in the last week, by name; what nobody understands is left out."""
        try:
            moment = self._now()
            found: dict[Any, Any] = self._redis.hgetall(KEY)
        except redis.RedisError:
            raise _away() from None
        runs = [_run(task.decode(errors="replace"), said, moment) for task, said in found.items()]
        return sorted(run for run in runs if run is not None)

    def _now(self) -> float:
        seconds, micros = self._redis.time()
        return float(seconds) + micros / 1e6

    def close(self) -> None:
        """Closes the connection."""
        self._redis.close()


def _run(task: str, said: bytes, moment: float) -> LastRun | None:
    try:
        kept: dict[str, Any] = json.loads(said)
        age = max(moment - float(kept["at"]), 0.0)
        return LastRun(task, age, str(kept["host"]), int(kept["done"]), str(kept["problem"]))
    except (ValueError, KeyError, TypeError):
        return None


def _away() -> Unavailable:
    return Unavailable("Redis does not answer.", hint="bookcli status", code="redis-away")
