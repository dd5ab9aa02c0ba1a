"""Weekly hours, publishing slots from them, closures and capacities.

What must stay true: only the two ends of a day's hours are converted to absolute time, and slots are counted
off in between, so that a day on which the clocks change has as many slots as it has time.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import islice
from typing import Any

from .. import clock
from ..context import Context
from ..db import appointments as appointment_queries
from ..db import catalog as catalog_queries
from ..db import kernel
from ..db import schedules as queries
from ..errors import InvalidInput, NotFound, Refused
from ..model.appointments import sentence
from ..model.catalog import checked_number
from ..model.periods import END_OF_DAY, parse_day, parse_time
from ..model.schedules import (
    WEEKDAYS,
    Capacity,
    Closed,
    Closure,
    Published,
    Schedule,
    check_hours,
    parse_closing,
    parse_weekdays,
    required,
    shown_time,
)
from ..model.text import clean_note
from . import availability_changes, catalog, suggestions
from .attempts import after_saving, once

BATCH = 2000
_LONGEST_PERIOD = timedelta(days=3653)


def list_(context: Context, *, site: str = "", resource: str = "") -> list[Schedule]:
    """Weekly hours by site, resource, weekday and opening. Raises NotFound for an unknown site or resource."""
    site, resource = _codes(context, site, resource)
    return queries.schedules(context.connection(), site_code=site, resource_code=resource)


def add(context: Context, fields: Mapping[str, str]) -> int:
    """Adds hours of a resource on weekdays; how many weekdays are new (the same hours twice are one).

    Fields: site, resource, weekdays (`mon-fri`), opens, closes (local; `24:00` ends the day), slot_minutes,
    capacity (1), valid_from, valid_until. Raises InvalidInput, NotFound, Refused `hours-overlap`: then the weekdays
    that do not overlap are added all the same.
    """
    return len(added(context, fields))


def added(context: Context, fields: Mapping[str, str]) -> list[int]:
    """The same; the numbers of the hours that are new."""
    rows = _hours(context, fields)
    saved = once(lambda: kernel.save(context.connection(), "schedules", rows))
    new = [one.id for one in saved if one.verdict == "created" and one.id is not None]
    if overlap := _overlaps(rows, saved):
        hint = f"{len(new)} other weekdays were added." if new else "bookcli schedule list"
        raise _hours_overlap(overlap, len(new), hint)
    return new


def change(context: Context, schedule_ids: Sequence[int], fields: Mapping[str, str]) -> int:
    """From the day `valid_from` on other hours instead of these, all or nothing; how many weekdays they have.

    Fields as in `add`. Slots that are there stay. Raises as `add`, but then nothing was changed; NotFound.
    """
    first = parse_day(required(fields, "valid_from"), clock.now().date())
    rows = _hours(context, fields)
    saved = once(lambda: kernel.replace_schedules(context.connection(), schedule_ids, first, rows))
    if any(one.verdict == "schedule-unknown" for one in saved):
        raise _no_hours()
    if overlap := _overlaps(rows, saved):
        raise _hours_overlap(overlap, 0, "Nothing was changed.")
    return len(saved)


def _overlaps(rows: Sequence[Mapping[str, Any]], saved: Sequence[kernel.Saved]) -> list[str]:
    pairs = zip(rows, saved, strict=True)
    return [WEEKDAYS[row["weekday"] - 1] for row, one in pairs if one.verdict == "hours-overlap"]


def _hours_overlap(weekdays: list[str], added: int, hint: str) -> Refused:
    return Refused(
        f"On {', '.join(weekdays)} these hours overlap others of the resource.",
        hint=hint,
        code="hours-overlap",
        details={"weekdays": weekdays, "added": added},
    )


def _no_hours() -> NotFound:
    return NotFound("There are no such hours.", hint="bookcli schedule list", code="schedule-unknown")


def _hours(context: Context, fields: Mapping[str, str]) -> list[dict[str, Any]]:
    site, resource = _codes(context, required(fields, "site"), required(fields, "resource"))
    opens, closes = parse_time(required(fields, "opens")), parse_closing(required(fields, "closes"))
    slot_minutes = checked_number("slot_minutes", required(fields, "slot_minutes"), (1, 1440))
    check_hours(opens, closes, slot_minutes)
    today = clock.now().date()
    valid = [parse_day(text, today) if (text := fields.get(name, "").strip()) else None for name in _VALID]
    if valid[0] and valid[1] and valid[1] < valid[0]:
        raise InvalidInput("The hours end before they begin.", code="hours-invalid", details={"field": "valid_until"})
    row = {
        "site": site,
        "resource": resource,
        "opens": shown_time(opens),
        "closes": shown_time(closes),
        "slot_minutes": slot_minutes,
        "capacity": checked_number("capacity", fields.get("capacity") or "1", (1, 100000)),
        **{name: day.isoformat() for name, day in zip(_VALID, valid, strict=True) if day},
    }
    return [{**row, "weekday": weekday} for weekday in parse_weekdays(required(fields, "weekdays"))]


_VALID = ("valid_from", "valid_until")


def end(context: Context, schedule_ids: Sequence[int], last_day: date) -> None:
    """Publishes nothing from these hours after a day; slots that are there stay.

    Raises NotFound when one of them is there no more; then none was ended.
    """
    next_day = min(last_day, date.max - timedelta(days=1)) + timedelta(days=1)
    if once(lambda: kernel.replace_schedules(context.connection(), schedule_ids, next_day, [])):
        raise _no_hours()


def publish(
    context: Context, first: date, last: date, *, site: str = "", resource: str = "", dry_run: bool = False
) -> Published:
    """Opens the slots of local days first to last, both included, of sites and resources in use. Safe to repeat.

    Raises NotFound, InvalidInput for a period that ends before it begins or is longer than ten years.
    """
    if last < first or last - first > _LONGEST_PERIOD:
        raise InvalidInput("That is not a period of days.", hint="At most ten years, first day first.", code="period")
    site, resource = _codes(context, site, resource)
    hours = queries.publishable(context.connection(), first, last, site_code=site, resource_code=resource)
    slots = _slots(hours, first, last)
    published = present = 0
    try:
        while batch := list(islice(slots, BATCH)):
            new, old = _missing(context, batch) if dry_run else _published(context, batch)
            published, present = published + new, present + old
    finally:
        if not dry_run:
            availability_changes.days_changed(context, {one.schedule.site for one in hours}, first, last)
    return Published(published, present, published + present)


def publish_ahead(context: Context) -> int:
    """For a worker: opens what weekly hours say of the coming `publish_days`, from tomorrow on; how many slots.

    Only what is not there yet is sent to the database, and any number may do this at once. Raises Unavailable.
    """
    days = context.settings.days_to_publish
    if not days:
        return 0
    first = clock.now().date() + timedelta(days=1)
    last = first + timedelta(days=days - 1)
    hours = queries.publishable(context.connection(), first, last, site_code="", resource_code="")
    slots = _slots(hours, first, last)
    published = 0
    try:
        while batch := list(islice(slots, BATCH)):
            if missing := _not_there(context, batch):
                published += once(lambda rows=missing: kernel.publish_hours(context.connection(), rows))  # type: ignore[misc]
    finally:
        if published:
            availability_changes.days_changed(context, {one.schedule.site for one in hours}, first, last)
    return published


def _published(context: Context, batch: list[dict[str, Any]]) -> tuple[int, int]:
    return once(lambda: kernel.publish(context.connection(), batch))


def _slots(hours: list[queries.Hours], first: date, last: date) -> Iterator[dict[str, Any]]:
    """The kernel's rows, day by day so that overlapping batches of two desks lock in the same order."""
    for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
        for one in hours:
            schedule = one.schedule
            if schedule.weekday == day.isoweekday() and _counts(schedule, day):
                yield from _slots_of_day(one, day)


def _counts(schedule: Schedule, day: date) -> bool:
    return (schedule.valid_from or day) <= day <= (schedule.valid_until or day)


def _slots_of_day(hours: queries.Hours, day: date) -> Iterator[dict[str, Any]]:
    schedule = hours.schedule
    start = _absolute(datetime.combine(day, schedule.opens), hours.zone)
    if schedule.closes == END_OF_DAY:
        closing = clock.day_bounds(day, hours.zone)[1]
    else:
        closing = _absolute(datetime.combine(day, schedule.closes), hours.zone)
    length = timedelta(minutes=schedule.slot_minutes)
    while start + length <= closing:
        local = clock.to_local(start, hours.zone).replace(tzinfo=None)
        yield {
            "resource_id": hours.resource_id,
            "starts_at": start.isoformat(),
            "ends_at": (start + length).isoformat(),
            "local_start": local.isoformat(),
            "capacity": schedule.capacity,
        }
        start += length


def _absolute(local: datetime, zone: str) -> datetime:
    """The moment hours begin or end: the first of two, and for one the clocks skip the next that exists."""
    for minutes in range(24 * 60 + 1):
        try:
            return clock.to_absolute(local + timedelta(minutes=minutes), zone, fold=0)
        except InvalidInput as problem:
            if problem.code != "time-does-not-exist":
                raise
    raise InvalidInput(f"{zone} leaves out more than a day.", code="time-does-not-exist")


def _missing(context: Context, batch: list[dict[str, Any]]) -> tuple[int, int]:
    """(new, present) of rows, without writing: what publishing them would answer."""
    new = len(_not_there(context, batch))
    return new, len(batch) - new


def _not_there(context: Context, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the rows over which no slot of their resource lies."""
    spans = [
        (row["resource_id"], datetime.fromisoformat(row["starts_at"]), datetime.fromisoformat(row["ends_at"]))
        for row in batch
    ]
    period = (min(start for _, start, _ in spans), max(finish for _, _, finish in spans))
    there = queries.present(context.connection(), sorted({resource for resource, _, _ in spans}), period)
    return [
        row
        for row, (resource, start, finish) in zip(batch, spans, strict=True)
        if not _is_taken(there.get(resource, []), start, finish)
    ]


def _is_taken(there: list[tuple[datetime, datetime]], start: datetime, finish: datetime) -> bool:
    place = bisect_right(there, start, key=lambda span: span[1])
    return place < len(there) and there[place][0] < finish


def close(context: Context, site: str, resource: str, start: datetime, end: datetime, reason: str) -> Closed:
    """Takes no more bookings in [start, end), aware, at a site or, unless `resource` is empty, one resource of it.

    Who is booked there stays booked and is returned. Raises NotFound, InvalidInput.
    """
    ids = _ids(context, site, resource)
    period = _period(start, end)
    text = clean_note(reason, label="reason", limit=200)
    closure_id, slots = once(
        lambda: kernel.close_period(context.connection(), ids["site_id"], ids["resource_id"], period, text)
    )
    availability_changes.period_changed(context, ids["site"], period)
    with after_saving(f"Closure {closure_id}"):
        return Closed(closure_id, slots, affected(context, site, resource, start, end))


def affected(context: Context, site: str, resource: str, start: datetime, end: datetime) -> list[dict[str, Any]]:
    """Whom closing would hit: rows of `app.appointment_facts`, by start. Raises as `close`."""
    ids = _ids(context, site, resource)
    return appointment_queries.during(context.connection(), ids["site_id"], ids["resource_id"], _period(start, end))


def ids_of(context: Context, site: str, resource: str) -> tuple[int, int | None]:
    """(site, resource or None) as the database numbers them. Raises NotFound."""
    ids = _ids(context, site, resource)
    return ids["site_id"], ids["resource_id"]


def reopen(context: Context, closure_id: int) -> int:
    """Takes a closure back; how many slots opened. Raises NotFound."""
    before = [one for one in closures(context) if one.closure_id == closure_id]
    opened = once(lambda: kernel.reopen(context.connection(), closure_id))
    for one in before:
        availability_changes.period_changed(context, one.site, (one.start, one.end))
    if opened is None:
        raise NotFound("There is no such closure in force.", hint="bookcli schedule closures", code="closure-unknown")
    return opened


def closures(context: Context) -> list[Closure]:
    """The closures in force that are not over, by start."""
    return queries.closures(context.connection())


def set_capacity(context: Context, slot_id: int, capacity: int) -> Capacity:
    """Changes how many a slot takes. Raises NotFound, InvalidInput, Refused `capacity-below-booked`."""
    checked_number("capacity", str(capacity), (1, 100000))
    verdict, now_capacity, booked, version = once(lambda: kernel.set_capacity(context.connection(), slot_id, capacity))
    if verdict == "slot-unknown" or now_capacity is None or booked is None or version is None:
        raise NotFound(sentence("slot-unknown"), code="slot-unknown", details={"slot": slot_id})
    if verdict != "changed":
        numbers = {"slot": slot_id, "capacity": now_capacity, "booked": booked}
        raise Refused(sentence(verdict, numbers), code=verdict, details=numbers)
    availability_changes.capacity_set(context, slot_id, (version, now_capacity, now_capacity - booked))
    return Capacity(slot_id, now_capacity, booked, version)


def _period(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    if start.tzinfo is None or end.tzinfo is None:
        raise ValueError("a moment carries its zone")
    if end <= start:
        raise InvalidInput("The period ends before it begins.", code="period")
    return start, end


def _codes(context: Context, site: str, resource: str) -> tuple[str, str]:
    """The codes behind what was typed; empty stays empty. A resource alone is looked up at every site."""
    if site:
        site = catalog.site(context, site).code
    if resource and site:
        resource = catalog.resource(context, site, resource).code
    elif resource:
        suggestions.check("resource", resource, [one.code for one in catalog.resources(context, everything=True)])
    return site, resource


def _ids(context: Context, site: str, resource: str) -> dict[str, Any]:
    codes = _codes(context, site, resource)
    found = catalog_queries.ids(context.connection(), *codes)
    assert found is not None, "codes were just looked up, and nothing is ever deleted"
    return {"site": codes[0], **found}
