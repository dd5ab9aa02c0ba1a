"""The only "now" and the only conversion between local and absolute time; no local time is ever guessed.

Absolute moments are aware datetimes in UTC, so that differences and comparisons are true elapsed time. PostgreSQL and
Python disagree on repeated local times and both accept missing ones, therefore nothing is converted anywhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from .errors import InvalidInput

# Files beside the zones on some machines: the machine's own zone, no zone at all, and zones that count leap seconds.
_NOT_IANA = ("localtime", "posix", "right/", "Factory")


def _machine() -> datetime:
    return datetime.now(UTC)


_source: Callable[[], datetime] = _machine


def set_source(source: Callable[[], datetime] | None) -> None:
    """Let `source` say what the time is, as tests do; None gives the machine's clock back."""
    global _source
    _source = source or _machine


def now() -> datetime:
    """The present moment, aware, in UTC."""
    moment = _source()
    if moment.tzinfo is None:
        raise ValueError("the source of the clock must give aware moments")
    return moment.astimezone(UTC)


def today(zone: str) -> date:
    """The local day it is now in `zone`."""
    return to_local(now(), zone).date()


def check_zone(name: str) -> str:
    """The name itself if it is an IANA zone. Raises InvalidInput `zone-unknown` with the nearest names."""
    _zone(name)
    return name


def to_absolute(local: datetime, zone: str, *, fold: int | None = None) -> datetime:
    """The moment, in UTC, at which the clocks of `zone` show the naive `local`.

    `fold` chooses the first (0) or second (1) of a time that comes twice and changes nothing else. Raises InvalidInput
    `time-does-not-exist` when the clocks skip it, and `time-exists-twice` when they repeat it and `fold` is None.
    """
    if local.tzinfo is not None:
        raise ValueError("a local time carries no zone")
    _check_year(local.year)
    info = _zone(zone)
    first, second = (local.replace(tzinfo=info, fold=n).astimezone(UTC) for n in (0, 1))
    if first.astimezone(info).replace(tzinfo=None, fold=0) != local.replace(fold=0):
        raise _missing(local, info)
    if first != second and fold is None:
        raise _repeated(local, info)
    return second if fold else first


def to_local(moment: datetime, zone: str) -> datetime:
    """The aware `moment` as the clocks of `zone` show it."""
    if moment.tzinfo is None:
        raise ValueError("a moment carries its zone")
    _check_year(moment.year)
    return moment.astimezone(_zone(zone))


def day_bounds(day: date, zone: str) -> tuple[datetime, datetime]:
    """The moments, in UTC, at which a local day starts and the next one starts: 23, 24 or 25 hours apart.

    Where midnight does not exist the day starts with its first moment; where it comes twice, with the first one. A day
    that a zone left out altogether (Apia, 2011-12-30) is empty.
    """
    _check_year(day.year)
    info = _zone(zone)
    return _day_start(day, info), _day_start(day + timedelta(days=1), info)


def _day_start(day: date, info: ZoneInfo) -> datetime:
    midnight = datetime.combine(day, time())
    start = midnight.replace(tzinfo=info).astimezone(UTC)
    if start.astimezone(info).replace(tzinfo=None, fold=0) == midnight:
        return start
    return _end_of_gap(midnight, info)


def _end_of_gap(local: datetime, info: ZoneInfo) -> datetime:
    """The moment, in UTC, at which the clocks jump over `local`, found by halving to the second."""
    before = local.replace(tzinfo=info, fold=1).astimezone(UTC)
    after = local.replace(tzinfo=info, fold=0).astimezone(UTC)
    old_offset = before.astimezone(info).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        if middle.astimezone(info).utcoffset() == old_offset:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def _missing(local: datetime, info: ZoneInfo) -> InvalidInput:
    jump = _end_of_gap(local, info).astimezone(info)
    return InvalidInput(
        f"The time {local:%Y-%m-%d %H:%M} does not exist in {info.key}: the clocks are put forward over it.",
        hint=f"the next time that exists is {jump:%Y-%m-%d %H:%M}",
        code="time-does-not-exist",
        details={"local": local.isoformat(), "zone": info.key},
    )


def _repeated(local: datetime, info: ZoneInfo) -> InvalidInput:
    both = [local.replace(tzinfo=info, fold=n).isoformat(timespec="minutes")[11:] for n in (0, 1)]
    return InvalidInput(
        f"The time {local:%Y-%m-%d %H:%M} exists twice in {info.key}: the clocks are put back over it.",
        hint=f"add the offset, e.g. {both[0]} for the first or {both[1]} for the second",
        code="time-exists-twice",
        details={"local": local.isoformat(), "zone": info.key},
    )


def _check_year(year: int) -> None:
    if not 1 < year < 9999:
        raise InvalidInput("The date is out of range.", hint="years 2 to 9998", code="date-out-of-range")


def _zone(name: str) -> ZoneInfo:
    try:
        if not name.startswith(_NOT_IANA):
            return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    raise InvalidInput("The time zone is not known.", hint=_zone_hint(name), code="zone-unknown")


def _zone_hint(name: str) -> str:
    # Both are needed only to explain a failure, and listing the zones reads a directory tree.
    import difflib  # noqa: PLC0415 - only to explain a failure
    from zoneinfo import available_timezones  # noqa: PLC0415 - only to explain a failure

    zones = {zone.lower(): zone for zone in sorted(available_timezones())}
    cities = {zone.rpartition("/")[2]: zone for zone in zones}
    wanted = name[:64].lower().replace(" ", "_")
    near = [cities[wanted]] if wanted in cities else difflib.get_close_matches(wanted, zones, n=3)
    if near:
        return "did you mean " + ", ".join(zones[zone] for zone in near) + "?"
    return "use an IANA name such as Europe/Berlin"
