"""Passwords become keys here, at the desk: argon2id by argon2-cffi, so that no server ever sees a password."""

from __future__ import annotations

import os

from ..errors import Unavailable
from ..model.staff import Stretching

KEY_BYTES = 32
SALT_BYTES = 16
WANTED = Stretching(b"", passes=2, memory_kib=65536, lanes=1)
"""What a new password is stretched with: more than three times the least of the OWASP Password Storage Cheat Sheet
(19 MiB, 2 passes, 1 lane), and still under a quarter of a second at a desk."""

_MOST_MEMORY_KIB = 4 * 1024 * 1024


def wanted(least: Stretching) -> Stretching:
    """The costs for a new password, without a salt: ours, or what the database says is the least."""
    return Stretching(
        b"",
        max(WANTED.passes, least.passes),
        max(WANTED.memory_kib, least.memory_kib),
        max(WANTED.lanes, least.lanes),
    )


def fresh(least: Stretching) -> Stretching:
    """As `wanted`, with a salt of its own."""
    costs = wanted(least)
    return Stretching(os.urandom(SALT_BYTES), costs.passes, costs.memory_kib, costs.lanes)


def stretched(password: str, how: Stretching) -> bytes:
    """The key of 32 bytes. Raises Unavailable when this machine has not the memory for it."""
    from argon2.exceptions import HashingError  # noqa: PLC0415 - likewise
    from argon2.low_level import Type, hash_secret_raw  # noqa: PLC0415 - 26 ms, only for signing in

    if how.memory_kib > _MOST_MEMORY_KIB:
        raise _cannot()
    try:
        return hash_secret_raw(password.encode(), how.salt, how.passes, how.memory_kib, how.lanes, KEY_BYTES, Type.ID)
    except (HashingError, MemoryError):
        raise _cannot() from None


def _cannot() -> Unavailable:
    return Unavailable("This machine has not the memory to check a password.", code="no-memory")
