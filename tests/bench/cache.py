"""Availability from the cache: calls per second against a bare GET of the same bytes, and whole commands from cold.

A search over several days is compared with a bare MGET of the same keys, because that is how it is one round trip.

What must stay true: no answer that is measured touches the database, and both sides alternate in one run.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from bookcli.core import config
from bookcli.core.context import Context
from bookcli.core.model.slots import Search
from bookcli.core.services import demo, slots
from tests.valkeys import Valkey, valkey

from . import ground
from .cold import cpu_seconds
from .ground import Ground

RUNS = 31
CALLS, ROUNDS = 2000, 15
_NOWHERE = "postgresql://nobody@/nowhere?host=/nonexistent"
_SCRIPT = """import os, redis
print(len(redis.Redis.from_url(os.environ["BOOKCLI_REDIS_URL"]).get(os.environ["KEY"])))
"""


def measure(place: Ground) -> Iterator[str]:
    """Calls for a day, for a week and for all sites; then the command."""
    place.create("cache")
    with valkey() as server:
        day = _fill(place, server)
        yield from _calls(server, place, day)
        yield _cold(server, place, day)


def _settings(dsn: str, server: Valkey) -> config.Settings:
    return config.Settings(database_url=dsn, redis_url=server.url, cache_soft_seconds="3600", cache_name="bench")


def _fill(place: Ground, server: Valkey) -> date:
    """The demo's clinic, cached; a day in it."""
    with Context(_settings(place.desk_dsn("cache"), server), place.paths) as context:
        day = demo.build(context).day
        for test in ("blood", "mri"):
            slots.find(context, Search(test, (day, day + timedelta(days=6)), most=10_000))
    return day


def _calls(server: Valkey, place: Ground, day: date) -> Iterator[str]:
    week = day + timedelta(days=6)
    with Context(_settings(_NOWHERE, server), place.paths) as context:
        for name, search in (
            ("one day of one site", Search("blood", (day, day), ["riverside"])),
            ("a week of one site", Search("blood", (day, week), ["riverside"], most=10_000)),
            ("a week of all sites", Search("blood", (day, week), most=10_000)),
        ):
            found = slots.find(context, search)
            bare = _bare(server, search)
            ours, theirs = [], []
            for _ in range(ROUNDS):
                theirs.append(_per_second(bare))
                ours.append(_per_second(lambda search=search: slots.find(context, search)))  # type: ignore[misc]
            a, b = ground.median(ours), ground.median(theirs)
            verb = "GET" if search.days[0] == search.days[1] else "MGET"
            yield (
                f"availability from the cache, {name} ({len(found)} free slots): {a:,.0f}/s, "
                f"bare {verb} of the same bytes {b:,.0f}/s, ratio {a / b:.2f}"
            )


def _bare(server: Valkey, search: Search) -> Callable[[], object]:
    """A GET of the one entry of the search, or a MGET of all of them."""
    client = redis.Redis.from_url(
        server.url, protocol=2, socket_timeout=0.25, socket_connect_timeout=0.25, retry=Retry(NoBackoff(), 0)
    )
    days = [search.days[0] + timedelta(days=n) for n in range((search.days[1] - search.days[0]).days + 1)]
    sites = list(search.sites) or ["riverside", "old-mill", "harbour"]
    keys = [f"bookcli:slots:bench:{site}:{search.test}:{day}" for site in sites for day in days]
    return (lambda: client.get(keys[0])) if len(keys) == 1 else (lambda: client.mget(keys))


def _per_second(call: Callable[[], object]) -> float:
    begun = time.perf_counter()
    for _ in range(CALLS // ROUNDS):
        call()
    return CALLS // ROUNDS / (time.perf_counter() - begun)


def _cold(server: Valkey, place: Ground, day: date) -> str:
    bookcli = str(Path(sys.executable).with_name("bookcli"))
    environment = {
        **os.environ,
        "BOOKCLI_DATABASE_URL": _NOWHERE,
        "BOOKCLI_REDIS_URL": server.url,
        "BOOKCLI_CACHE_NAME": "bench",
        "BOOKCLI_CACHE_SOFT_SECONDS": "3600",
        "BOOKCLI_HOME": str(place.paths.data.parent),
        "KEY": f"bookcli:slots:bench:riverside:mri:{day}",
    }
    words = [bookcli, "slots", "--test", "mri", "--site", "riverside", "--on", "tomorrow", "--first", "20", "--json"]
    figures: dict[str, list[float]] = {"script": [], "slots": []}
    for _ in range(RUNS):
        for name, command in (("script", [sys.executable, "-c", _SCRIPT]), ("slots", words)):
            figures[name].append(cpu_seconds(command, environment))
    a, b = ground.median(figures["slots"]), ground.median(figures["script"])
    return (
        f"cold bookcli slots from the cache: {1000 * a:.0f} ms of CPU, script with redis {1000 * b:.0f} ms, "
        f"ratio {a / b:.2f}"
    )
