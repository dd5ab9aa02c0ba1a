"""Looks at the workers, pauses them and lets them go on; RQ's own tools see and do the same.

What must stay true: looking changes nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC
from typing import Any

import redis
from rq import Worker
from rq.suspension import is_suspended, resume, suspend
from rq.worker import BaseWorker

from bookcli.core.context import Context
from bookcli.core.errors import NotAllowed, Unavailable
from bookcli.core.model.tasks import LastRun
from bookcli.core.services import notifications, servers, tasks

from .relay import queue
from .running import connected


def status(context: Context) -> dict[str, Any]:
    """{workers, busy, queued, failed_jobs, paused, due, oldest_seconds, put_off, alive, tasks}.

    `due` messages wait, the first of them for `oldest_seconds`, and `put_off` says how many were tried in vain, by why;
    all three are None when the database is away, or whoever asks may not see it. `alive` are {host, pid, since, state},
    `tasks` {task, age_seconds, host, done, problem}. Raises Unavailable when there is no Redis.
    """
    with _connection(context) as connection:
        jobs = queue(connection)
        workers = Worker.all(queue=jobs)
        return {
            "workers": len(workers),
            "busy": sum(worker.get_state() == "busy" for worker in workers),
            "queued": jobs.count,
            "failed_jobs": jobs.failed_job_registry.get_job_count(cleanup=False),
            "paused": bool(is_suspended(connection)),
            **_waiting(context),
            "alive": [_alive(worker) for worker in workers],
            "tasks": [_task(run) for run in tasks.last_runs(context)],
        }


def _waiting(context: Context) -> dict[str, Any]:
    try:
        found = [(name, labels, value) for name, labels, value in notifications.measures(context)]
    except (Unavailable, NotAllowed):
        return dict.fromkeys(("due", "oldest_seconds", "put_off"))
    single = {name: value for name, labels, value in found if not labels}
    put_off = {labels["reason"]: int(value) for name, labels, value in found if name == "messages_put_off"}
    oldest = round(single["message_oldest_seconds"])
    return {"due": int(single["messages_due"]), "oldest_seconds": oldest, "put_off": put_off}


def _alive(worker: BaseWorker) -> dict[str, Any]:
    since = worker.birth_date
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    return {
        "host": worker.hostname,
        "pid": worker.pid,
        "since": since.isoformat(timespec="seconds") if since else None,
        "state": str(worker.get_state()),
    }


def _task(run: LastRun) -> dict[str, Any]:
    task, age, *rest = run
    return {"task": task, "age_seconds": round(age), **dict(zip(("host", "done", "problem"), rest, strict=True))}


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
