"""What the gateway costs a booking: pgbench as a desk with a session, against the same without any door."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import psycopg

from bookcli.core.adapters.local_sockets import ROLE

from . import bookings, ground
from .ground import Ground

_WITHOUT = (("  acting := enter(token, 'book');\n", ""), (" SECURITY DEFINER", ""))
"""What is taken out of `app.book` on the other side, which then runs as whoever owns everything."""


def measure(place: Ground, *, seconds: int = 5, rounds: int = 4) -> Iterator[str]:
    """One line for slots spread, one for one hot slot; the sides alternate."""
    place.create("gated")
    place.create("ungated")
    _take_out(place)
    bases = itertools.count(0, bookings.CLIENTS * 3000)
    for name, hot in (("spread over 10,000 slots", False), ("one hot slot", True)):
        gated, ungated = [], []
        for _ in range(rounds):
            base = next(bases)
            ungated.append(bookings.pgbench(place, "ungated", hot, base, seconds, user=ROLE))
            gated.append(bookings.pgbench(place, "gated", hot, base, seconds))
        a, b = ground.median(gated), ground.median(ungated)
        yield f"gateway, {name}: with sessions {a:,.0f} bookings/s, without {b:,.0f}/s, ratio {a / b:.2f}"


def _take_out(place: Ground) -> None:
    with psycopg.connect(place.dsn("ungated"), autocommit=True) as connection:
        row = connection.execute("SELECT pg_get_functiondef('app.book'::regproc)").fetchone()
        assert row
        text = row[0]
        for old, new in _WITHOUT:
            assert text.count(old) == 1, f"app.book has no {old!r}"
            text = text.replace(old, new)
        assert "acting.sites IS NOT NULL OR NOT may" in text
        text = text.replace("acting.sites IS NOT NULL OR NOT may(acting, 'record-history')", "false")
        connection.execute(text)
