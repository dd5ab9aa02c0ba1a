"""What the cache holds, taken apart: entries with their age, plans of searches, leases.

What must stay true: nothing here asks Redis, and the same bytes are never taken apart twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property
from typing import NamedTuple

from ..model.availability import Catalog, Day, Reading, together


class Entry(NamedTuple):
    """A day as it is kept. `age` in milliseconds since it was read; `outdated`: something has changed since."""

    reading: Reading
    age: int
    outdated: bool

    @property
    def now(self) -> datetime:
        """What the database's clock says by now."""
        return self.reading.as_of + timedelta(milliseconds=self.age)


class Decoded(NamedTuple):
    """A value that was read once, so that the same one is not taken apart again."""

    value: bytes
    at: int
    outdated: bool
    reading: Reading


@dataclass
class Plan:
    """Where the answer to a search lies, and what was found there the last time: the same bytes are the same answer."""

    catalog: Catalog
    days: list[Day]
    keys: list[str]
    values: list[bytes | None] | None = None
    known: list[Decoded | None] = field(default_factory=list)
    oldest: int | None = None

    @cached_property
    def whole(self) -> Reading:
        """All days as one reading; only when each of them is known."""
        return together([one.reading for one in self.known if one is not None])

    def now(self, moment: int) -> datetime:
        """What the database's clock says by now."""
        first = next(one for one in self.known if one is not None)
        return first.reading.as_of + timedelta(milliseconds=moment - first.at)


class KnownCatalog(NamedTuple):
    """The catalog as it is kept, likewise."""

    catalog: Catalog
    age: int
    outdated: bool


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write what is read from now on, for the keys that nobody else is reading.

    `refused`: nobody can write, so there may be nobody else.
    """

    token: str
    keys: frozenset[str]
    refused: bool = False


def aged(known: Decoded | None, moment: int) -> Entry | None:
    """A value as it is at a moment of Redis's clock."""
    return None if known is None else Entry(known.reading, max(moment - known.at, 0), known.outdated)
