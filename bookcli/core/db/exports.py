"""Everything of one noun in steps of its id: no cursor and no long transaction, which a pool would not keep.

What must stay true: a step costs the same whatever is filtered out, so that none runs into a time-out, and each is
written down as a look at its patients.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

from .engine import Connection
from .kernel import answers

STEP = 5000


@dataclass(frozen=True)
class Filter:
    """Which appointments: of one site (empty: all), on local days from `first` to `last`, both included."""

    site: str = ""
    first: date | None = None
    last: date | None = None


def patients(connection: Connection) -> Iterator[list[dict[str, Any]]]:
    """Every patient but merged records, whose appointments the survivor has."""
    for start in _steps(connection, "patients"):
        yield answers(connection, "export_patients", start, start + STEP)


def appointments(connection: Connection, wanted: Filter) -> Iterator[list[dict[str, Any]]]:
    """What is booked, ended or cancelled; holds are no appointments yet."""
    for start in _steps(connection, "appointments"):
        yield answers(
            connection, "export_appointments", start, start + STEP, wanted.site or None, wanted.first, wanted.last
        )


def _steps(connection: Connection, noun: str) -> range:
    (highest,) = answers(connection, "export_highest")
    return range(0, highest[noun], STEP)
