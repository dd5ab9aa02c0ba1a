"""Days, times and periods as people type them at a desk; what can be read in two ways is refused, never guessed.

Nothing here knows a time zone except `Moment.absolute`, which leaves the conversion to the clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone

from .. import clock
from ..errors import InvalidInput

END_OF_DAY = time.max

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_WORDS = {"yesterday": -1, "today": 0, "tomorrow": 1}
_PARTS_OF_DAY = {
    "am": (time(0), time(12)),
    "morning": (time(0), time(12)),
    "pm": (time(12), END_OF_DAY),
    "afternoon": (time(12), time(17)),
    "evening": (time(17), END_OF_DAY),
}
_YEAR = r"(?P<y>(?:19|20|21)\d\d)"
_STEP = re.compile(r"(?P<n>[+-]\d{1,4})(?P<unit>[dw])", re.ASCII)
_YEAR_FIRST = re.compile(_YEAR + r"(?P<sep>[-/.]?)(?P<m>\d\d)(?P=sep)(?P<d>\d\d)", re.ASCII)
_GERMAN = re.compile(r"(?P<d>\d{1,2})\.(?P<m>\d{1,2})\.(?:" + _YEAR + ")?", re.ASCII)
_YEAR_LAST = re.compile(r"(?P<a>\d{1,2})(?P<sep>[/-])(?P<b>\d{1,2})(?P=sep)" + _YEAR, re.ASCII)
_DAY_MONTH = re.compile(r"(?P<d>\d{1,2})(?:st|nd|rd|th)?\.? (?P<m>[a-z]{3,9})\.?,?(?: " + _YEAR + ")?", re.ASCII)
_MONTH_DAY = re.compile(r"(?P<m>[a-z]{3,9})\.? (?P<d>\d{1,2})(?:st|nd|rd|th)?,?(?: " + _YEAR + ")?", re.ASCII)
_YEAR_MONTH = re.compile(_YEAR + r"-(?P<m>\d\d)", re.ASCII)
_TIME = re.compile(r"(?P<h>\d{1,2})(?:[:.](?P<m>\d\d)(?::(?P<s>\d\d))?)? ?(?P<half>am|pm)?", re.ASCII)
_COMPACT_TIME = re.compile(r"(?P<h>\d{1,2})(?P<m>\d\d)", re.ASCII)
_OFFSET = re.compile(r"(?<=[\d])(?: ?(?P<z>z)|(?P<sign>[+-])(?P<h>\d\d):?(?P<m>[0-5]\d))$", re.ASCII)
_RANGE = re.compile(r" ?(?:-|–|\.\.| to ) ?")

_DAY_FORMS = "use today, tomorrow, mon, +3d, 2026-12-01, 1.12.2026, 1.12. or 1 dec"
_TIME_FORMS = "use 9, 9:20, 0920, 9.20, 9am or noon"
_PART_FORMS = "use am, pm, morning, afternoon, evening, 9-12 or 9:00-11:30"
_PERIOD_FORMS = "use a day, 2026-12-01..2026-12-07, mon..fri, +7d, week, next week, month or 2026-12"


class NoSuchDay(InvalidInput):
    """A date such as 31 feb, which no calendar has."""

    code = "date-unclear"


@dataclass(frozen=True)
class Moment:
    """A day, perhaps a time of day, perhaps the offset from UTC that was typed with it."""

    day: date
    time: time | None = None
    offset: timedelta | None = None

    def absolute(self, zone: str) -> datetime:
        """The moment in UTC, in `zone` unless an offset was typed. Raises as `clock.to_absolute` does.

        Without a time InvalidInput `time-unclear` is raised.
        """
        if self.time is None:
            raise _unclear_time()
        local = datetime.combine(self.day, self.time)
        if self.offset is None:
            return clock.to_absolute(local, zone)
        return local.replace(tzinfo=timezone(self.offset)).astimezone(UTC)


def parse_day(text: str, today: date) -> date:
    """A day: `today`, `mon` (the next one, today included), `+3d`, `-1d`, `+2w`, `2026-12-01`, `1.12.2026`, `1 dec`.

    A day without a year (`1.12.`, `1 dec`) is the next such day, today included. Raises InvalidInput `date-unclear`,
    also for `01/12/2026`, which is the first of December to some and the twelfth of January to others, and NoSuchDay.
    """
    return _day(_tidy(text), today, today)


def parse_time(text: str) -> time:
    """A time of day: `9`, `9:20`, `9.20`, `0920`, `9am`, `9:20pm`, `noon`. Raises InvalidInput `time-unclear`."""
    return _time(_tidy(text))


def parse_moment(text: str, today: date, counts_from: date | None = None) -> Moment:
    """A day as in `parse_day`, then perhaps a time and an offset: `mon 14:00`, `2026-12-01T09:20+01:00`.

    Steps and weekdays count from `counts_from`, or from today; `today` and `tomorrow` always mean themselves.
    Raises InvalidInput `date-unclear` or `time-unclear`.
    """
    words = re.sub(r"(?<=\d)t(?=\d)", " ", _tidy(text))
    base = counts_from or today
    try:
        return Moment(_day(words, today, base))
    except InvalidInput:
        if " " not in words:
            raise
    words, offset = _without_offset(words)
    words = re.sub(r" (?=[ap]m$)", "", words)
    day_words, _, time_words = words.rpartition(" ")
    return Moment(_day(day_words, today, base), _time(time_words), offset)


def parse_part_of_day(text: str) -> tuple[time, time]:
    """From and until (exclusive; `time.max` is the end of the day): `am`, `evening`, `9-12`, `9:00-11:30`, `2-4pm`.

    Raises InvalidInput `time-unclear`.
    """
    words = _tidy(text)
    if words in _PARTS_OF_DAY:
        return _PARTS_OF_DAY[words]
    first, *rest = _RANGE.split(words)
    if len(rest) != 1:
        raise _unclear_time(_PART_FORMS)
    until = END_OF_DAY if rest[0] in ("24", "24:00", "2400") else _time(rest[0], _PART_FORMS)
    since = _time(first, _PART_FORMS)
    bare = _TIME.fullmatch(first)
    if rest[0].endswith(("am", "pm")) and bare and not bare["half"] and 1 <= since.hour <= 12:
        same_half = _time(first + rest[0][-2:], _PART_FORMS)
        since = same_half if same_half < until else since
    if since >= until:
        raise _unclear_time(_PART_FORMS)
    return since, until


def parse_period(text: str, today: date) -> tuple[date, date]:
    """The first and last day, both included, of a day, a range `first..last`, `week`, `next week`, `month`, `2026-12`.

    `week` and `month` begin today and last 7 days or until the month ends; `this`, `next` and `last` mean whole
    calendar ones, Monday first. `+7d` is everything from today up to that day. In a range the last day counts from
    the first: `mon..fri`, `mon to fri`, `2026-12-01..+7d`. Raises InvalidInput `date-unclear`.
    """
    words = _tidy(text).replace(" to ", "..")
    try:
        return _range(words, today) if ".." in words else _named_period(words, today) or _one_day(words, today)
    except OverflowError:
        raise _unclear_day(_PERIOD_FORMS) from None
    except InvalidInput as problem:
        if problem.hint == _DAY_FORMS:
            problem.hint = _PERIOD_FORMS
        raise


def _one_day(words: str, today: date) -> tuple[date, date]:
    day = _day(words, today, today)
    return (min(day, today), max(day, today)) if _STEP.fullmatch(words) else (day, day)


def _range(words: str, today: date) -> tuple[date, date]:
    first_words, _, last_words = (part.strip() for part in words.partition(".."))
    first = _day(first_words, today, today) if first_words else today
    last = _day(last_words, today, end_counts_from(first_words, last_words, first, today))
    if last < first:
        raise _unclear_day("write the first day first: 2026-12-01..2026-12-07")
    return first, last


def end_counts_from(first_words: str, last_words: str, first: date, today: date) -> date:
    """The day from which the end of a range is counted: its start (`mon..fri`, `2026-12-01..+7d`), but today when
    both ends say how far off they are (`+7d..+8d`)."""
    signs = ("+", "-")
    return today if first_words.startswith(signs) and last_words.startswith(signs) else first


def _named_period(words: str, today: date) -> tuple[date, date] | None:
    which, _, unit = words.rpartition(" ")
    if found := _YEAR_MONTH.fullmatch(words):
        return _month(int(found["y"]), int(found["m"]))
    if unit == "week" and which in ("", "this", "next", "last"):
        if not which:
            return today, today + timedelta(days=6)
        shift = {"this": 0, "next": 7, "last": -7}[which] - today.weekday()
        return today + timedelta(days=shift), today + timedelta(days=shift + 6)
    if unit == "month" and which in ("", "this", "next", "last"):
        months = today.year * 12 + today.month - 1 + {"": 0, "this": 0, "next": 1, "last": -1}[which]
        first, last = _month(months // 12, months % 12 + 1)
        return first if which else today, last
    return None


def _month(year: int, month: int) -> tuple[date, date]:
    first = _calendar_day(year, month, 1)
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def _day(words: str, today: date, base: date) -> date:
    """A day; steps, weekdays and days without a year count from `base`, `today` and its neighbours do not."""
    if words in _WORDS:
        return _stepped(today, _WORDS[words])
    weekday = _begins_one(words, _WEEKDAYS)
    if weekday is not None:
        return _stepped(base, (weekday - base.weekday()) % 7)
    if step := _STEP.fullmatch(words):
        return _stepped(base, int(step["n"]) * (7 if step["unit"] == "w" else 1))
    if found := _YEAR_FIRST.fullmatch(words) or _GERMAN.fullmatch(words):
        return _in_month(int(found["d"]), int(found["m"]), found["y"], base)
    if found := _YEAR_LAST.fullmatch(words):
        return _unless_ambiguous(int(found["a"]), int(found["b"]), int(found["y"]))
    if found := _DAY_MONTH.fullmatch(words) or _MONTH_DAY.fullmatch(words):
        month = _begins_one(found["m"], _MONTHS)
        if month is not None:
            return _in_month(int(found["d"]), month + 1, found["y"], base)
    raise _unclear_day()


def _stepped(base: date, days: int) -> date:
    try:
        return base + timedelta(days=days)
    except OverflowError:
        raise _unclear_day() from None


def _unless_ambiguous(one: int, other: int, year: int) -> date:
    if one != other and one <= 12 and other <= 12:
        both = [date(year, other, one), date(year, one, other)] if one and other else []
        raise _unclear_day("write " + " or ".join(day.isoformat() for day in both) if both else _DAY_FORMS)
    return _calendar_day(year, other, one) if other <= 12 else _calendar_day(year, one, other)


def _in_month(day: int, month: int, year: str | None, base: date) -> date:
    if year:
        return _calendar_day(int(year), month, day)
    # Nine years hold every day of a year, 29 February included.
    for candidate in range(base.year, base.year + 9):
        try:
            found = date(candidate, month, day)
        except ValueError:
            continue
        if found >= base:
            return found
    raise _no_such_day()


def _begins_one(word: str, names: tuple[str, ...]) -> int | None:
    if len(word) >= 3:
        for place, name in enumerate(names):
            if name.startswith(word):
                return place
    return None


def _calendar_day(year: int, month: int, day: int) -> date:
    try:
        return date(year, month, day)
    except ValueError:
        raise _no_such_day() from None


def _time(words: str, forms: str = _TIME_FORMS) -> time:
    if words == "noon":
        return time(12)
    found = _TIME.fullmatch(words) or _COMPACT_TIME.fullmatch(words)
    if not found:
        raise _unclear_time(forms)
    parts = found.groupdict()
    hour, half = int(parts["h"]), parts.get("half")
    if half:
        hour = hour % 12 + (12 if half == "pm" else 0) if 1 <= hour <= 12 else 24
    try:
        return time(hour, int(parts["m"] or 0), int(parts.get("s") or 0))
    except ValueError:
        raise _unclear_time(forms) from None


def _without_offset(words: str) -> tuple[str, timedelta | None]:
    found = _OFFSET.search(words)
    if not found:
        return words, None
    rest = words[: found.start()]
    if found["z"]:
        return rest, timedelta(0)
    minutes = int(found["h"]) * 60 + int(found["m"])
    if minutes > 14 * 60:
        raise _unclear_time("an offset looks like +02:00")
    return rest, timedelta(minutes=minutes if found["sign"] == "+" else -minutes)


def _tidy(text: str) -> str:
    return " ".join(text.lower().split()) if len(text) <= 64 else ""


def _unclear_day(hint: str = _DAY_FORMS) -> InvalidInput:
    return InvalidInput("The date is not clear.", hint=hint, code="date-unclear")


def _no_such_day() -> NoSuchDay:
    return NoSuchDay("There is no such day in the calendar.", hint=_DAY_FORMS)


def _unclear_time(hint: str = _TIME_FORMS) -> InvalidInput:
    return InvalidInput("The time is not clear.", hint=hint, code="time-unclear")
