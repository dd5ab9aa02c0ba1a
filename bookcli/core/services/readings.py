"""Reads of availability from the database, for whoever asks it and for the cache.

What must stay true: what is kept in the cache is a whole day, read after the moment it is dated with.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

from ..context import Context
from ..db import availability as queries
from ..db import kernel
from ..db.engine import Connection
from ..model.availability import Catalog, Day, Reading, by_day
from ..model.slots import Search, Slot
from . import suggestions

_ALL = 2**31 - 1


def found(context: Context, search: Search) -> list[Slot]:
    """Slots in order of start. Raises NotFound for an unknown test or site, with the nearest names."""
    slots = kernel.find_slots(
        context.connection(),
        sites=search.sites,
        test=search.test,
        days=search.days,
        hours=search.hours,
        bookable=not search.everything,
        most=search.most,
    )
    if not slots:
        suggestions.check_codes(context, test=search.test, sites=search.sites)
    return slots


def days(
    context: Context, wanted: Sequence[Day], zones: Mapping[str, str], patience: float | None = None
) -> dict[Day, Reading]:
    """The slots of days of one test, all of them, bookable or not."""
    test, sites = wanted[0].test, sorted({day.site for day in wanted})
    period = (min(day.day for day in wanted), max(day.day for day in wanted))
    with _patient(context.connection(patience), patience) as connection:
        as_of, alone = queries.moment(connection, test, sites, period)
        slots = kernel.find_slots(connection, sites=sites, test=test, days=period, bookable=False, most=_ALL)
    return {
        day: Reading(as_of, day_slots[0].zone if day_slots else zones[day.site], alone, tuple(day_slots))
        for day, day_slots in by_day(wanted, slots).items()
    }


def catalog(context: Context, patience: float | None = None) -> Catalog:
    """The sites and tests in use."""
    with _patient(context.connection(patience), patience) as connection:
        return queries.catalog(connection)


@contextlib.contextmanager
def _patient(connection: Connection, patience: float | None) -> Iterator[Connection]:
    """The connection with a shorter deadline, where there is one."""
    usual = connection.deadline
    connection.deadline = usual if patience is None else patience
    try:
        yield connection
    finally:
        connection.deadline = usual
