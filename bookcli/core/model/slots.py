"""A slot as it is offered: a start, a resource and how many places are left, never a promise; and a search for some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time


@dataclass(frozen=True, slots=True)
class Slot:
    """One start at which a test can begin. `start` and `end` are aware; `zone` is the site's IANA name.

    `remaining` counts places in the fullest slot the test would take; `status` is FHIR Slot.status.
    """

    slot_id: int
    site: str
    zone: str
    test: str
    resource: str
    start: datetime
    end: datetime
    capacity: int
    remaining: int
    status: str
    version: int


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for. `days` are local days of the site, both included; `hours` [from, until) local time.

    `sites` empty means every site. `everything` also shows full, closed and past slots.
    """

    test: str
    days: tuple[date, date]
    sites: Sequence[str] = ()
    hours: tuple[time, time] | None = None
    most: int = 200
    everything: bool = False
