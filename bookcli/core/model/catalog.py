"""Sites, tests and resources: what can be booked where, and the limits of its numbers (those of schema.sql)."""

from __future__ import annotations

import re
from dataclasses import dataclass

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

_CODE = re.compile(r"[a-z0-9]([a-z0-9.-]{0,38}[a-z0-9])?", re.ASCII)
_TRUE = frozenset({"yes", "y", "true", "t", "1", "on"})
_FALSE = frozenset({"no", "n", "false", "f", "0", "off"})


@dataclass(frozen=True, slots=True)
class Site:
    """FHIR Location: a clinic; `zone` is its IANA time zone."""

    code: str
    name: str
    zone: str
    phone: str
    active: bool


@dataclass(frozen=True, slots=True)
class Test:
    """FHIR ServiceType: what can be booked, with its rules; see the table `test` in schema.sql."""

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
