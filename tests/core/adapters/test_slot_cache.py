"""The cache itself, on a real Valkey: who may write over whom, and what its failures cost."""

from __future__ import annotations

import os
import random
import stat
import time
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
import redis

from bookcli.core.adapters import slot_cache
from bookcli.core.adapters.breaker import Breaker
from bookcli.core.adapters.slot_cache import SlotCache, database_id
from bookcli.core.context import Context
from bookcli.core.model.availability import Change, Day, Reading
from bookcli.core.model.slots import Slot
from tests.clinic import Clinic
from tests.processes import Crowd
from tests.valkeys import Valkey
from tests.valkeys import valkey as own_valkey

DAY = Day("north", "mri", date(2030, 6, 3))
START = datetime(2030, 6, 3, 6, tzinfo=UTC)


def _cache(url: str, directory: Path, soft: float = 3600) -> SlotCache:
    return SlotCache(url, "test", soft, Breaker(directory / "state" / "cache-away"))


@pytest.fixture
def cache(valkey: Valkey, tmp_path: Path) -> SlotCache:
    return _cache(valkey.url, tmp_path)


def _slot(number: int, version: int, remaining: int = 3) -> Slot:
    start = START + timedelta(minutes=30 * number)
    status = "free" if remaining else "busy"
    end = start + timedelta(minutes=30)
    return Slot(number, "north", "Europe/Berlin", "mri", "mri-1", start, end, 4, remaining, status, version)


def _reading(*slots: Slot, alone: bool = True) -> Reading:
    return Reading(START - timedelta(days=1), "Europe/Berlin", alone, slots)


def _change(touched: dict[int, tuple[int, int, int] | None], resource: str = "mri-1") -> Change:
    return Change("north", resource, DAY.day, touched)


def _fill(cache: SlotCache, *slots: Slot, alone: bool = True, day: Day = DAY) -> bool:
    return cache.fill(cache.lease([day], anyway=True), day, _reading(*slots, alone=alone), 0.0)


def _kept(cache: SlotCache, day: Day = DAY) -> tuple[Slot, ...]:
    (entry,) = cache.days([day]) or [None]
    assert entry is not None
    return entry.reading.slots


def test_what_was_read_is_what_is_kept(cache: SlotCache) -> None:
    assert cache.days([DAY]) == [None]
    slots = (_slot(1, 1), _slot(2, 7, 0), replace(_slot(3, 2), status="busy-unavailable"))
    assert _fill(cache, *slots)
    (entry,) = cache.days([DAY]) or [None]
    assert entry is not None
    assert entry.reading == _reading(*slots)
    assert cache.is_fresh(entry)


def test_an_empty_day_is_known_to_be_empty_whatever_is_booked_elsewhere(cache: SlotCache) -> None:
    assert _fill(cache)
    cache.changed(_change({9: (2, 1, 0)}))
    (entry,) = cache.days([DAY]) or [None]
    assert entry is not None
    assert (entry.reading.slots, cache.is_fresh(entry)) == ((), True)


def test_of_two_writers_the_later_version_stays(cache: SlotCache) -> None:
    _fill(cache, _slot(1, 1), _slot(2, 1))
    cache.changed(_change({1: (3, 4, 1)}))
    cache.changed(_change({1: (2, 4, 2)}))
    assert _kept(cache) == (_slot(1, 3, 1), _slot(2, 1))
    cache.changed(_change({1: (4, 4, 0)}))
    assert _kept(cache)[0] == _slot(1, 4, 0)


def test_a_closed_slot_is_not_opened_by_a_cancellation(cache: SlotCache) -> None:
    _fill(cache, replace(_slot(1, 1), status="busy-unavailable"))
    cache.changed(_change({1: (2, 4, 4)}))
    assert _kept(cache) == (replace(_slot(1, 2, 4), status="busy-unavailable"),)


def test_a_reader_who_was_slow_does_not_undo_a_booking(cache: SlotCache) -> None:
    _fill(cache, _slot(1, 1), _slot(2, 1))
    lease = cache.lease([DAY], anyway=True)
    cache.changed(_change({1: (2, 4, 2)}))
    assert cache.fill(lease, DAY, _reading(_slot(1, 1), _slot(2, 1)), 1.0)
    assert _kept(cache) == (_slot(1, 2, 2), _slot(2, 1))


def test_a_database_that_was_put_back_is_believed_when_it_is_read_again(cache: SlotCache) -> None:
    _fill(cache, _slot(1, 9, 0))
    cache.changed(_change({1: (10, 4, 1)}))
    time.sleep(0.002)  # Redis counts in milliseconds: the change was before the reading
    assert _fill(cache, _slot(1, 1, 3))
    assert _kept(cache) == (_slot(1, 1, 3),)


def test_what_was_being_read_while_an_unknown_day_changed_is_not_kept(cache: SlotCache) -> None:
    lease = cache.lease([DAY], anyway=True)
    cache.changed(_change({1: (2, 4, 2)}))
    assert not cache.fill(lease, DAY, _reading(_slot(1, 1)), 1.0)
    assert cache.days([DAY]) == [None]
    assert _fill(cache, _slot(1, 2, 2))


def test_what_was_being_read_while_everything_was_flushed_is_not_kept(cache: SlotCache, valkey: Valkey) -> None:
    lease = cache.lease([DAY], anyway=True)
    valkey.client.flushall()
    assert not cache.fill(lease, DAY, _reading(_slot(1, 1)), 1.0)


def test_a_change_of_a_longer_test_makes_the_days_it_may_touch_outdated(cache: SlotCache) -> None:
    contrast = DAY._replace(test="mri-contrast")
    other = DAY._replace(test="blood")
    evening = contrast._replace(day=DAY.day - timedelta(days=1))
    for day in (contrast, evening):
        _fill(cache, _slot(1, 1), _slot(2, 1), alone=False, day=day)
    _fill(cache, replace(_slot(7, 1), resource="lab", test="blood"), day=other)
    _fill(cache, _slot(1, 1), _slot(2, 1))
    cache.changed(_change({1: (2, 4, 2), 2: None}))
    entries = cache.days([contrast, evening, DAY, other]) or []
    assert [entry is not None and entry.outdated for entry in entries] == [True, True, True, False]
    assert not any(cache.is_aging(entry) for entry in entries[:3])


def test_a_day_that_was_closed_is_unknown(cache: SlotCache) -> None:
    _fill(cache, _slot(1, 1))
    lease = cache.lease([DAY], anyway=True)
    cache.forget("north", [DAY.day])
    assert cache.days([DAY]) == [None]
    assert not cache.fill(lease, DAY, _reading(_slot(1, 1)), 0.0)


def test_only_one_reads_at_a_time_and_a_reader_who_died_is_not_waited_for(cache: SlotCache, valkey: Valkey) -> None:
    first, second = cache.lease([DAY], anyway=True), cache.lease([DAY], anyway=True)
    assert (first.keys, second.keys) == ({cache.key(DAY)}, set())
    assert not cache.fill(second, DAY, _reading(), 0.0)
    assert 0 < valkey.client.pttl(f"{cache.key(DAY)}:lease") <= 3000
    cache.release(second)
    assert not cache.lease([DAY], anyway=True).keys
    cache.release(first)
    assert cache.lease([DAY], anyway=True).keys


def test_nothing_is_kept_for_more_than_a_day(cache: SlotCache, valkey: Valkey) -> None:
    _fill(cache, _slot(1, 1))
    cache.changed(_change({1: (2, 4, 2)}))
    for key in valkey.client.scan_iter():
        assert 0 < valkey.client.pttl(key) <= 24 * 3600 * 1000 + 3000, key


def test_what_nobody_understands_is_unknown(cache: SlotCache, valkey: Valkey) -> None:
    moment = b"1 0\n2030-01-01T00:00:00+00:00 1 UTC\n"
    for nonsense in (b"", b"x", b"1 0\n\n", b"1 0\nyesterday 1 UTC\n[]", moment + b"[[1]]"):
        valkey.client.set(cache.key(DAY), nonsense)
        assert cache.days([DAY]) == [None]
    assert not cache.away


def test_the_desks_of_one_database_share_keys_whoever_they_are() -> None:
    same = database_id("postgresql://desk-1:secret@db.example/clinic?sslmode=require")
    assert same == database_id("postgresql://desk-2@db.example/clinic?sslmode=require")
    assert same != database_id("postgresql://desk-1:secret@db.example/other?sslmode=require")
    assert "secret" not in same
    words = "host=db dbname=clinic user={} password={}"
    assert database_id(words.format("a", "b")) == database_id(words.format("c", "d"))
    assert database_id("postgresql://x/y", "the-clinic") == "the-clinic"


def _walk(moment: int, pause: random.Random) -> None:
    time.sleep(pause.uniform(0, moment / 1000))


def _meet(client: redis.Redis, place: str) -> None:
    """Waits until all three are there."""
    client.incr(place)
    _wait_for(client, place, 3)


def _wait_for(client: redis.Redis, place: str, many: int) -> None:
    while int(client.get(place) or 0) < many:
        time.sleep(0.0005)


def _is_forced(slot: int) -> bool:
    """Of every fourth slot both writers write between the reader's look and what the reader makes of it."""
    return slot % 4 == 0


def write_often(context: Context, url: str, directory: str, days: list[tuple[int, date]], seed: int) -> None:
    """Changes the slot of each day twice, and tells the cache, by compare-and-set or not, a moment later."""
    pause, client = random.Random(seed), redis.Redis.from_url(url)
    cache = _cache(url, Path(directory))
    for slot, day in days:
        _meet(client, f"meet:{slot}")
        if _is_forced(slot):
            _wait_for(client, f"read:{slot}", 1)
        for _ in range(2):
            version = _newer(context, slot)
            _walk(8, pause)
            client.set(f"plain:{slot}", version)
            cache.changed(Change("north", "mri-1", day, {slot: (version, 1, 1)}))
        client.incr(f"written:{slot}")


def read_slowly(context: Context, url: str, directory: str, days: list[tuple[int, date]], seed: int) -> None:
    """Reads the slot of each day and fills the cache with it a moment later."""
    pause, client = random.Random(seed), redis.Redis.from_url(url)
    cache = _cache(url, Path(directory))
    for slot, day in days:
        _meet(client, f"meet:{slot}")
        wanted = DAY._replace(day=day)
        lease, begun = cache.lease([wanted], anyway=True), time.monotonic()
        found = context.connection().execute("SELECT version FROM slot WHERE slot_id = %s", (slot,)).fetchone()
        (version,) = found or (0,)
        client.incr(f"read:{slot}")
        if _is_forced(slot):
            _wait_for(client, f"written:{slot}", 2)
        _walk(15, pause)
        client.set(f"plain:{slot}", version)
        start = datetime.combine(day, START.timetz())
        known = replace(_slot(1, version), slot_id=slot, start=start, end=start + timedelta(minutes=30))
        cache.fill(lease, wanted, _reading(known), time.monotonic() - begun)


def take_part(context: Context, role: int, url: str, directory: str, days: list[tuple[int, date]]) -> None:
    """Role 0 reads, the others write. However busy the machine is, none of them gives Redis up."""
    slot_cache.SECONDS = 10
    (read_slowly if role == 0 else write_often)(context, url, directory, days, role)


def _newer(context: Context, slot: int) -> int:
    update = "UPDATE slot SET version = version + 1 WHERE slot_id = %s RETURNING version"
    (version,) = context.connection().execute(update, (slot,)).fetchone() or (0,)
    return int(version)


def test_a_slow_reader_and_two_writers_leave_nothing_stale(clinic: Clinic, valkey: Valkey, tmp_path: Path) -> None:
    cache = _cache(valkey.url, tmp_path)
    slots = [clinic.slot("mri", day, index) for day in range(1, 11) for index in range(8)]
    days = [(slot, DAY.day + timedelta(days=3 * n)) for n, slot in enumerate(slots)]
    for slot, day in days[::2]:
        _fill(cache, replace(_slot(1, 1), slot_id=slot), day=DAY._replace(day=day))
    crowd = Crowd()
    try:
        crowd.at_once(take_part, clinic.owner_dsn, [(role, valkey.url, str(tmp_path), days) for role in range(3)])
    finally:
        crowd.close()
    versions = dict(clinic.rows("SELECT slot_id, version FROM slot"))
    stale = known = plain_stale = 0
    for slot, day in days:
        (entry,) = cache.days([DAY._replace(day=day)]) or [None]
        if entry is not None and not entry.outdated:
            known += 1
            stale += entry.reading.slots[0].version != versions[slot]
        plain_stale += int(valkey.client.get(f"plain:{slot}") or 0) != versions[slot]
    assert stale == 0
    assert known >= len(days) // 3
    assert plain_stale >= sum(map(_is_forced, slots)) > 0, (
        "without compare-and-set nothing went wrong, so this test shows nothing"
    )


def test_a_redis_that_is_down_is_asked_once_in_five_seconds_by_all_processes(tmp_path: Path) -> None:
    cache = _cache(f"unix://{tmp_path}/nobody", tmp_path)
    assert [cache.days([DAY]) for _ in range(5)] == [None] * 5
    assert cache._breaker.trips == 1
    file = tmp_path / "state" / "cache-away"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    another = _cache(f"unix://{tmp_path}/nobody", tmp_path)
    assert another.away
    assert another.days([DAY]) is None
    assert (another._breaker.trips, another._client) == (0, None)


def test_a_breaker_closes_again_and_does_not_believe_a_time_to_come(tmp_path: Path) -> None:
    file = tmp_path / "away"
    Breaker(file).trip()
    assert Breaker(file).is_open
    for seconds in (-6, 3600):
        os.utime(file, (time.time() + seconds,) * 2)
        assert not Breaker(file).is_open


def test_a_state_directory_nobody_may_write_in_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a directory")
    cache = _cache(f"unix://{tmp_path}/nobody", tmp_path)
    assert cache.days([DAY]) is None
    assert cache.away


def test_a_frozen_redis_is_waited_for_once_and_is_used_again_afterwards(tmp_path: Path) -> None:
    with own_valkey() as server:
        cache = _cache(server.url, tmp_path)
        assert _fill(cache, _slot(1, 1))
        server.freeze()
        begun = time.monotonic()
        assert [cache.days([DAY]) for _ in range(5)] == [None] * 5
        cache.changed(_change({1: (2, 4, 2)}))
        assert not _fill(cache, _slot(1, 1))
        assert cache._breaker.trips == 1
        assert time.monotonic() - begun < 2  # one wait of 0.25 s, not eight
        server.thaw()
        again = _cache(server.url, tmp_path / "another")
        assert _kept(again) == (_slot(1, 1),)


def test_a_redis_without_memory_is_read_and_not_given_up(tmp_path: Path) -> None:
    with own_valkey("--maxmemory", "100mb") as server:
        cache = _cache(server.url, tmp_path)
        assert _fill(cache, _slot(1, 1))
        server.client.config_set("maxmemory", "1mb")
        assert _kept(cache) == (_slot(1, 1),)
        assert not _fill(cache, _slot(1, 2))
        cache.changed(_change({1: (2, 4, 2)}))
        assert (cache._breaker.trips, cache.away) == (0, False)


def test_a_replica_is_read_and_not_given_up(tmp_path: Path) -> None:
    with own_valkey() as server:
        cache = _cache(server.url, tmp_path)
        assert _fill(cache, _slot(1, 1))
        server.client.replicaof("127.0.0.1", 1)
        assert _kept(cache) == (_slot(1, 1),)
        assert not _fill(cache, _slot(1, 2))
        cache.changed(_change({1: (2, 4, 2)}))
        assert (cache._breaker.trips, cache.away) == (0, False)
