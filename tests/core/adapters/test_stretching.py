"""Passwords become keys by argon2id: as the standard says, as expensive as both sides want, never as the password."""

from __future__ import annotations

import pytest

from bookcli.core.adapters import stretching
from bookcli.core.errors import Unavailable
from bookcli.core.model.staff import Stretching

OWASP = Stretching(b"", passes=2, memory_kib=19 * 1024, lanes=1)
CHEAP = Stretching(b"0123456789abcdef", passes=1, memory_kib=8192, lanes=1)


def test_the_key_is_that_of_argon2id_and_of_every_cost() -> None:
    """Against the reference implementation's own encoded form, which names the algorithm."""
    from argon2 import PasswordHasher, Type

    hasher = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1, hash_len=32, type=Type.ID)
    encoded = hasher.hash("correct horse", salt=CHEAP.salt)
    assert encoded.startswith("$argon2id$v=19$m=8192,t=1,p=1$")
    import base64

    key = base64.b64decode(encoded.rsplit("$", 1)[1] + "==")
    assert stretching.stretched("correct horse", CHEAP) == key
    others = [
        Stretching(b"fedcba9876543210", 1, 8192, 1),
        Stretching(CHEAP.salt, 2, 8192, 1),
        Stretching(CHEAP.salt, 1, 8200, 1),
        Stretching(CHEAP.salt, 1, 8192, 2),
    ]
    assert len({key, *(stretching.stretched("correct horse", how) for how in others)}) == 5


def test_a_new_password_costs_at_least_what_owasp_says_and_has_a_salt_of_its_own() -> None:
    one, other = stretching.fresh(OWASP), stretching.fresh(OWASP)
    assert not one.weaker_than(OWASP)
    assert len(one.salt) == stretching.SALT_BYTES == 16
    assert one.salt != other.salt


@pytest.mark.parametrize(
    "least", [Stretching(b"", 5, 8192, 1), Stretching(b"", 1, 131072, 1), Stretching(b"", 1, 8192, 4)]
)
def test_a_database_can_ask_for_more_and_never_for_less(least: Stretching) -> None:
    wanted = stretching.wanted(least)
    assert not wanted.weaker_than(least)
    assert not wanted.weaker_than(stretching.WANTED)
    assert stretching.WANTED.weaker_than(wanted)


def test_a_machine_without_the_memory_says_so() -> None:
    for memory_kib in (2**31, 2**40):
        with pytest.raises(Unavailable) as said:
            stretching.stretched("correct horse", Stretching(CHEAP.salt, 1, memory_kib, 1))
        assert said.value.code == "no-memory"


def test_parameters_that_argon2_does_not_take_are_one_sentence() -> None:
    with pytest.raises(Unavailable):
        stretching.stretched("correct horse", Stretching(b"", 1, 8192, 1))
