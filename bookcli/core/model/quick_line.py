"""The quick line, `khan, mri+blood, tue am`: what each word of it means, while it is being typed.

What must stay true: every word is told what it was taken for, in any order, and nothing that is typed is an error: what
means nothing is shown as such. Nothing in here looks anything up; the tests and sites of the clinic are given.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, time
from typing import TypeVar

from ..errors import InvalidInput
from .patients import is_mrn, understood
from .periods import END_OF_DAY as END_OF_DAY
from .periods import NoSuchDay, parse_day, parse_part_of_day, parse_period, parse_time
from .references import appointment_id_of
from .text import fold, nearest

KINDS = ("name", "number", "birth-date", "reference", "test", "site", "days", "part", "time", "no-day", "unknown")
LONGEST = 300
"""Characters that are looked at; what is behind them is one word that means nothing."""

_TOKEN = re.compile(r'"[^"]*"?|\+(?![\d ])|[^\s,;+"]+(?:\+\d[^\s,;+"]*)?|\+\d[^\s,;+"]*|\+')
_APART = re.compile(r'"[^"]*"?|([,;])')
_SAYS_TIME = re.compile(r"\d{1,2}[:.]\d\d|\d{1,2}(?:[:.]\d\d)? ?[ap]m|noon", re.IGNORECASE | re.ASCII)
_HOUR = re.compile(r"\d{1,2}|\d{4}", re.ASCII)
_REFERENCE = re.compile(r"\w{4}-\w{4}", re.ASCII)
_MOST_TOGETHER = 4
_FEWEST_OF_A_PHONE = 6
Found = TypeVar("Found")


@dataclass(frozen=True)
class Known:
    """What the clinic calls its tests and sites: each folded word or name, and the code that is meant by it."""

    tests: Mapping[str, str]
    sites: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, tests: Iterable[tuple[str, str]], sites: Iterable[tuple[str, str]] = ()) -> Known:
        """From (code, name) of each; a code goes before the name of another."""
        return cls(_words(tests), _words(sites))


def _words(things: Iterable[tuple[str, str]]) -> dict[str, str]:
    listed = list(things)
    return {**{fold(name): code for code, name in listed}, **{fold(code): code for code, _ in listed}}


@dataclass(frozen=True, slots=True)
class Word:
    """A word or a few that mean one thing: `line[start:end]`, its kind, and what it was understood as, to be shown."""

    start: int
    end: int
    text: str
    kind: str
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """What a line means. `patient` is what to search patients for; all of it may be missing.

    `days` are first and last, both included, `hours` [from, until), both local to the site.
    """

    words: tuple[Word, ...] = ()
    patient: str = ""
    tests: tuple[str, ...] = ()
    days: tuple[date, date] | None = None
    hours: tuple[time, time] | None = None
    at: time | None = None
    site: str = ""
    reference: str = ""

    @property
    def unknown(self) -> tuple[Word, ...]:
        """The words that mean nothing."""
        return tuple(word for word in self.words if word.kind in ("unknown", "no-day"))

    @property
    def no_day(self) -> str:
        """What was typed as a day and is none, such as 31 feb; empty when every day is one."""
        return next((word.text for word in self.words if word.kind == "no-day"), "")

    @property
    def unclear(self) -> str:
        """What was typed as a day or a test and is none: to leave it out would book something else."""
        meant = (word.text for word in self.unknown if any(char.isalnum() for char in word.text))
        return self.no_day or next(meant, "")


def understand(line: str, known: Known, today: date) -> Line:
    """What the line means; whatever it is, there is an answer. A word in double quotes is a name.

    Of several days the last counts and those before it are names (`sun, mri, tue`): there is a patient called so.
    """
    reader = _Reader(known, today)
    words: list[Word] = []
    for begin, end in _parts(line[:LONGEST]):
        words += reader.part(line, begin, end)
    if line[LONGEST:].strip():
        words.append(Word(LONGEST, len(line), line[LONGEST:], "unknown", "too long"))
    return _meant(_with_one(words), today)


def _parts(line: str) -> Iterable[tuple[int, int]]:
    begin = 0
    for found in _APART.finditer(line):
        if found[1]:
            yield begin, found.start()
            begin = found.end()
    yield begin, len(line)


@dataclass(frozen=True)
class _Reader:
    """Reads one part of the line after the other."""

    known: Known
    today: date

    def part(self, line: str, begin: int, end: int) -> list[Word]:
        """The words between two commas: the most that mean something together first."""
        spans = [found.span() for found in _TOKEN.finditer(line, begin, end)]
        words: list[Word] = []
        while spans:
            after_day = bool(words) and words[-1].kind == "days"
            for many in range(min(_MOST_TOGETHER, len(spans)), 0, -1):
                start, stop = spans[0][0], spans[many - 1][1]
                found = self._read(line[start:stop], after_day=after_day)
                if found is not None or many == 1:
                    kind, meaning = found or self._rest(line[start:stop], line[:start], line[stop:])
                    words.append(Word(start, stop, line[start:stop], kind, meaning))
                    del spans[:many]
                    break
        return words

    def _read(self, text: str, *, after_day: bool) -> tuple[str, str] | None:
        if text.startswith('"'):
            return _quoted(text)
        for read in (self._birth_date, self._code, self._days, self._part, _phone, self._no_day):
            if (found := read(text)) is not None:
                return found
        says_time = _SAYS_TIME.fullmatch(text) or (after_day and _HOUR.fullmatch(text))
        at = _tried(parse_time, text) if says_time else None
        return None if at is None else ("time", f"{at:%H:%M}")

    def _birth_date(self, text: str) -> tuple[str, str] | None:
        wanted = understood(text)
        if wanted.words or not wanted.birth_dates or wanted.birth_dates[0] >= self.today:
            return None
        return "birth-date", " or ".join(day.isoformat() for day in wanted.birth_dates)

    def _code(self, text: str) -> tuple[str, str] | None:
        word = " ".join(fold(text).split())
        if word in self.known.tests:
            return "test", self.known.tests[word]
        return ("site", self.known.sites[word]) if word in self.known.sites else None

    def _days(self, text: str) -> tuple[str, str] | None:
        days = _tried(lambda words: parse_period(words, self.today), text)
        return None if days is None else ("days", "..".join(day.isoformat() for day in dict.fromkeys(days)))

    def _no_day(self, text: str) -> tuple[str, str] | None:
        if text.isdigit():  # 20260230 is a number, and may be somebody's
            return None
        try:
            (parse_period if ".." in text else parse_day)(text, self.today)
        except NoSuchDay:
            return "no-day", text
        except InvalidInput:
            pass
        return None

    def _part(self, text: str) -> tuple[str, str] | None:
        hours = _tried(parse_part_of_day, text)
        return None if hours is None else ("part", "–".join(f"{one:%H:%M}" for one in hours).replace("23:59", "24:00"))

    def _rest(self, text: str, before: str, after: str) -> tuple[str, str]:
        """A word that is nothing else: part of a name or a number, unless it was joined to a test."""
        if text == "+":
            return "test", ""
        if before.rstrip().endswith("+") or after.lstrip().startswith("+"):
            near = nearest(text, list(self.known.tests), 1)
            return "unknown", f"no such test; {near[0]}?" if near else "no such test"
        if _REFERENCE.fullmatch(text) and _tried(appointment_id_of, text) is not None:
            return "reference", text.upper()
        if any(char.isdigit() for char in text):
            return ("number", text) if is_mrn(text) or understood(text).digits else ("unknown", "")
        return ("name", text) if any(char.isalpha() for char in text) else ("unknown", "")


def _quoted(text: str) -> tuple[str, str] | None:
    if text.find('"', 1) not in (-1, len(text) - 1):
        return None
    name = text.strip('"').strip()
    return ("name", name) if name else ("unknown", "")


def _phone(text: str) -> tuple[str, str] | None:
    digits = understood(text).digits if text[:1] in ("+", "0") else ""
    return ("number", text) if len(digits) >= _FEWEST_OF_A_PHONE else None


def _tried(read: Callable[[str], Found], text: str) -> Found | None:
    try:
        return read(text)
    except InvalidInput:
        return None


def _with_one(words: Sequence[Word]) -> list[Word]:
    """The words with no more than one that says when: of several the last one counts."""
    last = max((n for n, word in enumerate(words) if word.kind == "days"), default=-1)
    return [
        replace(word, kind="name" if word.text.isalpha() else "unknown", meaning=word.text)
        if word.kind == "days" and n != last
        else word
        for n, word in enumerate(words)
    ]


def _meant(words: Sequence[Word], today: date) -> Line:
    last = {word.kind: word for word in words}
    patient = [word.meaning if word.kind == "name" else word.text for word in words if word.kind in _PATIENT]
    return Line(
        tuple(words),
        # A number finds one person, and nobody's name has it.
        last["number"].text if "number" in last else " ".join(patient),
        tuple(dict.fromkeys(word.meaning for word in words if word.kind == "test" and word.meaning)),
        parse_period(last["days"].text, today) if "days" in last else None,
        parse_part_of_day(last["part"].text) if "part" in last else None,
        parse_time(last["time"].text) if "time" in last else None,
        last["site"].meaning if "site" in last else "",
        last["reference"].meaning if "reference" in last else "",
    )


_PATIENT = frozenset({"name", "number", "birth-date"})
