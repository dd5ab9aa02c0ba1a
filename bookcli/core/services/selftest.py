"""Tries to break the promises: many processes after few places, on a scratch database of the same server.

What must stay true: the user's own data is never touched, and whatever a process was told is compared with what stands.
"""

from __future__ import annotations

import multiprocessing
import random
import secrets
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from .. import clock
from ..config import Settings
from ..context import Context
from ..db import engine, kernel, scratch
from ..errors import InvalidInput, OutcomeUnknown, Refused, Unavailable
from ..model.requests import BookingRequest, Place, new_key
from . import appointments

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

_CAPACITIES = (1, 3, 10)
_SLOTS_EACH = 8
_PATIENTS = 60
_MOST_PROCESSES = 64


@dataclass
class Tally:
    """What one process did and was told; `standing` are the references it was promised and did not cancel."""

    attempts: int = 0
    wins: int = 0
    ambiguous: int = 0
    busy: int = 0
    guarded: int = 0
    standing: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RaceReport:
    """What a race showed. `bound` is 3/N: with no violation in N attempts, the rate is below it with 95 % certainty."""

    processes: int
    seconds: float
    seed: int
    attempts: int
    wins: int
    ambiguous: int
    busy: int
    violations: int
    broken: list[str]

    @property
    def bound(self) -> float | None:
        """None when there was a violation or nothing was tried."""
        return 3 / self.attempts if self.attempts and not self.violations else None


def race(context: Context, *, processes: int = 8, seconds: float = 5, seed: int | None = None) -> RaceReport:
    """Books, visits, holds, moves and cancels in `processes` processes for `seconds`, then counts every invariant.

    Raises InvalidInput for more than 64 processes or an hour, NotAllowed when this role may create no database.
    """
    if not 1 <= processes <= _MOST_PROCESSES or not 0 < seconds <= 3600:
        raise InvalidInput("A race has 1 to 64 processes and lasts up to 3600 seconds.", code="race-size")
    chosen = secrets.randbits(32) if seed is None else seed
    with scratch.prepared(context.connection(), context.dsn) as dsn, engine.connect(dsn) as connection:
        scratch.take_over(connection)
        _fill(connection)
        tallies = _run(dsn, processes, seconds, chosen)
        broken = _broken(connection, tallies)
    return RaceReport(
        processes,
        seconds,
        chosen,
        attempts=sum(tally.attempts for tally in tallies),
        wins=sum(tally.wins for tally in tallies),
        ambiguous=sum(tally.ambiguous for tally in tallies),
        busy=sum(tally.busy for tally in tallies),
        violations=sum(count for _, count in broken),
        broken=[rule for rule, _ in broken],
    )


def _fill(connection: engine.Connection) -> None:
    kernel.save(connection, "sites", [{"code": "race", "zone": "UTC"}])
    kernel.save(connection, "tests", [{"code": "test", "duration_minutes": 30}])
    rows = [{"site": "race", "code": f"r{capacity}", "tests": ["test"]} for capacity in _CAPACITIES]
    kernel.save(connection, "resources", rows)
    kernel.save(connection, "patients", [{"mrn": f"P{n}", "name": f"Patient {n}"} for n in range(_PATIENTS)])
    first = clock.now().replace(minute=0, second=0, microsecond=0) + timedelta(days=1)
    numbers = scratch.resource_ids(connection)
    slots = [
        {
            "resource_id": numbers[f"r{capacity}"],
            "starts_at": (first + timedelta(minutes=30 * n)).isoformat(),
            "ends_at": (first + timedelta(minutes=30 * (n + 1))).isoformat(),
            "local_start": (first + timedelta(minutes=30 * n)).replace(tzinfo=None).isoformat(),
            "capacity": capacity,
        }
        for capacity in _CAPACITIES
        for n in range(_SLOTS_EACH)
    ]
    kernel.publish(connection, slots)


def _run(dsn: str, processes: int, seconds: float, seed: int) -> list[Tally]:
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(processes)
    with ProcessPoolExecutor(processes, spawn, initializer=_remember, initargs=(together,)) as pool:
        running = [pool.submit(_work, dsn, seconds, f"{seed} {n}") for n in range(processes)]
        return [one.result() for one in running]


_together: Barrier | None = None


def _remember(together: Barrier) -> None:
    global _together
    _together = together


def _work(dsn: str, seconds: float, seed: str) -> Tally:
    """One process of the race."""
    chance = random.Random(seed)
    tally = Tally()
    with Context(Settings(database_url=dsn)) as context:
        scratch.take_over(context.connection())
        slots = scratch.slot_ids(context.connection())
        assert _together is not None
        _together.wait(60)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            _counted(tally, lambda: _act(context, chance, slots, tally))
    return tally


def _counted(tally: Tally, act: Callable[[], None]) -> None:
    tally.attempts += 1
    try:
        act()
    except OutcomeUnknown:
        tally.ambiguous += 1
    except Unavailable:
        tally.busy += 1
    except Refused as stopped:
        if "constraint" not in stopped.details:
            raise
        tally.guarded += 1


def _act(context: Context, chance: random.Random, slots: Sequence[int], tally: Tally) -> None:
    what = chance.random()
    if what < 0.45:
        _keep(tally, appointments.book_many(context, [_request(chance, slots)]))
    elif what < 0.6:
        parts = [_request(chance, slots) for _ in range(chance.randint(2, 5))]
        _keep(tally, appointments.visit(context, parts, new_key()).verdicts)
    elif what < 0.7:
        held = appointments.hold(context, _request(chance, slots)).verdicts
        _keep(tally, held)
        for verdict in held:
            if verdict.won and verdict.reference:
                appointments.confirm(context, verdict.reference)
    elif what < 0.8 and tally.standing:
        moved = BookingRequest(place=Place(chance.choice(slots)), moves=chance.choice(tally.standing))
        tally.wins += appointments.book_many(context, [moved])[0].won
    while tally.standing and chance.random() < 0.55:
        reference = tally.standing.pop(chance.randrange(len(tally.standing)))
        appointments.cancel(context, reference)


def _request(chance: random.Random, slots: Sequence[int]) -> BookingRequest:
    return BookingRequest(f"P{chance.randrange(_PATIENTS)}", "test", Place(chance.choice(slots)))


def _keep(tally: Tally, verdicts: Sequence[Any]) -> None:
    won = [verdict.reference for verdict in verdicts if verdict.won and verdict.reference]
    tally.wins += len(won)
    tally.standing += won


def _broken(connection: engine.Connection, tallies: Sequence[Tally]) -> list[tuple[str, int]]:
    """(rule, violations) of what does not hold."""
    promised = {reference for tally in tallies for reference in tally.standing}
    there = scratch.standing(connection)
    unknown = sum(tally.ambiguous + tally.busy for tally in tallies)
    found = [
        *kernel.verify(connection),
        ("no constraint had to stop what the lock let through", sum(tally.guarded for tally in tallies)),
        ("every promised appointment stands", len(promised - there)),
        ("nothing stands that was not promised", max(0, len(there - promised) - 5 * unknown)),
    ]
    return [(rule, count) for rule, count in found if count]
