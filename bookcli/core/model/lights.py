"""How the parts of the system are, as a screen shows it; a part that is away is a state and no error."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from .staff import Person


@dataclass(frozen=True, slots=True)
class Lights:
    """How the parts of the system are. `database`: ok or away. `cache`: ok, off or away. `worker`: ok, late, unknown,
    unseen: a message waits, and none was seen.

    `waiting` counts kept requests, `late` says how long the message is overdue that is most so; `person` is whose
    session it is, live or not, None when it is not known. `ended` are `pending.Item`s whose end nobody was told.
    """

    database: str
    cache: str
    worker: str
    waiting: int = 0
    late: timedelta | None = None
    person: Person | None = None
    ended: tuple[Any, ...] = ()
