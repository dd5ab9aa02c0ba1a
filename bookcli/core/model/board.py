"""The day of a site as a grid: resources across, time down; how full every slot is, and nothing about a patient.

What must stay true: a slot is in the grid once, at the row in which it starts; what is not known is not there.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Place:
    """A site as a screen needs it: its code, what it is called, its IANA zone."""

    code: str
    name: str
    zone: str


@dataclass(frozen=True, slots=True)
class Hold:
    """A place that is held until an aware moment; `staff` is empty when it is not told."""

    until: datetime
    staff: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """A slot of a resource. `taken` counts the places of bookings and of holds that hold; `status` is FHIR Slot.status.

    `start` and `end` are aware.
    """

    slot_id: int
    resource: str
    start: datetime
    end: datetime
    capacity: int
    taken: int
    version: int
    status: str
    closed_for: str = ""
    holds: tuple[Hold, ...] = ()

    @property
    def closed(self) -> bool:
        """Whether it takes no bookings, full or not."""
        return self.status == "busy-unavailable"

    @property
    def free(self) -> int:
        """How many places are left; none in a closed one."""
        return 0 if self.closed else max(self.capacity - self.taken, 0)


@dataclass(frozen=True, slots=True)
class Column:
    """A resource, the codes of the tests it performs, and its slots of the day by start."""

    code: str
    name: str
    tests: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Board:
    """A local day of a site, as it was at `as_of`. `age`: seconds since; `stale`: from the cache, the database is away.

    A stale board has only what the cache knows: resources by their codes, and no holds.
    """

    place: Place
    day: date
    as_of: datetime
    columns: tuple[Column, ...]
    age: float = 0.0
    stale: bool = False

    @cached_property
    def rows(self) -> tuple[datetime, ...]:
        """The moments at which any slot starts, ascending."""
        return tuple(sorted({cell.start for column in self.columns for cell in column.cells}))

    @cached_property
    def grid(self) -> tuple[tuple[Cell | None, ...], ...]:
        """For each column, for each row, the slot that runs then, whether it starts there or earlier."""
        return tuple(_down(column.cells, self.rows) for column in self.columns)

    def only(self, test: str) -> Board:
        """The board without the resources that do not perform a test; all of them for the empty one."""
        return replace(self, columns=tuple(one for one in self.columns if not test or test in one.tests))

    def next_change(self) -> datetime | None:
        """When the next hold ends by itself."""
        return min(
            (hold.until for column in self.columns for cell in column.cells for hold in cell.holds), default=None
        )


def _down(cells: Sequence[Cell], rows: Sequence[datetime]) -> tuple[Cell | None, ...]:
    starts = [cell.start for cell in cells]
    found: list[Cell | None] = []
    for row in rows:
        n = bisect_right(starts, row) - 1
        found.append(cells[n] if n >= 0 and cells[n].end > row else None)
    return tuple(found)
