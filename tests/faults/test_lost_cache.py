"""Redis or the database lost, frozen, flushed or full under the desks: what is found is right, or says what it is."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from collections.abc import Iterator

import pytest

from bookcli.core.adapters import embedded, slot_cache
from bookcli.core.context import Context
from bookcli.core.db import kernel
from bookcli.core.model.requests import BookingRequest, Place
from bookcli.core.model.slots import Search
from bookcli.core.services import appointments, slots
from tests import caching
from tests.cli.commands import process
from tests.clinic import Clinic
from tests.processes import Crowd
from tests.servers import Server
from tests.valkeys import Valkey
from tests.valkeys import valkey as own_valkey

REMAINING = "SELECT capacity - booked, version FROM slot WHERE slot_id = %s"
_PLAYS = {
    "stopped": Valkey.stop,
    "frozen": Valkey.freeze,
    "flushed": lambda server: server.client.flushall(),
    "full": lambda server: server.client.config_set("maxmemory", "1mb"),
    "a replica": lambda server: server.client.replicaof("127.0.0.1", 1),
    "paused": lambda server: server.client.client_pause(60_000),
}


@pytest.mark.parametrize("fault", _PLAYS)
def test_whatever_happens_to_redis_what_is_found_is_right(clinic: Clinic, fault: str) -> None:
    search = Search("blood", (clinic.day(1), clinic.day(1)), most=1)
    with own_valkey() as server, caching.desk(clinic, server, soft=0) as desk:
        assert slots.find(desk, search)[0].remaining == 4
        _PLAYS[fault](server)
        for patient in range(1, 4):
            assert appointments.book(desk, clinic.request(patient, "blood", clinic.slot("blood"))).outcome == "booked"
            assert slots.find(desk, search)[0].remaining == 4 - patient
        cache = desk.slot_cache()
        assert cache is not None
        # One wait of a quarter of a second in five seconds, or none: what answers is not given up.
        silent = fault in ("stopped", "frozen", "paused")
        assert cache._breaker.trips == (1 if silent else 0)
        assert slot_cache.SECONDS == 0.25
    assert clinic.sound()


def test_a_command_finds_what_is_free_while_redis_is_frozen(clinic: Clinic, valkey: Valkey) -> None:
    words = ("slots", "--test", "blood", "--site", "north", "--json")
    with own_valkey() as server:
        server.freeze()
        first = process(*words, BOOKCLI_REDIS_URL=server.url)
        assert (first.code, len(first.json["slots"]), first.err) == (0, 6 * 16, "")
        away = clinic.context.paths.cache_away_file
        failed = away.stat().st_mtime_ns
        assert process(*words, BOOKCLI_REDIS_URL=server.url).json["slots"] == first.json["slots"]
        assert away.stat().st_mtime_ns == failed or time.time() - failed / 1e9 > 5


def book_one(context: Context, url: str, patient: int, slot: int) -> str:
    """A desk that books a place and tells the cache."""
    slot_cache.SECONDS = 10
    with Context(caching.settings(context.dsn, url), context.paths) as desk:
        outcome = appointments.book(desk, BookingRequest(f"P{patient}", "blood", Place(slot=slot)))
        return outcome.reason or outcome.outcome


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    people = Crowd()
    try:
        yield people
    finally:
        people.close()


def test_many_desks_leave_in_the_cache_what_is_in_the_database(clinic: Clinic, valkey: Valkey, crowd: Crowd) -> None:
    slot = clinic.slot("blood")
    search = Search("blood", (clinic.day(1), clinic.day(1)), most=1, everything=True)
    with caching.desk(clinic, valkey) as desk:
        slots.find(desk, search)
        told = crowd.at_once(book_one, clinic.context.dsn, [(valkey.url, n, slot) for n in range(1, 9)])
        assert sorted(told) == ["booked"] * 4 + ["slot-full"] * 4
        found = slots.find(desk, search)[0]
    assert (found.remaining, found.version) == clinic.row(REMAINING, (slot,))


def look_once(context: Context, url: str, day: slots.date) -> tuple[str, bool]:
    """A desk that looks when what is cached has just become too old: of when the answer is, and whether it is old."""
    slot_cache.SECONDS = 10
    with Context(caching.settings(context.dsn, url, soft=60), context.paths) as desk:
        answer = slots.look(desk, Search("blood", (day, day), ["north"]))
        return answer.as_of.isoformat(), answer.stale


def test_one_desk_refreshes_what_many_look_at(clinic: Clinic, valkey: Valkey, crowd: Crowd) -> None:
    day = clinic.day(1)
    with caching.desk(clinic, valkey) as desk:
        before = slots.look(desk, Search("blood", (day, day), ["north"])).as_of.isoformat()
    valkey.client.set("kept", 1)
    crowd.start(look_once, clinic.context.dsn, [(valkey.url, day)] * 8)
    caching.age(valkey.client, 60.5)
    crowd.go()
    told = crowd.results()
    assert len({as_of for as_of, _ in told} - {before}) == 1
    assert all(stale == (as_of == before) for as_of, stale in told)


def test_nothing_about_a_patient_is_in_redis(clinic: Clinic, valkey: Valkey) -> None:
    canary = "Xanthippe-Canary"
    kernel.save(clinic.context.connection(), "patients", [{"mrn": "CANARY-1", "name": canary, "phone": "+4930123987"}])
    with caching.desk(clinic, valkey) as desk:
        for search in caching.every_search(clinic):
            slots.find(desk, search)
        request = clinic.request("CANARY-1", "mri", clinic.slot("mri"), note=f"{canary} again")
        outcome = appointments.book(desk, request)
        appointments.cancel(desk, outcome.verdicts[0].reference or "")
        appointments.hold(desk, clinic.request("CANARY-1", "blood", clinic.slot("blood")))
    kept = caching.dump(valkey.client)
    assert "bookcli:slots:" in kept
    for word in (canary, "CANARY", "30123987", outcome.verdicts[0].reference or "no reference"):
        assert word not in kept


@contextlib.contextmanager
def _frozen(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def _postmaster(server: Server) -> int:
    return next(one.pid or 0 for one in embedded.status(server.paths) if one.name == "postgres")


def test_a_frozen_database_is_answered_from_the_cache_with_a_banner(
    clinic: Clinic, valkey: Valkey, server: Server
) -> None:
    words = ("slots", "--test", "blood", "--site", "north", "--on", clinic.day(1).isoformat(), "--json")
    known = process(*words)
    assert (known.json["stale"], known.err) == (False, "")
    caching.age(valkey.client, 600)
    with _frozen(_postmaster(server)):
        old = process(*words)
    assert (old.code, old.json["stale"], old.json["slots"]) == (0, True, known.json["slots"])
    assert old.json["as_of"] == known.json["as_of"]
    assert "DOES NOT ANSWER" in old.err
    assert "10 minutes ago" in old.err


def test_a_frozen_connection_is_soon_replaced(clinic: Clinic, valkey: Valkey) -> None:
    search = Search("blood", (clinic.day(1), clinic.day(1)))
    with caching.desk(clinic, valkey, soft=60) as desk:
        slots.find(desk, search)
        caching.age(valkey.client, 600)
        desk.close()
    with caching.desk(clinic, valkey, soft=60) as desk:
        (backend,) = desk.connection().execute("SELECT pg_backend_pid()").fetchone() or (0,)
        desk.connection().deadline = 30
        with _frozen(backend):
            begun = time.monotonic()
            answer = slots.look(desk, search)
            assert time.monotonic() - begun < 15  # its deadline is 30 s
        # Another connection was made instead, and that one answered.
        assert (answer.away, answer.stale, len(answer.slots)) == (False, False, 16)


def test_a_database_that_is_gone_is_answered_from_the_cache_and_what_is_unknown_is_called_so(
    clinic: Clinic, valkey: Valkey
) -> None:
    one, two = clinic.day(1).isoformat(), clinic.day(2).isoformat()
    name = {"BOOKCLI_CACHE_NAME": "clinic"}
    gone = {**name, "BOOKCLI_DATABASE_URL": caching.NOWHERE}
    asked = ("slots", "--test", "blood", "--site", "north")
    nothing = process(*asked, "--on", one, "--json", **gone)
    assert (nothing.code, nothing.out) == (75, "")
    assert nothing.error["code"] == "availability-unknown"
    assert "unknown" in nothing.error["message"]
    assert "free:" not in nothing.error["hint"]

    fresh = process(*asked, "--on", one, "--json", **name)
    caching.age(valkey.client, 7200)
    partly = process(*asked, "--from", one, "--to", two, "--json", **gone)
    assert (partly.code, partly.json["stale"]) == (0, True)
    assert partly.json["slots"] == fresh.json["slots"]
    assert partly.json["unknown"] == [{"site": "north", "test": "blood", "day": two}]
    assert "Unknown, neither free nor full" in partly.err
    people = process(*asked, "--on", one, "-q", **gone)
    assert "THE DATABASE DOES NOT ANSWER" in people.err
    assert json.loads(fresh.out)["slots"][0]["remaining"] == 4


def test_the_banner_is_not_taken_for_an_outage_of_redis(clinic: Clinic, valkey: Valkey) -> None:
    with own_valkey() as server:
        server.stop()
        both = process(
            "slots", "--test", "blood", "--json", BOOKCLI_REDIS_URL=server.url, BOOKCLI_DATABASE_URL=caching.NOWHERE
        )
    assert (both.code, both.out) == (75, "")
    assert both.error["code"] == "availability-unknown"
