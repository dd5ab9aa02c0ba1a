"""What the gateway costs a booking: pgbench as a desk with a session, against the inside of the same function."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from . import bookings, ground
from .ground import Ground

_INSIDE = f"app.book_as(NULL, {bookings.REQUESTS}, false, false)"
"""What is behind the door of `app.book`: no session, no definer."""


def measure(place: Ground, *, seconds: int = 3, rounds: int = 10) -> Iterator[str]:
    """One line for slots spread, one for one hot slot: the median of the ratios of neighbouring runs."""
    place.create("gateway")
    bases = itertools.count(0, bookings.CLIENTS * bookings.PATIENTS_EACH)
    for name, hot in (("spread over 10,000 slots", False), ("one hot slot", True)):
        pairs = [_pair(place, hot, (next(bases), next(bases)), seconds, n % 2 == 0) for n in range(rounds)]
        ratio = ground.median([with_door / inside for with_door, inside in pairs])
        a, b = (ground.median(list(side)) for side in zip(*pairs, strict=True))
        yield f"gateway, {name}: with sessions {a:,.0f} bookings/s, without {b:,.0f}/s, ratio {ratio:.2f}"


def _pair(place: Ground, hot: bool, bases: tuple[int, int], seconds: int, door_first: bool) -> tuple[float, float]:
    """Bookings per second with and without the door, one run right after the other, for other patients."""
    calls = [bookings.AS_A_DESK, _INSIDE]
    order = calls if door_first else calls[::-1]
    found = {
        call: bookings.pgbench(place, "gateway", hot, base, seconds, call)
        for call, base in zip(order, bases, strict=True)
    }
    return found[bookings.AS_A_DESK], found[_INSIDE]
