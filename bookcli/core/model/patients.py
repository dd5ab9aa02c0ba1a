"""A patient as a desk sees one, and what may stand in the fields; no message here repeats a value."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from datetime import date, datetime

from ..errors import InvalidInput
from .periods import parse_day

SEXES = {
    "f": "female",
    "m": "male",
    "d": "other",
    "o": "other",
    "x": "other",
    "u": "unknown",
    "": "unknown",
    **{word: word for word in ("female", "male", "other", "unknown")},
}
"""What is typed → FHIR Patient.gender."""

FIELDS = ("mrn", "name", "birth_date", "sex", "phone", "email", "language", "note")
EARLIEST_BIRTH = date(1850, 1, 1)
_MRN = re.compile(r"[A-Za-z0-9][A-Za-z0-9./-]{0,39}", re.ASCII)
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}", re.ASCII)
_WITH_YEAR = re.compile(
    r"\b(?:\d{4}[-/.]\d\d[-/.]\d\d|\d{1,2}([./-])\d{1,2}\1\d{4}|\d{1,2}(?:st|nd|rd|th)?\.? [a-z]{3,9}\.?,? \d{4}"
    r"|[a-z]{3,9}\.? \d{1,2}(?:st|nd|rd|th)?,? \d{4}|(?:18|19|20)\d{6})\b",
    re.IGNORECASE | re.ASCII,
)
_TWO_READINGS = re.compile(r"(\d{1,2})[/-](\d{1,2})[/-](\d{4})")
_PHONE = re.compile(r"\+?[0-9 ()/.-]*", re.ASCII)
_FEWEST_DIGITS = 4


@dataclass(frozen=True, slots=True)
class Patient:
    """One record. `merged_into` is the number of the record that took its place, if one did.

    `appointments_ahead` counts what is booked or held from now on; the first of them starts at `next_start`
    (aware), in the zone `next_zone`. `missed` counts those of the last year to which nobody came.
    """

    mrn: str
    name: str
    birth_date: date | None
    sex: str
    phone: str
    email: str
    language: str
    note: str
    merged_into: str | None = None
    appointments_ahead: int = 0
    next_start: datetime | None = None
    next_zone: str | None = None
    next_reference: str | None = None
    next_test: str | None = None
    next_site: str | None = None
    missed: int = 0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a desk should know before it books, a sentence each."""
        said = {
            f"The record was merged into {self.merged_into}.": self.merged_into is not None,
            f"Did not come {'once' if self.missed == 1 else f'{self.missed} times'} in the last year.": self.missed > 0,
            "Gets no messages: no e-mail address.": not self.email,
            "Cannot be called: no phone number.": not self.phone,
            "The birth date is not known.": self.birth_date is None,
        }
        return tuple(sentence for sentence, holds in said.items() if holds)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a line typed into a search means: a number, or the end of a phone number, or all words and a birth date."""

    mrn: str
    digits: str
    words: tuple[str, ...]
    birth_dates: tuple[date, ...]


def is_mrn(text: str) -> bool:
    """Whether a patient can have this number."""
    return _MRN.fullmatch(text) is not None


def checked_mrn(text: str) -> str:
    """A medical record number as any that is there can be. Raises InvalidInput `mrn-invalid`."""
    mrn = text.strip()
    if not _MRN.fullmatch(mrn):
        raise refused("mrn", "number", "up to 40 letters, digits, dots, slashes and hyphens")
    return mrn


def checked_new_mrn(text: str, pattern: re.Pattern[str] | None) -> str:
    """A number nobody has yet, in the format that the clinic has set. Raises InvalidInput `mrn-invalid`."""
    mrn = checked_mrn(text)
    if pattern is not None and not pattern.fullmatch(mrn):
        raise refused("mrn", "number", f"new numbers look like {pattern.pattern} here")
    return mrn


def may_be_mrn(text: str) -> bool:
    """Whether there can be a record with exactly this number."""
    return _MRN.fullmatch(text) is not None


def checked_birth_date(text: str, today: date) -> date | None:
    """A birth date with its year, as people type it; None when empty. Raises InvalidInput `birth-date-invalid`."""
    words = " ".join(text.lower().split())
    if not words:
        return None
    try:
        day = parse_day(words, today) if _WITH_YEAR.fullmatch(words) else None
    except InvalidInput:
        day = None
    if day is None:
        raise refused("birth_date", "birth date", "write it like 1980-12-01 or 1 dec 1980")
    if not EARLIEST_BIRTH <= day <= today:
        raise refused("birth_date", "birth date", "it lies between 1850 and today")
    return day


def checked_sex(text: str) -> str:
    """FHIR gender for what was typed. Raises InvalidInput `sex-invalid`."""
    try:
        return SEXES[text.strip().lower()]
    except KeyError:
        raise refused("sex", "sex", "one of female, male, other, unknown") from None


def checked_language(text: str) -> str:
    """A BCP 47 language such as `de` or `pt-BR`, or nothing. Raises InvalidInput `language-invalid`."""
    language = text.strip().replace("_", "-")
    if language and (len(language) > 35 or not _LANGUAGE.fullmatch(language)):
        raise refused("language", "language", "a code such as de, en or pt-BR")
    return language


def refused(field: str, label: str, hint: str) -> InvalidInput:
    """The error for a field that cannot be used; its code is `<field>-invalid`."""
    return InvalidInput(
        f"The {label} is not valid.",
        hint=hint,
        code=field.replace("_", "-") + "-invalid",
        details={"field": field},
    )


def understood(line: str) -> Wanted:
    """What a search line means; a date that can be read in two ways means both."""
    text = " ".join(unicodedata.normalize("NFC", line).split())[:200]
    digits = "".join(char for char in text if "0" <= char <= "9")
    found = _WITH_YEAR.search(text)
    birth_dates = _readings(found[0]) if found else ()
    rest = text.replace(found[0], " ") if found and birth_dates else text
    return Wanted(
        mrn=line.strip() if may_be_mrn(line.strip()) else "",
        digits=digits.lstrip("0") if _PHONE.fullmatch(text) and len(digits) >= _FEWEST_DIGITS else "",
        words=tuple(dict.fromkeys(word.strip(",;") for word in rest.split()[:8] if word.strip(",;"))),
        birth_dates=birth_dates,
    )


def _readings(words: str) -> tuple[date, ...]:
    both = _TWO_READINGS.fullmatch(words)
    if not both:
        try:
            return (parse_day(words, EARLIEST_BIRTH),)
        except InvalidInput:
            return ()
    one, other, year = (int(part) for part in both.groups())
    days = []
    for month, day in {(other, one), (one, other)}:
        try:
            days.append(date(year, month, day))
        except ValueError:
            continue
    return tuple(sorted(days))
