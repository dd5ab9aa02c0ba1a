"""Weekly hours, closures and what becomes of them; an hour that ends the day closes at `END_OF_DAY`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from typing import Any

from ..errors import InvalidInput
from .periods import END_OF_DAY, parse_time

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_EVERY_DAY = frozenset({"daily", "all", "every day"})
_FULL_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


@dataclass(frozen=True, slots=True)
class Schedule:
    """FHIR Schedule: hours of one weekday (1 is Monday) in the site's local time; both valid days are included."""

    schedule_id: int
    site: str
    resource: str
    weekday: int
    opens: time
    closes: time
    slot_minutes: int
    capacity: int
    valid_from: date | None
    valid_until: date | None


@dataclass(frozen=True, slots=True)
class Closure:
    """A period [start, end), aware, without bookings; of a whole site when `resource` is None."""

    closure_id: int
    site: str
    resource: str | None
    start: datetime
    end: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Published:
    """How many slots the hours give, and how many of them are new or were there (or lie over others)."""

    published: int
    present: int
    slots: int


@dataclass(frozen=True, slots=True)
class Closed:
    """A new closure, how many slots it closed, and who is booked there: rows of `app.appointment_facts`."""

    closure_id: int
    slots: int
    affected: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Capacity:
    """A slot after its capacity was changed."""

    slot_id: int
    capacity: int
    booked: int
    version: int


@dataclass(frozen=True, slots=True)
class Weekly:
    """The same hours on several weekdays (1 is Monday), as one line of what a resource is open."""

    resource: str
    weekdays: tuple[int, ...]
    schedule_ids: tuple[int, ...]
    hours: Schedule


def weekly(hours: Iterable[Schedule]) -> list[Weekly]:
    """Hours that differ by their weekday alone together, in the order in which they come."""
    lines: dict[Schedule, list[Schedule]] = {}
    for one in hours:
        lines.setdefault(replace(one, schedule_id=0, weekday=0), []).append(one)
    return [
        Weekly(same.resource, tuple(one.weekday for one in days), tuple(one.schedule_id for one in days), days[0])
        for same, days in lines.items()
    ]


def shown_weekdays(weekdays: Iterable[int]) -> str:
    """`mon-fri`, `mon,wed`, `daily`: as they are typed."""
    days = sorted(set(weekdays))
    if len(days) == 7:
        return "daily"
    runs: list[list[int]] = []
    for day in days:
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    spelled = (
        ("-" if len(run) > 2 else ",").join(dict.fromkeys(WEEKDAYS[n - 1] for n in (run[0], run[-1]))) for run in runs
    )
    return ",".join(spelled)


def parse_weekdays(text: str) -> list[int]:
    """`mon-fri`, `mon,wed`, `1-5`, `sat`, `fri-mon`, `daily` → weekdays, 1 is Monday. Raises InvalidInput."""
    words = " ".join(text.lower().split())
    if words in _EVERY_DAY:
        return list(range(1, 8))
    chosen: set[int] = set()
    for part in re.split("[, ]+", re.sub(r" ?[-–] ?", "-", words)):
        first, dash, last = part.partition("-")
        start, end = _weekday(first), _weekday(last if dash else first)
        chosen.update(1 + (start - 1 + n) % 7 for n in range((end - start) % 7 + 1))
    return sorted(chosen)


def parse_closing(text: str) -> time:
    """A time of day, where `24:00` is the end of the day. Raises InvalidInput `time-unclear`."""
    return END_OF_DAY if text.strip() in {"24", "24:00", "2400"} else parse_time(text)


def minutes_of(moment: time) -> int:
    """Minutes since midnight; 1440 for the end of the day."""
    return 1440 if moment == END_OF_DAY else moment.hour * 60 + moment.minute


def time_of(minutes: int) -> time:
    """The time of day so many minutes after midnight; `END_OF_DAY` for 1440."""
    return END_OF_DAY if minutes == 1440 else time(minutes // 60, minutes % 60)


def shown_time(moment: time) -> str:
    """`08:00`, or `24:00` for the end of the day."""
    return "24:00" if moment == END_OF_DAY else f"{moment:%H:%M}"


def check_hours(opens: time, closes: time, slot_minutes: int) -> None:
    """Raises InvalidInput unless at least one slot fits between opening and closing, both whole minutes."""
    if opens.second or (closes.second and closes != END_OF_DAY):
        raise InvalidInput("Hours are whole minutes.", hint="such as 08:00", code="hours-invalid")
    if minutes_of(closes) - minutes_of(opens) < slot_minutes:
        raise InvalidInput(
            "No slot fits between opening and closing.",
            hint="Hours do not pass midnight: 24:00 ends the day.",
            code="hours-invalid",
        )


def required(fields: Mapping[str, str], name: str) -> str:
    """A field that must be there. Raises InvalidInput `field-missing`."""
    text = fields.get(name, "").strip()
    if not text:
        raise InvalidInput(f"The field {name} is needed.", code="field-missing", details={"field": name})
    return text


def _weekday(word: str) -> int:
    if word in {"1", "2", "3", "4", "5", "6", "7"}:
        return int(word)
    if len(word) >= 2:
        for number, name in enumerate(_FULL_NAMES, 1):
            if name.startswith(word):
                return number
    raise InvalidInput("The weekdays are not clear.", hint="use mon-fri, mon,wed or 1-5", code="weekdays-unclear")
