"""A sending process: an RQ worker that does its jobs itself, so that its connections outlive a batch.

What must stay true: it runs our jobs only, whatever else stands in Redis; and a job that does not end within its time
is ended, if need be with the process, which is then started again.
"""

from __future__ import annotations

import faulthandler
from typing import TYPE_CHECKING

from rq import Queue, SimpleWorker
from rq.job import Job
from rq.serializers import JSONSerializer

from . import jobs
from .relay import JOB_SECONDS, queue
from .safe_job import SafeJob

if TYPE_CHECKING:
    from types import FrameType

    from redis import Redis
    from redis.client import Pipeline

GRACE_SECONDS = 60
LONGEST_SILENCE = 75
"""Seconds without a word after which RQ's tools take a worker for dead; it looks up from waiting a little earlier."""


class Sender(SimpleWorker):
    """One queue, JSON, our jobs only, nothing about a job in a log."""

    def __init__(self, connection: Redis) -> None:
        super().__init__(
            [queue(connection)],
            connection=connection,
            serializer=JSONSerializer,
            job_class=SafeJob,
            default_result_ttl=0,
            maintenance_interval=60,
            worker_ttl=LONGEST_SILENCE,
            log_job_description=False,
        )

    def execute_job(self, job: Job, queue: Queue) -> None:
        """Does a job. RQ's alarm ends it in time; one that no alarm reaches ends with the process."""
        faulthandler.dump_traceback_later(JOB_SECONDS + GRACE_SECONDS, exit=True, file=2)
        try:
            super().execute_job(job, queue)
        finally:
            faulthandler.cancel_dump_traceback_later()

    def request_force_stop(self, signum: int, frame: FrameType | None) -> None:
        """A second signal: the message in hand is finished all the same, and whoever forked this ends it if not."""

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        """Tells RQ that it is alive, which it does between two jobs and once a minute while there are none."""
        super().heartbeat(timeout, pipeline)
        jobs.rest()
