"""Hands the numbers of messages that are due on to RQ: the only writer of its queue.

What must stay true: the table is the queue that counts. What is lost in Redis is claimed again, what is claimed twice
is leased once, and no more is handed on than the workers can take in hand soon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rq import Queue
from rq.queue import EnqueueData
from rq.serializers import JSONSerializer
from rq.suspension import is_suspended

from bookcli.core.context import Context
from bookcli.core.services import notifications

from . import QUEUE
from .safe_job import SafeJob

if TYPE_CHECKING:
    from redis import Redis

LARGEST_BATCH = 50
FAILED_JOBS_KEPT = 7 * 24 * 3600
JOB_SECONDS = 300


class Relay:
    """Claims and hands on, for a machine with so many sending processes."""

    def __init__(self, context: Context, connection: Redis, processes: int) -> None:
        self._context = context
        self._redis = connection
        self._queue = queue(connection)
        self._processes = processes

    def pass_on(self) -> int:
        """Hands on what is due and fits; how many messages. Raises RedisError before anything is claimed, if it can."""
        if is_suspended(self._redis) or self.full:
            return 0
        ids = notifications.claim(self._context, 2 * LARGEST_BATCH * self._processes)
        if ids:
            size = min(LARGEST_BATCH, max(1, -(-len(ids) // (2 * self._processes))))
            self._queue.enqueue_many([batch(ids[n : n + size]) for n in range(0, len(ids), size)])
        return len(ids)

    @property
    def full(self) -> bool:
        """Whether more may be due than was handed on, so that the next look must not wait."""
        return self._queue.count >= 2 * self._processes and not is_suspended(self._redis)


def queue(connection: Redis) -> Queue:
    """The queue, as every part of the worker sees it."""
    return Queue(QUEUE, connection=connection, serializer=JSONSerializer, job_class=SafeJob)


def batch(ids: list[int]) -> EnqueueData:
    """The job that sends the messages with these numbers."""
    return Queue.prepare_data(
        "worker.jobs.send",
        args=[ids],
        timeout=JOB_SECONDS,
        result_ttl=0,
        failure_ttl=FAILED_JOBS_KEPT,
        description="messages",
    )
