"""Reports as pictures need them: a grid of how full, who did not come with the worst first, how long people wait.

What must stay true: every figure is a sum of rows of `services.reports`; a percentage is 0 only of none and 100 only
of all, and a share of few is told apart from a share of many.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

FEW = 10
"""Of fewer than so many a share says little."""
USUAL_DAYS = 28
Row = Mapping[str, Any]


def percent(part: int, whole: int) -> int:
    """How many of a hundred, 0 only for none of them and 100 only for all."""
    if part <= 0 or whole <= 0:
        return 0
    return 100 if part >= whole else min(max(round(100 * part / whole), 1), 99)


def level(part: int, whole: int, levels: int) -> int:
    """Which of so many levels, the first only for none and the last only for all."""
    if part <= 0 or whole <= 0:
        return 0
    return levels - 1 if part >= whole else 1 + (levels - 2) * part // whole


def lengths(counts: Sequence[int], room: int) -> list[int]:
    """How long each piece of a bar of `room` cells is, in all `room` of them: what is there at all has one at least.

    Nothing is drawn of counts that are all 0. `room` is not less than there are counts.
    """
    whole = sum(counts)
    if not whole:
        return [0] * len(counts)
    drawn = [max(room * count // whole, 1) if count else 0 for count in counts]
    while sum(drawn) != room:
        step = 1 if sum(drawn) < room else -1
        fair = [step * (room * count / whole - length) for count, length in zip(counts, drawn, strict=True)]
        may = [n for n, length in enumerate(drawn) if counts[n] and (step > 0 or length > 1)]
        drawn[max(may, key=lambda n: fair[n])] += step
    return drawn


# How full


@dataclass(frozen=True, slots=True)
class Taken:
    """Of so many slots together how many places were taken, and how many there were."""

    slots: int = 0
    booked: int = 0
    capacity: int = 0

    def __add__(self, other: Taken) -> Taken:
        return Taken(self.slots + other.slots, self.booked + other.booked, self.capacity + other.capacity)


@dataclass(frozen=True)
class Grid:
    """How full each resource was at each hour of the day; `resources` are pairs of site and code.

    `hours` are all from the first with a slot to the last. `taken` has the cells by (resource, hour), and the sums
    of a resource, of an hour and of all by None in the place of the other; what had no slot is not in it.
    """

    resources: tuple[tuple[str, str], ...]
    hours: tuple[int, ...]
    taken: Mapping[tuple[tuple[str, str] | None, int | None], Taken]


def grid(rows: Iterable[Row]) -> Grid:
    """The grid of the rows of `utilisation`."""
    taken: dict[tuple[tuple[str, str] | None, int | None], Taken] = defaultdict(Taken)
    for row in rows:
        resource, hour = (row["site"], row["resource"]), row["hour"]
        for key in ((resource, hour), (resource, None), (None, hour), (None, None)):
            taken[key] += Taken(row["slots"], row["booked"], row["capacity"])
    hours = [hour for _, hour in taken if hour is not None]
    between = range(min(hours), max(hours) + 1) if hours else ()
    return Grid(tuple(sorted({resource for resource, _ in taken if resource is not None})), tuple(between), dict(taken))


# Who did not come


@dataclass(frozen=True, slots=True)
class Missed:
    """How many of the appointments of a test on a weekday, 1 for Monday, were missed; of all there are without both."""

    appointments: int
    missed: int
    site: str = ""
    test: str = ""
    weekday: int = 0

    @property
    def few(self) -> bool:
        """Whether there were so few that the share says little."""
        return self.appointments < FEW


def worst_first(rows: Iterable[Row]) -> tuple[Missed, ...]:
    """The rows of `noshow` by share, the highest first; those of few appointments come after the others."""
    found = [Missed(row["appointments"], row["missed"], row["site"], row["test"], row["weekday"]) for row in rows]

    def order(one: Missed) -> tuple[Any, ...]:
        return one.few, -one.missed / one.appointments, -one.appointments, one.site, one.test, one.weekday

    return tuple(sorted(found, key=order))


def all_missed(rows: Iterable[Missed]) -> Missed:
    """The sum of them."""
    every = list(rows)
    return Missed(sum(one.appointments for one in every), sum(one.missed for one in every))


# How long people wait


@dataclass(frozen=True, slots=True)
class Wait:
    """How many days before they were to come the appointments of a test were booked.

    `counts`: on the day itself, within a week, within a month, earlier.
    """

    site: str
    test: str
    appointments: int
    median: float
    ninetieth: float
    counts: tuple[int, int, int, int]


def longest_first(rows: Iterable[Row]) -> tuple[Wait, ...]:
    """The rows of `lead_time`, the highest median first."""
    found = [
        Wait(
            row["site"],
            row["test"],
            row["appointments"],
            row["days_median"],
            row["days_ninetieth"],
            (row["same_day"], row["within_week"], row["within_month"], row["later"]),
        )
        for row in rows
    ]
    return tuple(sorted(found, key=lambda one: (-one.median, -one.ninetieth, one.site, one.test)))


# The period


def recent(today: date) -> tuple[date, date]:
    """The four weeks that end today."""
    return today - timedelta(days=USUAL_DAYS - 1), today


def stepped(days: tuple[date, date], by: int) -> tuple[date, date]:
    """The period of the same length before (-1) or after (1) one; of a calendar month the neighbouring month.

    At the ends of the calendar the same period.
    """
    first, last = days
    try:
        if first.day == 1 and last == _end_of_month(first):
            begins = first - timedelta(days=1) if by < 0 else last + timedelta(days=1)
            return begins.replace(day=1), _end_of_month(begins)
        length = (last - first + timedelta(days=1)) * by
        return first + length, last + length
    except (OverflowError, ValueError):
        return days


def _end_of_month(day: date) -> date:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
