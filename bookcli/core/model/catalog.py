"""Sites, tests and resources: what can be booked where, and the limits of its numbers (those of schema.sql)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import time, timedelta

from ..errors import InvalidInput
from .text import slug

TEST_NUMBERS = {
    "duration_minutes": (1, 1440),
    "buffer_before_minutes": (0, 240),
    "buffer_after_minutes": (0, 240),
    "lead_minutes": (0, 525600),
    "window_days": (1, 3650),
    "min_interval_days": (0, 3650),
}
"""The smallest and the largest value of each number of a test."""

OFFER_MINUTES = (5, 10080)
SHORTEST_SPAN, LONGEST_SPAN, MOST_SPANS = timedelta(minutes=5), timedelta(days=60), 5
"""Of the times at which a patient is reminded."""
_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}
_SPAN = re.compile(r"(\d{1,4})([mhd])", re.ASCII)
_QUIET = re.compile(r"([01]\d|2[0-3]):([0-5]\d) ?- ?([01]\d|2[0-3]):([0-5]\d)", re.ASCII)
_CODE = re.compile(r"[a-z0-9]([a-z0-9.-]{0,38}[a-z0-9])?", re.ASCII)
_TRUE = frozenset({"yes", "y", "true", "t", "1", "on"})
_AS_WORDS_SAY = "words"
_FALSE = frozenset({"no", "n", "false", "f", "0", "off"})


@dataclass(frozen=True, slots=True)
class Site:
    """FHIR Location: a clinic; `zone` is its IANA time zone, `quiet` its quiet hours such as 21:00-07:00, or none."""

    code: str
    name: str
    zone: str
    phone: str
    active: bool
    quiet: str
    names_test: bool
    offer_minutes: int


@dataclass(frozen=True, slots=True)
class Test:
    """FHIR ServiceType: what can be booked, with its rules; see the table `test` in schema.sql.

    `remind_before` is how long before it the patient is reminded, such as 24h,2h, or none. `fasting` is yes, no, or
    words: as those of the preparation say.
    """

    code: str
    name: str
    duration_minutes: int
    buffer_before_minutes: int
    buffer_after_minutes: int
    lead_minutes: int
    window_days: int
    min_interval_days: int
    preparation: str
    active: bool
    remind_before: str
    fasting: str

    __test__ = False  # pytest takes a class called Test for one of its own


@dataclass(frozen=True, slots=True)
class Resource:
    """A machine, room or person of a site, and the codes of the tests it performs."""

    site: str
    code: str
    name: str
    tests: tuple[str, ...]
    active: bool


def is_code(text: str) -> bool:
    """Whether a site, test or resource can have this code."""
    return _CODE.fullmatch(text) is not None


def code_of(code: str, name: str) -> str:
    """The code as typed, else one made from the name. Raises InvalidInput `code-invalid`."""
    chosen = code.strip().lower() or slug(name)
    if not _CODE.fullmatch(chosen):
        raise InvalidInput(
            "A code is needed." if not chosen else "That is not a code.",
            hint="up to 40 lower-case letters, digits, dots and hyphens, such as mri-1",
            code="code-invalid",
            details={"field": "code"},
        )
    return chosen


def checked_number(field: str, text: str, bounds: tuple[int, int]) -> int:
    """A whole number within bounds. Raises InvalidInput `number-invalid`."""
    words = text.strip()
    lowest, highest = bounds
    if words.isascii() and words.isdigit() and len(words) <= 9 and lowest <= int(words) <= highest:
        return int(words)
    raise InvalidInput(
        f"The field {field} must be a whole number between {lowest} and {highest}.",
        code="number-invalid",
        details={"field": field},
    )


def checked_flag(field: str, text: str) -> bool:
    """Yes or no, as people and files write it. Raises InvalidInput `flag-invalid`."""
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise InvalidInput(f"The field {field} must be yes or no.", code="flag-invalid", details={"field": field})
    return word in _TRUE


def fasting(text: str) -> bool | None:
    """Whether nothing is eaten before a test; None for `words`. Raises InvalidInput `flag-invalid`."""
    return None if text.strip().lower() == _AS_WORDS_SAY else checked_flag("fasting", text)


def shown_fasting(flag: bool | None) -> str:
    """The reverse of `fasting`."""
    return _AS_WORDS_SAY if flag is None else "yes" if flag else "no"


def span(text: str) -> timedelta:
    """A length of time such as 30m, 24h or 2d. Raises InvalidInput `within-invalid`."""
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise InvalidInput("That is no length of time.", hint="For example 30m, 24h or 2d.", code="within-invalid")
    length = int(found[1]) * _UNITS[found[2]]
    if not SHORTEST_SPAN <= length <= LONGEST_SPAN:
        raise InvalidInput("A reminder is sent between 5 minutes and 60 days ahead.", code="within-invalid")
    return length


def spans(text: str) -> list[timedelta]:
    """Lengths of time with commas between them, the longest first; `none` is none. Raises InvalidInput."""
    if text.strip().lower() in ("none", "-"):
        return []
    found = sorted({span(word) for word in text.split(",")}, reverse=True)
    if len(found) > MOST_SPANS:
        raise InvalidInput(f"There are at most {MOST_SPANS} reminders for a test.", code="within-invalid")
    return found


def shown_spans(lengths: Iterable[timedelta]) -> str:
    """The reverse of `spans`: each in hours, or in minutes if it must be."""
    return ",".join(_shown_span(one) for one in lengths) or "none"


def _shown_span(length: timedelta) -> str:
    hours, rest = divmod(length, _UNITS["h"])
    return f"{length // _UNITS['m']}m" if rest else f"{hours}h"


def quiet_hours(text: str) -> tuple[str, str] | None:
    """(from, until) of quiet hours such as 21:00-07:00; None for `none`. Raises InvalidInput `quiet-invalid`."""
    if text.strip().lower() in ("none", "-"):
        return None
    found = _QUIET.fullmatch(text.strip())
    begin, end = (f"{found[1]}:{found[2]}", f"{found[3]}:{found[4]}") if found else ("", "")
    if begin == end:
        raise InvalidInput(
            "Those are no quiet hours.", hint="For example 21:00-07:00, or none.", code="quiet-invalid",
            details={"field": "quiet"},
        )  # fmt: skip
    return begin, end


def shown_quiet(begin: time | None, end: time | None) -> str:
    """The reverse of `quiet_hours`."""
    return f"{begin:%H:%M}-{end:%H:%M}" if begin is not None and end is not None else "none"
