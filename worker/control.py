"""Looks at the workers, pauses them and lets them go on; RQ's own tools see and do the same.

What must stay true: looking changes nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import redis
from rq import Worker
from rq.suspension import is_suspended, resume, suspend

from bookcli.core.context import Context
from bookcli.core.errors import Unavailable
from bookcli.core.services import servers

from .relay import queue
from .running import connected


def status(context: Context) -> dict[str, Any]:
    """{workers, busy, queued, failed_jobs, paused}. Raises Unavailable when there is no Redis."""
    with _connection(context) as connection:
        jobs = queue(connection)
        workers = Worker.all(queue=jobs)
        return {
            "workers": len(workers),
            "busy": sum(worker.get_state() == "busy" for worker in workers),
            "queued": jobs.count,
            "failed_jobs": jobs.failed_job_registry.get_job_count(cleanup=False),
            "paused": bool(is_suspended(connection)),
        }


def pause(context: Context) -> None:
    """No worker, on any machine, begins another batch."""
    with _connection(context) as connection:
        suspend(connection)


def go_on(context: Context) -> None:
    """Ends a pause."""
    with _connection(context) as connection:
        resume(connection)


@contextlib.contextmanager
def _connection(context: Context) -> Iterator[redis.Redis]:
    connection = connected(servers.queue_url(context))
    try:
        yield connection
    except redis.RedisError:
        raise Unavailable("Redis does not answer.", hint="bookcli status", code="redis-away") from None
    finally:
        connection.close()
