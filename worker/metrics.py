"""The numbers to watch in the text format of Prometheus, with those that only RQ knows.

What must stay true: it ends within some seconds, whatever is away.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import redis
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Worker
from rq.suspension import is_suspended

from bookcli.core.context import Context
from bookcli.core.services import metrics
from bookcli.core.services.metrics import Measure

from .relay import queue

if TYPE_CHECKING:
    from prometheus_client import Metric

SECONDS = 1.0
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def text(context: Context) -> str:
    """Everything that can be seen from here. Raises NotAllowed."""
    return written([*metrics.gather(context), *_jobs(context)])


def written(measures: Iterable[Measure]) -> str:
    """These numbers as text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Found(measures))
    return generate_latest(registry).decode()


class _Found(Collector):
    def __init__(self, measures: Iterable[Measure]) -> None:
        self._measures = list(measures)

    def collect(self) -> Iterator[Metric]:
        families: dict[str, GaugeMetricFamily | CounterMetricFamily] = {}
        for name, labels, value in self._measures:
            if name not in families:
                kind = CounterMetricFamily if name in metrics.COUNTERS else GaugeMetricFamily
                families[name] = kind(f"bookcli_{name}", metrics.MEANINGS[name], labels=sorted(labels))
            families[name].add_metric([labels[key] for key in sorted(labels)], value)
        yield from families.values()


def _jobs(context: Context) -> Iterator[Measure]:
    if not context.queue_address:
        return
    client = redis.Redis.from_url(
        context.queue_address, socket_timeout=SECONDS, socket_connect_timeout=SECONDS, retry=Retry(NoBackoff(), 0)
    )
    try:
        jobs = queue(client)
        workers = [worker.get_state() for worker in Worker.all(queue=jobs)]
        found = [
            Measure("jobs", {"state": "queued"}, jobs.count),
            Measure("jobs", {"state": "failed"}, jobs.failed_job_registry.get_job_count(cleanup=False)),
            Measure("workers", {"state": "busy"}, sum(state == "busy" for state in workers)),
            Measure("workers", {"state": "idle"}, sum(state != "busy" for state in workers)),
            Measure("workers_paused", {}, float(bool(is_suspended(client)))),
        ]
    except redis.RedisError:
        return  # that it is away is said by whoever asks the cache
    finally:
        client.close()
    yield from found
