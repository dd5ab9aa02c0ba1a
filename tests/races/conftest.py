"""What every race may use: a crowd of processes, a seed, and a line in the report."""

from __future__ import annotations

import os
import random
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.processes import Crowd

SEED = int(os.environ.get("RACE_SEED", secrets.randbits(32)))
"""RACE_SEED=<number> in the environment repeats what a race's processes wanted, though not who came first."""

Publish = Callable[..., None]


@pytest.fixture(scope="session")
def crowd() -> Iterator[Crowd]:
    """Real processes that start at the same moment."""
    people = Crowd()
    try:
        yield people
    finally:
        people.close()


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    """The race's own random numbers."""
    return random.Random(f"{SEED} {request.node.name}")


@pytest.fixture
def publish(record_property: Callable[[str, object], None]) -> Publish:
    """publish(attempts=…, violations=…, …) puts the figures of a race, the 3/N bound and the seed in the report."""

    def say(*, attempts: int, violations: int, **more: Any) -> None:
        bound = f"{3 / attempts:.2g}" if not violations else "-"
        # An answer that stayed unknown would have been raised, and failed the race.
        figures = {"attempts": attempts, "violations": violations, "3/N": bound, "ambiguous": 0, **more, "seed": SEED}
        record_property("race", " ".join(f"{name}={figure}" for name, figure in figures.items()))

    return say
