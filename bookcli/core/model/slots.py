"""A slot as it is offered: a start, a resource and how many places are left; never a promise."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


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
