"""What the gateway costs a booking: pgbench as a desk with a session, against the same without any door."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg

from bookcli.core.adapters.local_sockets import ROLE

from . import bookings, ground
from .ground import Ground

_WITHOUT = (
    ("  acting := enter(token, 'book');\n", ""),
    ("acting.sites IS NOT NULL OR requests @? '$[*].history'", "false"),
    (" SECURITY DEFINER", ""),
)
"""What is taken out of `app.book` on the other side, which then runs as whoever owns everything."""


def measure(place: Ground, *, seconds: int = 3, rounds: int = 10) -> Iterator[str]:
    """One line for slots spread, one for one hot slot: the median of the ratios of neighbouring runs."""
    place.create("gated")
    place.create("ungated")
    _take_out(place)
    bases = itertools.count(0, bookings.CLIENTS * bookings.PATIENTS_EACH)
    for name, hot in (("spread over 10,000 slots", False), ("one hot slot", True)):
        pairs = [_pair(place, hot, next(bases), seconds, gated_first=n % 2 == 0) for n in range(rounds)]
        ratio = ground.median([gated / ungated for gated, ungated in pairs])
        gated, ungated = (ground.median(list(side)) for side in zip(*pairs, strict=True))
        yield f"gateway, {name}: with sessions {gated:,.0f} bookings/s, without {ungated:,.0f}/s, ratio {ratio:.2f}"


def _pair(place: Ground, hot: bool, base: int, seconds: int, *, gated_first: bool) -> tuple[float, float]:
    """Bookings per second with and without the door, one run right after the other."""
    sides = {"gated": ground.DESK, "ungated": ROLE}
    order = list(sides) if gated_first else list(reversed(sides))
    found = {side: bookings.pgbench(place, side, hot, base, seconds, user=sides[side]) for side in order}
    return found["gated"], found["ungated"]


def _take_out(place: Ground) -> None:
    with psycopg.connect(place.dsn("ungated"), autocommit=True) as connection:
        row = connection.execute("SELECT pg_get_functiondef('app.book'::regproc)").fetchone()
        assert row
        text = row[0]
        for old, new in _WITHOUT:
            assert text.count(old) == 1, f"app.book has no {old!r}"
            text = text.replace(old, new)
        connection.execute(text)
