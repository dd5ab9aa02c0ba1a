"""Desks that share one cache: one that reaches the database, and one that does not, so that all it knows is cached."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import date

import redis

from bookcli.core.config import Settings
from bookcli.core.context import Context
from bookcli.core.model.slots import Search
from tests.clinic import Clinic
from tests.valkeys import Valkey

NOWHERE = "postgresql://nobody@/nowhere?host=/nonexistent"
NAME = "the-clinic"


def settings(dsn: str, url: str, soft: float = 3600) -> Settings:
    """Settings of a desk whose cache is shared whatever the address of its database."""
    return Settings(database_url=dsn, redis_url=url, cache_soft_seconds=str(soft), cache_name=NAME)


@contextlib.contextmanager
def desk(clinic: Clinic, valkey: Valkey, soft: float = 3600) -> Iterator[Context]:
    """A desk with the clinic's database and the cache."""
    with Context(settings(clinic.context.dsn, valkey.url, soft), clinic.context.paths) as context:
        yield context


@contextlib.contextmanager
def cut_off(clinic: Clinic, valkey: Valkey, soft: float = 3600) -> Iterator[Context]:
    """A desk with the same cache and no database at all."""
    with Context(settings(NOWHERE, valkey.url, soft), clinic.context.paths) as context:
        yield context


def every_search(clinic: Clinic, *, everything: bool = True) -> list[Search]:
    """One search a test, over all days of the clinic and a day before and after them."""
    days = (_before(clinic.day(1)), clinic.day(10))
    return [Search(test, days, most=10_000, everything=everything) for test in ("mri", "mri-contrast", "blood", "xray")]


def _before(day: date) -> date:
    return date.fromordinal(day.toordinal() - 1)


def age(client: redis.Redis, seconds: float) -> None:
    """Makes everything in the cache older."""
    for pattern in ("bookcli:slots:*", "bookcli:catalog:*"):
        for key in client.scan_iter(pattern):
            if client.type(key) == b"string" and not key.endswith(b":lease"):
                at, _, rest = client.get(key).partition(b" ")
                client.set(key, b"%d %s" % (int(at) - int(seconds * 1000), rest), keepttl=True)


def dump(client: redis.Redis) -> str:
    """Everything a Redis holds, keys and values, as one text."""
    lines = []
    for key in client.scan_iter():
        kind = client.type(key)
        value = {b"string": client.get, b"hash": client.hgetall, b"set": client.smembers}[kind](key)
        lines.append(f"{key!r} {value!r}")
    return "\n".join(lines)
