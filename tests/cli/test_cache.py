"""`bookcli cache` and what `slots` says about the age of its answer."""

from __future__ import annotations

from datetime import datetime

from bookcli.core import clock
from tests import caching
from tests.cli.commands import Shell, process
from tests.clinic import Clinic
from tests.valkeys import Valkey
from tests.valkeys import valkey as own_valkey


def test_the_cache_is_filled_shown_and_emptied(clinic: Clinic, valkey: Valkey, bookcli: Shell) -> None:
    filled = bookcli("cache", "warm", "--site", "north", "--days", "3", "--json")
    assert (filled.code, filled.json["cache"]) == (0, [{"entries": 9}])
    shown = bookcli("cache", "show", "--json")
    first = shown.json["entries"][0]
    assert (shown.code, len(shown.json["entries"]), first["fresh"], first["age"] < 5) == (0, 9, True, True)
    assert {"site", "test", "day", "as_of", "age", "fresh", "slots", "free"} == set(first)
    assert (shown.json["hits"], shown.json["searches"]) == (0, 0)
    assert bookcli("slots", "--test", "mri", "--site", "north", "--on", "tomorrow").code == 0
    shown = bookcli("cache", "show", "--site", "north")
    assert "9 days are cached; 1 of 1 searches were answered by the cache." in shown.err
    assert bookcli("cache", "drop", "-o", "ids").out == "9\n"
    assert bookcli("cache", "show", "--json").json["entries"] == []


def test_the_age_of_an_answer_is_that_of_its_reading(clinic: Clinic, valkey: Valkey, bookcli: Shell) -> None:
    words = ("slots", "--test", "mri", "--site", "north", "--on", "tomorrow", "--json")
    first, second = bookcli(*words).json, bookcli(*words).json
    assert (first["as_of"], first["stale"], first["slots"]) == (second["as_of"], False, second["slots"])
    assert abs((datetime.fromisoformat(first["as_of"]) - clock.now()).total_seconds()) < 60
    assert "unknown" not in first


def test_an_unknown_site_is_not_warmed(clinic: Clinic, valkey: Valkey, bookcli: Shell) -> None:
    answer = bookcli("cache", "warm", "--site", "nort", "--json")
    assert (answer.code, answer.error["details"]["nearest"]) == (4, ["north"])


def test_without_redis_the_commands_say_so_and_slots_does_not(clinic: Clinic, bookcli: Shell) -> None:
    for part in ("warm", "show", "drop"):
        answer = bookcli("cache", part, "--json")
        assert (answer.code, answer.error["code"]) == (75, "cache-missing")
    found = bookcli("slots", "--test", "mri", "--json")
    assert (found.code, found.err, len(found.json["slots"])) == (0, "", 96)


def test_a_redis_that_does_not_answer_is_said_by_the_commands_only(clinic: Clinic) -> None:
    with own_valkey() as server:
        server.stop()
        answer = process("cache", "show", "--json", BOOKCLI_REDIS_URL=server.url)
        found = process("slots", "--test", "mri", "--json", BOOKCLI_REDIS_URL=server.url)
    assert (answer.code, answer.error["code"]) == (75, "cache-away")
    assert (found.code, found.err) == (0, "")


def test_settings_of_the_cache_are_checked(clinic: Clinic, valkey: Valkey) -> None:
    words = ("slots", "--test", "mri", "--json")
    for name, value in (("SOFT_SECONDS", "soon"), ("SOFT_SECONDS", "-1"), ("NAME", "a:b")):
        answer = process(*words, **{f"BOOKCLI_CACHE_{name}": value})
        assert (answer.code, answer.error["code"]) == (2, "config-invalid")


def test_an_older_answer_says_of_when_it_is(clinic: Clinic, valkey: Valkey) -> None:
    name = {"BOOKCLI_CACHE_NAME": "clinic"}
    words = ("slots", "--test", "blood", "--site", "north", "--on", clinic.day(1).isoformat())
    process(*words, **name)
    caching.age(valkey.client, 3 * 3600)
    old = process(*words, BOOKCLI_DATABASE_URL=caching.NOWHERE, **name)
    assert (old.code, len(old.out.splitlines())) == (0, 17)
    assert old.err.startswith("THE DATABASE DOES NOT ANSWER. This is what was free 3 hours ago")
