"""`bookcli verify` and the cache: what cannot have been read from the database is found, what is only older is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from bookcli.core.context import Context
from bookcli.core.services import appointments, cache, database
from tests import caching
from tests.cli.commands import process
from tests.clinic import Clinic
from tests.valkeys import Valkey

VERSION, REMAINING = 7, 5
"""Where they are in what is kept of a slot (slot_scripts.py)."""


def proof(context: Context) -> int | None:
    """Violations of the cache's row; None when there is no such row."""
    return dict(database.verify(context)).get(database.CACHE_RULE)


def plant(valkey: Valkey, slot: int, change: Callable[[list[Any]], None]) -> None:
    """Changes what is kept of a slot, wherever it is."""
    for key in valkey.client.scan_iter("bookcli:slots:*"):
        head, middle, body = valkey.client.get(key).split(b"\n", 2)
        slots = json.loads(body)
        for one in slots:
            if one[0] == slot:
                change(one)
        valkey.client.set(key, b"\n".join([head, middle, json.dumps(slots).encode()]), keepttl=True)


def test_a_cache_that_was_read_from_the_database_is_right_whatever_happened_since(
    clinic: Clinic, valkey: Valkey
) -> None:
    with caching.desk(clinic, valkey) as desk:
        assert proof(desk) == 0
        assert cache.warm(desk) > 0
        assert proof(desk) == 0
        appointments.book(desk, clinic.request(1, "mri", clinic.slot("mri")))
        appointments.hold(desk, clinic.request(2, "blood", clinic.slot("blood")))
        assert proof(desk) == 0
        # Another desk, without the cache: what is kept is older now.
        appointments.book(clinic.context, clinic.request(3, "blood", clinic.slot("blood", 2)))
        clinic.run("UPDATE appointment SET held_until = now() - interval '1 minute' WHERE status = 'pending'")
        assert proof(desk) == 0


@pytest.mark.parametrize(
    ("index", "by", "wrong"), [(VERSION, 1, 1), (VERSION, -1, 0), (REMAINING, 1, 1), (REMAINING, -1, 1)]
)
def test_an_entry_ahead_of_the_database_or_counted_otherwise_is_found(
    clinic: Clinic, valkey: Valkey, index: int, by: int, wrong: int
) -> None:
    def change(slot: list[Any]) -> None:
        slot[index] += by

    with caching.desk(clinic, valkey) as desk:
        cache.warm(desk)
        plant(valkey, clinic.slot("blood"), change)
    with caching.desk(clinic, valkey) as desk:
        assert proof(desk) == wrong


def test_a_slot_the_database_has_never_had_is_found(clinic: Clinic, valkey: Valkey) -> None:
    with caching.desk(clinic, valkey) as desk:
        cache.warm(desk)
        plant(valkey, clinic.slot("blood"), lambda slot: slot.__setitem__(0, 10**6))
    with caching.desk(clinic, valkey) as desk:
        assert proof(desk) == 1


def test_without_a_redis_that_answers_there_is_no_such_row(clinic: Clinic, valkey: Valkey) -> None:
    assert proof(clinic.context) is None
    with caching.desk(clinic, valkey) as desk:
        cache.warm(desk)
        valkey.freeze()
        try:
            assert proof(desk) is None
        finally:
            valkey.thaw()


def test_the_command_says_that_the_cache_is_to_be_emptied(clinic: Clinic, valkey: Valkey) -> None:
    cached = {"BOOKCLI_CACHE_NAME": caching.NAME}
    with caching.desk(clinic, valkey) as desk:
        cache.warm(desk)
        plant(valkey, clinic.slot("blood"), lambda slot: slot.__setitem__(VERSION, 99))
    told = process("verify", **cached)
    assert (told.code, "bookcli cache drop" in told.err, "Stop booking" in told.err) == (1, True, False)
    assert process("cache", "drop", **cached).code == 0
    assert process("verify", **cached).code == 0
