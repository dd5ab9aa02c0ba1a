"""Numbers to watch, from the database, the cache and this machine's disk.

What must stay true: no number knows a patient, looking is cheap enough for every few seconds, and a server that is away
is a number too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NamedTuple

from ..adapters.spool import WAITING, Spool
from ..context import Context
from ..errors import BookcliError, Unavailable
from . import notifications, pending_copies, tasks

MEANINGS = {
    "up": "Whether a server answers.",
    "messages": "Messages that have yet to be sent, by kind and state.",
    "messages_due": "Messages whose time has come.",
    "message_oldest_seconds": "How long the message is overdue that is most so.",
    "messages_put_off": "Messages that were tried and wait, by what stood in the way.",
    "messages_sent_last_hour": "Messages sent during the last hour.",
    "messages_failed": "Messages given up during the last seven days, by why.",
    "requests_last_hour": "Requests to book that were decided during the last hour, by verdict.",
    "holds": "Holds that are open, and those whose time is over and whose place is not given back yet.",
    "oversold_slots": "Slots from two days ago to two weeks ahead that hold more than their capacity: 0.",
    "lock_waits": "Calls of the database that wait for a lock.",
    "lock_wait_seconds": "How long the one waits that does so longest.",
    "cache_searches": "Searches for slots, by whether the cache answered.",
    "cache_hit_ratio": "The part of all searches that the cache answered.",
    "pending_requests": "Requests that wait for the database: all desks' copies in Redis, and this machine's spool.",
    "task_age_seconds": "How long ago a task of the timetable was last done, on whichever machine.",
    "workers": "Sending processes, by state.",
    "workers_paused": "Whether workers are paused.",
    "jobs": "Batches of messages in the queue of RQ.",
}
"""What each number means, by its name without `bookcli_`."""
_TOO_SLOW = "57014"
COUNTERS = frozenset({"cache_searches"})
"""Those that only rise."""


class Measure(NamedTuple):
    """A number with its labels."""

    name: str
    labels: dict[str, str]
    value: float


def gather(context: Context) -> list[Measure]:
    """All that can be seen from here; of a server that is away, that it is. Raises NotAllowed."""
    return [*_database(context), *_cache(context), *_pending(context), *_tasks(context)]


def _database(context: Context) -> Iterator[Measure]:
    found: list[Measure] = []
    answers = True
    try:
        found = [Measure(*one) for one in notifications.measures(context)]
    except Unavailable as away:
        # Who is too slow to count is not away: it has said so itself.
        answers = away.details.get("sqlstate") == _TOO_SLOW
    yield Measure("up", {"server": "database"}, float(answers))
    yield from found


def _cache(context: Context) -> Iterator[Measure]:
    cache = context.slot_cache()
    if cache is None:
        return
    counts = cache.ratio()
    yield Measure("up", {"server": "redis"}, float(counts is not None))
    if counts is not None:
        hits, misses = counts
        yield Measure("cache_searches", {"answered": "cache"}, hits)
        yield Measure("cache_searches", {"answered": "database"}, misses)
        yield Measure("cache_hit_ratio", {}, hits / max(hits + misses, 1))


def _pending(context: Context) -> Iterator[Measure]:
    with contextlib.suppress(BookcliError, OSError):
        yield Measure("pending_requests", {"where": "spool"}, Spool(context.paths.spool).count(WAITING))
    with contextlib.suppress(BookcliError):
        yield Measure("pending_requests", {"where": "redis"}, pending_copies.count(context))


def _tasks(context: Context) -> Iterator[Measure]:
    with contextlib.suppress(BookcliError):
        for run in tasks.last_runs(context):
            yield Measure("task_age_seconds", {"task": run.task}, run.age)
