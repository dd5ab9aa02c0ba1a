"""The availability cache in Redis or Valkey: what was read of days of slots, and when.

What must stay true: it never decides anything, holds nothing about a patient, and whatever Redis does (down, frozen,
full, flushed, a replica) costs one wait of a quarter of a second and then nothing for five; the caller goes on
without it. Redis is imported when it is asked, not before.
"""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ..model.availability import Catalog, Change, Day, Reading, catalog_of, catalog_text, slots_of, slots_text
from ..model.slots import Search
from . import slot_scripts
from .breaker import Breaker
from .slot_entries import Decoded, Entry, KnownCatalog, Lease, Plan, aged

if TYPE_CHECKING:
    from redis import Redis

SECONDS = 0.25
"""How long Redis may take to accept a connection, and to answer."""

HARD_MS = 24 * 3600 * 1000
LEASE_MS = 3000
CLOCK_SECONDS = 60
LOOKS_AT_ONCE = 1000
MOST_PLANS = 200
MOST_REMEMBERED = 2000
_SECRETS = re.compile(r"//[^/@]*@|\b(?:user|password)=\S+")


def database_id(dsn: str, name: str = "") -> str:
    """What stands for a database in keys: the name it was given, else a digest of its address without who asks."""
    from hashlib import blake2b  # noqa: PLC0415 - 3 ms, and only where there is a cache

    return name or blake2b(_SECRETS.sub("//", dsn).encode(), digest_size=6).hexdigest()


class SlotCache:
    """The entries of one database in one Redis; `soft` is in seconds. When Redis is away, methods return at once."""

    def __init__(self, url: str, database: str, soft: float, breaker: Breaker) -> None:
        self._url = url
        self._soft = soft
        self._breaker = breaker
        self._client: Redis | None = None
        self._hashes: dict[str, str] = {}
        self._decoded: dict[str, Decoded] = {}
        self._known: tuple[KnownCatalog, float] | None = None
        self._plans: dict[Any, Plan] = {}
        self._clock, self._clock_until = 0, 0.0
        self._looks = [0, 0]
        self._slots, self._tests = f"bookcli:slots:{database}", f"bookcli:tests:{database}"
        self._catalog, self._found = f"bookcli:catalog:{database}", f"bookcli:found:{database}"
        self._changes = f"bookcli:changes:{database}"

    @property
    def away(self) -> bool:
        """Whether Redis failed a moment ago and is left alone."""
        return self._breaker.is_open

    def is_fresh(self, entry: Entry | KnownCatalog | None) -> bool:
        """Whether an entry is served as it is."""
        return entry is not None and not entry.outdated and entry.age < self._soft * 1000

    def is_aging(self, entry: Entry | KnownCatalog | None) -> bool:
        """Whether an entry is served while somebody else refreshes it."""
        return entry is not None and not entry.outdated and entry.age < self._soft * 1000 + LEASE_MS

    def key(self, day: Day) -> str:
        """The key of an entry."""
        return f"{self._slots}:{day.site}:{day.test}:{day.day}"

    def channel(self, site: str) -> str:
        """Where days of a site that have changed are told."""
        return f"{self._changes}:{site}"

    def plan(self, catalog: Catalog, search: Search) -> Plan:
        """Where the answer to a search lies."""
        question = (search.test, *search.sites, search.days)
        plan = self._plans.get(question)
        if plan is None or plan.catalog is not catalog:
            if len(self._plans) >= MOST_PLANS:
                self._plans.clear()
            days = catalog.wanted(search.test, search.sites, search.days)
            plan = self._plans[question] = Plan(catalog, days, [self.key(day) for day in days])
        return plan

    def asked(self, plan: Plan) -> int | None:
        """Looks up what is kept of the days of a plan, in one round trip; the moment, None when Redis is away."""
        values = self._values(plan.keys)
        if values is None:
            return None
        if values != plan.values:
            known = [self._decode(*one) for one in zip(plan.keys, plan.days, values, strict=True)]
            ages = [one.at if one is not None and not one.outdated else -1 for one in known]
            plan.values, plan.known, plan.oldest = values, known, None if min(ages) < 0 else min(ages)
            plan.__dict__.pop("whole", None)
        return self._moment()

    def is_hit(self, plan: Plan, moment: int) -> bool:
        """Whether every day of a plan is fresh."""
        return plan.oldest is not None and moment - plan.oldest < self._soft * 1000

    def entries(self, plan: Plan, moment: int) -> dict[Day, Entry | None]:
        """Every day of a plan with what is kept of it."""
        return {day: aged(one, moment) for day, one in zip(plan.days, plan.known, strict=True)}

    def days(self, days: Sequence[Day]) -> list[Entry | None] | None:
        """What is kept of days, in one round trip; None for what is not known, and for all of it when Redis is away."""
        keys = [self.key(day) for day in days]
        values = self._values(keys)
        if values is None:
            return None
        moment = self._moment()
        return [aged(self._decode(*one), moment) for one in zip(keys, days, values, strict=True)]

    def _values(self, keys: Sequence[str]) -> list[bytes | None] | None:
        """What is under keys; in the same round trip, now and then, what time it is at Redis."""
        if time.monotonic() < self._clock_until:
            values: list[bytes | None] | None = self._safely(lambda client: _said(client, "MGET", *keys))
            return values
        answer = self._safely(lambda client: _with_time(client, keys))
        if answer is None:
            return None
        (seconds, micros), values = answer
        self._clock = seconds * 1000 + micros // 1000 - int(time.monotonic() * 1000)
        self._clock_until = time.monotonic() + CLOCK_SECONDS
        return values

    def _moment(self) -> int:
        """The milliseconds on the clock of Redis, by which ages are counted: it is the same for every desk."""
        return self._clock + int(time.monotonic() * 1000)

    def count(self, *, hit: bool) -> None:
        """Counts a search for the hit ratio; Redis is told now and then."""
        self._looks[not hit] += 1
        if sum(self._looks) >= LOOKS_AT_ONCE:
            self._tell_counts()

    def _tell_counts(self) -> None:
        counts, self._looks = self._looks, [0, 0]
        self._run(slot_scripts.COUNT, [self._found], counts)

    def _decode(self, key: str, day: Day, value: bytes | None) -> Decoded | None:
        known = self._decoded.get(key)
        if known is None or known.value != value:
            if value is None or (known := self._understood(day, value, known)) is None:
                return None
            if len(self._decoded) >= MOST_REMEMBERED:
                self._decoded.clear()
            self._decoded[key] = known
        return known

    def _understood(self, day: Day, value: bytes, known: Decoded | None) -> Decoded | None:
        """What a value says; the slots of the one before, if they are the same. None for what nobody understands."""
        try:
            first, middle, body = value.split(b"\n", 2)
            at, _, mark = first.partition(b" ")
            if known is not None and known.value.partition(b"\n")[2] == value.partition(b"\n")[2]:
                reading = known.reading
            else:
                as_of, alone, zone = middle.decode().split(" ", 2)
                reading = Reading(datetime.fromisoformat(as_of), zone, alone == "1", slots_of(body, day, zone))
            return Decoded(value, int(at), mark == b"1", reading)
        except Exception:  # noqa: BLE001 - what nobody understands is unknown
            return None

    def catalog(self) -> KnownCatalog | None:
        """The catalog; None when it is not known. It is remembered here, and so asked for once in its lifetime."""
        if self._known is not None and time.monotonic() < self._known[1]:
            return self._known[0]
        values = self._values([self._catalog])
        try:
            first, middle, body = (values[0] or b"").split(b"\n", 2)  # type: ignore[index]
            at, _, mark = first.partition(b" ")
            as_of = datetime.fromisoformat(middle.decode().split(" ", 1)[0])
            known = KnownCatalog(catalog_of(body, as_of), max(self._moment() - int(at), 0), mark == b"1")
        except Exception:  # noqa: BLE001 - what is not there, or nobody understands, is unknown
            return None
        fresh_for = self._soft - known.age / 1000 if not known.outdated else 0.0
        self._known = (known, time.monotonic() + fresh_for)
        return known

    def forget_catalog(self) -> None:
        """Makes the catalog unknown, and with it the days of every test and site."""
        self._known = None
        self.drop()

    def lease(self, days: Sequence[Day], *, anyway: bool = False, young: float = 0.0) -> Lease:
        """Takes the right to refresh days that nobody else is refreshing; it ends by itself after `LEASE_MS`.

        Those that are fresh by now, or were read less than `young` seconds ago and have not changed in a way unknown
        since, are left alone, unless they are to be read `anyway`.
        """
        pairs = [(self.key(day), self._list(day.site, day.day), day.test) for day in days]
        return self._leased(pairs, 0 if anyway else int(max(self._soft, young) * 1000))

    def lease_catalog(self) -> Lease:
        """The same for the catalog."""
        return self._leased([(self._catalog, f"{self._catalog}:list", "")], 0)

    def _leased(self, pairs: Sequence[tuple[str, str, str]], soft: int) -> Lease:
        token = uuid.uuid4().hex
        keys = [key for entry, tests, _ in pairs for key in (entry, tests)]
        words = [token, LEASE_MS, HARD_MS + LEASE_MS, soft, *(test for _, _, test in pairs)]
        taken = self._run(slot_scripts.LEASE, keys, words)
        return Lease(token, frozenset(pairs[n][0] for n in taken or ()), refused=taken is None)

    def release(self, lease: Lease) -> None:
        """Lets somebody else read what could not be read."""
        if lease.keys:
            self._run(slot_scripts.RELEASE, [f"{key}:lease" for key in lease.keys], [lease.token])

    def fill(self, lease: Lease, day: Day, reading: Reading, elapsed: float) -> bool:
        """Keeps what was read under the lease, begun `elapsed` seconds ago; False when it may be outdated already."""
        middle = f"{reading.as_of.isoformat()} {reading.alone:d} {reading.zone}"
        told = (self.channel(day.site), day.day.isoformat())
        return self._filled(lease, self.key(day), elapsed, (middle, slots_text(reading.slots), *told))

    def fill_catalog(self, lease: Lease, catalog: Catalog, elapsed: float) -> bool:
        """The same for the catalog."""
        middle = f"{catalog.as_of.isoformat()} 0 -"
        return self._filled(lease, self._catalog, elapsed, (middle, catalog_text(catalog), self._changes, ""))

    def _filled(self, lease: Lease, key: str, elapsed: float, content: Sequence[str]) -> bool:
        if key not in lease.keys:
            return False
        return bool(
            self._run(slot_scripts.FILL, [key, f"{key}:lease"], [lease.token, int(elapsed * 1000), HARD_MS, *content])
        )

    def changed(self, change: Change) -> None:
        """Sets slots by compare-and-set on their version; what else the change may concern is outdated from now on."""
        import json  # noqa: PLC0415 - a command that reads has it already, one that books gets it after its answer

        days = [change.day + timedelta(days=n) for n in (-1, 0, 1)]
        touched = json.dumps({number: list(value or ()) for number, value in change.touched.items()})
        words = [f"{self._slots}:{change.site}:", *map(str, days), change.resource, touched]
        lists = [self._list(change.site, day) for day in days]
        self._run(slot_scripts.CHANGED, lists, [*words, self.channel(change.site)])

    def forget(self, site: str, days: Sequence[date]) -> None:
        """Makes days of a site unknown, whatever the test."""
        lists = [self._list(site, day) for day in days]
        words = [f"{self._slots}:{site}:", self.channel(site), *map(str, days)]
        self._run(slot_scripts.FORGET, lists, words)

    def kept(self, site: str = "") -> list[Day]:
        """The days that are kept, or those of one site, in order."""
        keys = self._safely(lambda client: list(client.scan_iter(f"{self._slots}:{site or '*'}:*", count=1000))) or []
        words = [key.decode().removeprefix(f"{self._slots}:").split(":") for key in keys if not key.endswith(b":lease")]
        return sorted(Day(place, test, date.fromisoformat(day)) for place, test, day in words)

    def drop(self, site: str = "") -> int | None:
        """Makes everything unknown, or everything of a site; how many entries. None when Redis is away."""
        count: int | None = self._safely(lambda client: self._dropped(client, site))
        return count

    def _dropped(self, client: Redis, site: str) -> int:
        keys = list(client.scan_iter(f"{self._slots}:{site or '*'}:*", count=1000))
        for first in range(0, len(keys), 1000):
            client.delete(*keys[first : first + 1000])
        if not site:
            self._known = None
            client.delete(self._catalog, f"{self._catalog}:lease", self._found)
        return sum(not key.endswith(b":lease") for key in keys)

    def ratio(self) -> tuple[int, int] | None:
        """(looks answered from here, looks that went to the database), of this desk and of those that have ended."""
        self._tell_counts()
        counts = self._safely(lambda client: client.hmget(self._found, ["hits", "misses"]))
        return None if counts is None else (int(counts[0] or 0), int(counts[1] or 0))

    def listen(self, sites: Sequence[str], patience: float) -> Iterator[tuple[str, date] | None]:
        """(site, day) whenever a day has changed, None every `patience` seconds without; ends when Redis is away."""
        channels = {self.channel(site).encode(): site for site in sites}
        subscription = self._safely(lambda client: _subscribed(client, list(channels)))
        while subscription is not None:
            told = self._safely(lambda _: (subscription.get_message(timeout=patience),))
            if told is None:
                return
            if told[0] is None:
                yield None
            elif told[0]["type"] == "message":
                yield channels[told[0]["channel"]], date.fromisoformat(told[0]["data"].decode())

    def answers(self) -> bool:
        """Whether Redis answers at this moment."""
        return self._safely(lambda client: _said(client, "PING")) is not None

    def publish(self, channel: str, words: str = "") -> None:
        """Says something, mostly without words, to whoever listens."""
        self._safely(lambda client: _said(client, "PUBLISH", channel, words))

    def close(self) -> None:
        """Closes the connection, if there is one."""
        if self._client is not None:
            if any(self._looks):
                self._tell_counts()
            self._safely(lambda client: client.close())
            self._client = None

    def _list(self, site: str, day: date) -> str:
        return f"{self._tests}:{site}:{day}"

    def _run(self, script: str, keys: Sequence[str], words: Sequence[Any]) -> Any:
        """What a script returns; None when Redis is away or refuses."""
        return self._safely(lambda client: self._evaluated(client, script, (len(keys), *keys, *words)))

    def _evaluated(self, client: Redis, script: str, words: tuple[Any, ...]) -> Any:
        from redis.exceptions import NoScriptError  # noqa: PLC0415 - redis is imported when it is asked

        if script not in self._hashes:
            from hashlib import sha1  # noqa: PLC0415 - only for Redis, which names scripts by it

            self._hashes[script] = sha1(script.encode(), usedforsecurity=False).hexdigest()
        try:
            return _said(client, "EVALSHA", self._hashes[script], *words)
        except NoScriptError:
            return _said(client, "EVAL", script, *words)

    def _safely(self, ask: Callable[[Redis], Any]) -> Any:
        """What Redis answers; None when it is away, refuses or says something else than it should."""
        if self._breaker.is_open:
            return None
        try:
            return ask(self._client or self._connected())
        except Exception as problem:  # noqa: BLE001 - whatever happens to Redis, the database answers
            if not _was_answered(problem):
                self._breaker.trip()
            return None

    def _connected(self) -> Redis:
        from redis import Redis  # noqa: PLC0415 - 150 ms, asyncio among it, whichever part of redis is imported
        from redis.backoff import NoBackoff  # noqa: PLC0415 - likewise
        from redis.retry import Retry  # noqa: PLC0415 - likewise

        self._client = Redis.from_url(
            self._url,
            protocol=2,
            socket_timeout=SECONDS,
            socket_connect_timeout=SECONDS,
            retry=Retry(NoBackoff(), 0),
        )
        return self._client


def _said(client: Redis, *words: Any) -> Any:
    return client.execute_command(*words)  # type: ignore[no-untyped-call]


def _with_time(client: Redis, keys: Sequence[str]) -> Any:
    together = client.pipeline(transaction=False)
    together.time()
    together.mget(keys)
    return together.execute()


def _subscribed(client: Redis, channels: Sequence[bytes]) -> Any:
    subscription = client.pubsub()  # type: ignore[no-untyped-call]
    subscription.subscribe(*channels)
    return subscription


def _was_answered(problem: Exception) -> bool:
    """Whether Redis did answer, if only with a refusal (a replica, no memory): that took no time."""
    from redis.exceptions import ResponseError  # noqa: PLC0415 - redis is imported when it is asked

    return isinstance(problem, ResponseError)
