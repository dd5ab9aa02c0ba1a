"""`bookcli schedule`: weekly hours, the slots published from them, and the times in which there are none."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import params, views
from .command import Desk, new_app
from .output import View

if TYPE_CHECKING:
    from ..core.model.schedules import Closed

SCHEDULES = View(
    "schedules",
    "schedule",
    (
        "schedule",
        "site",
        "resource",
        "weekday",
        "opens",
        "closes",
        "slot_minutes",
        "capacity",
        "valid_from",
        "valid_until",
    ),
)
CLOSURES = View("closures", "closure", ("closure", "site", "resource", "start", "end", "zone", "reason"))
PUBLISHED = View("published", "", ("first", "last", "published", "present", "slots"))
CAPACITIES = View("slots", "slot", ("slot", "capacity", "booked"))

Weekdays = Annotated[str, typer.Option("--weekdays", metavar="DAYS", help="mon-fri, mon,wed or daily.")]
Opens = Annotated[str, typer.Option("--opens", metavar="TIME", help="Local time: 8:00.")]
Closes = Annotated[str, typer.Option("--closes", metavar="TIME", help="Local time: 16:00; 24:00 ends the day.")]
Minutes = Annotated[str, typer.Option("--slot-minutes", metavar="MINUTES", help="How long a slot is.")]
Room = Annotated[str, typer.Option("--capacity", help="How many a slot takes.")]
Since = Annotated[str, typer.Option("--valid-from", metavar="DAY", help="First day on which they count.")]
Until = Annotated[str, typer.Option("--valid-until", metavar="DAY", help="Last day on which they count.")]
Number = Annotated[int, typer.Argument(metavar="NUMBER", min=1, max=params.LARGEST_ID)]
Begins = Annotated[str, typer.Option("--from", metavar="WHEN", help="A day, or a day and time: 'fri 12:00'.")]
Ends = Annotated[str, typer.Option("--to", metavar="WHEN", help="The same; a day is included. Missing: one day.")]
Undo = Annotated[bool, typer.Option("--undo", help="Within ten minutes: who was moved by your closing is moved back.")]
Why = Annotated[str, typer.Option("--reason", help="Why, without any patient's name.")]


def register(app: typer.Typer) -> None:
    """Adds the command group."""
    group = new_app("Weekly hours, slots and closures.")
    group.command("list")(list_)
    group.command("add")(add)
    group.command("end")(end)
    group.command("publish")(publish)
    group.command("close")(close)
    group.command("reopen")(reopen)
    group.command("closures")(closures)
    group.command("capacity")(capacity)
    app.add_typer(group, name="schedule")


def list_(desk: Desk, site: params.Site = "", resource: params.Resource = "") -> None:
    """List the weekly hours.

    \b
    Examples:
      bookcli schedule list
      bookcli schedule list --site north --resource mri-1
    """
    from ..core.services import schedules  # noqa: PLC0415 - the driver comes after the words are understood

    found = schedules.list_(desk.context, site=site, resource=resource)
    desk.output.show(SCHEDULES, [_schedule(hours) for hours in found])


def add(
    desk: Desk, resource: params.Resource, weekdays: Weekdays, opens: Opens, closes: Closes, slot_minutes: Minutes,
    site: params.Site = "", capacity: Room = "1", valid_from: Since = "", valid_until: Until = "",
) -> None:  # fmt: skip
    """Add weekly hours of a resource; slots appear when they are published.

    \b
    Examples:
      bookcli schedule add --site north --resource mri-1 --weekdays mon-fri --opens 8 --closes 16 --slot-minutes 30
    """
    from ..core.services import places, schedules  # noqa: PLC0415 - the driver comes after the words are understood

    at = places.own_site(desk.context, site)
    fields = {"site": at, "resource": resource, "weekdays": weekdays, "opens": opens, "closes": closes}
    rules = {"slot_minutes": slot_minutes, "capacity": capacity, "valid_from": valid_from, "valid_until": valid_until}
    added = schedules.add(desk.context, {**fields, **rules})
    hours = [_schedule(one) for one in schedules.list_(desk.context, site=at, resource=resource)]
    desk.output.show(SCHEDULES, hours, sentence=f"Added hours on {added} weekdays.", extra={"added": added})
    desk.talk.suggest(f"bookcli schedule publish --site {at} --on month")


def end(
    desk: Desk, number: Number, on: Annotated[str, typer.Option("--on", metavar="DAY", help="The last day.")]
) -> None:
    """End weekly hours: nothing is published from them after a day. Slots that are there stay.

    \b
    Examples:
      bookcli schedule end 3 --on 2026-12-31
    """
    from ..core.services import places, schedules  # noqa: PLC0415 - the driver comes after the words are understood

    day, _ = places.days(desk.context, [], first=on)
    schedules.end(desk.context, [number], day)
    record = {"schedule": number, "valid_until": day.isoformat()}
    desk.output.show(SCHEDULES, [record], sentence=f"Ended hours {number} on {day:%a %-d %b %Y}.")


def publish(
    desk: Desk, on: params.Period = "", first_day: params.FirstDay = "", last_day: params.LastDay = "",
    site: params.Site = "", resource: params.Resource = "", dry_run: params.DryRun = False,
) -> None:  # fmt: skip
    """Open the slots of a period, from the weekly hours; safe to repeat. The next 7 days if none are named.

    \b
    Examples:
      bookcli schedule publish --on month
      bookcli schedule publish --site north --from 2026-12-01 --to 2026-12-31 --dry-run
    """
    from ..core.services import places, schedules  # noqa: PLC0415 - the driver comes after the words are understood

    first, last = places.days(desk.context, [site] if site else [], on, first_day, last_day)
    done = schedules.publish(desk.context, first, last, site=site, resource=resource, dry_run=dry_run)
    record = {"first": first.isoformat(), "last": last.isoformat(), **dataclasses.asdict(done)}
    said = f"{'Would publish' if dry_run else 'Published'} {done.published} slots from {first} to {last}"
    sentence = f"{said}; {done.present} were there." if done.present else f"{said}."
    desk.output.show(PUBLISHED, [record], sentence=sentence, extra={"dry_run": dry_run})


def close(
    desk: Desk, from_: Begins, to: Ends = "", site: params.Site = "", resource: params.Resource = "", reason: Why = "",
    dry_run: params.DryRun = False, yes: params.Yes = False,
    move: Annotated[bool, typer.Option("--move", help="Move who is booked then to the nearest free places.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="With --move: everybody is moved, or nothing is done.")] = False,
) -> None:  # fmt: skip
    """Take no more bookings for a time, at a site or for one resource; lists whom it hits, who stay booked or move.

    \b
    Examples:
      bookcli schedule close --site north --from 2026-12-24 --to 2026-12-26 --reason holidays
      bookcli schedule close --site north --resource mri-1 --from 'fri 12:00' --to 'fri 16:00' --dry-run
      bookcli schedule close --site north --resource mri-1 --from 'fri 12:00' --to 'fri 16:00' --move
    """
    from ..core.services import places, schedules  # noqa: PLC0415 - the driver comes after the words are understood
    from . import closing  # noqa: PLC0415 - likewise

    at = places.own_site(desk.context, site)
    start, finish = places.period(desk.context, at, from_, to)
    if move:
        closing.close(desk, closing.Asked(at, resource, (start, finish), reason, all_), dry_run=dry_run, yes=yes)
        return
    hit = schedules.affected(desk.context, at, resource, start, finish)
    question = f"{len(hit)} appointments lie in that time. Close all the same?"
    if dry_run or (hit and not desk.talk.agree(question, yes=yes)):
        _tell_affected(desk, hit, "Nothing was closed.", {"closure": None, "dry_run": dry_run})
        return
    _tell_closed(desk, schedules.close(desk.context, at, resource, start, finish, reason))


def _tell_closed(desk: Desk, done: Closed) -> None:
    said = f"Closed {done.slots} slots, closure {done.closure_id}."
    _tell_affected(desk, done.affected, said, {"closure": done.closure_id, "slots": done.slots})


def reopen(desk: Desk, number: Number, undo: Undo = False) -> None:
    """Take a closure back; who was moved for it stays moved, unless it is undone in time.

    \b
    Examples:
      bookcli schedule reopen 1
      bookcli schedule reopen 1 --undo
    """
    from ..core.services import schedules  # noqa: PLC0415 - the driver comes after the words are understood
    from . import closing  # noqa: PLC0415 - likewise

    if undo:
        closing.take_back(desk, number)
        return
    opened = schedules.reopen(desk.context, number)
    sentence = f"Reopened closure {number}: {opened} slots are open again."
    desk.output.show(CLOSURES, [{"closure": number}], sentence=sentence, extra={"slots": opened})


def closures(desk: Desk) -> None:
    """List the closures that are not over.

    \b
    Examples:
      bookcli schedule closures
    """
    from ..core.services import catalog, schedules  # noqa: PLC0415 - the driver comes after the words are understood

    zones = {site.code: site.zone for site in catalog.sites(desk.context, everything=True)}
    desk.output.show(CLOSURES, [_closure(one, zones[one.site]) for one in schedules.closures(desk.context)])


def capacity(
    desk: Desk, slot: Number, room: Annotated[int, typer.Argument(metavar="CAPACITY", min=1, max=100_000)]
) -> None:
    """Change how many a slot takes; never below what is booked.

    \b
    Examples:
      bookcli schedule capacity 123 2
    """
    from ..core.services import schedules  # noqa: PLC0415 - the driver comes after the words are understood

    now = schedules.set_capacity(desk.context, slot, room)
    record = {"slot": now.slot_id, "capacity": now.capacity, "booked": now.booked}
    sentence = f"Slot {now.slot_id} takes {now.capacity}; {now.booked} booked."
    desk.output.show(CAPACITIES, [record], sentence=sentence)


def _schedule(hours: Any) -> dict[str, Any]:
    from ..core.model.schedules import WEEKDAYS, shown_time  # noqa: PLC0415 - only when there are hours

    return {
        **dataclasses.asdict(hours),
        "schedule": hours.schedule_id,
        "weekday": WEEKDAYS[hours.weekday - 1],
        "opens": shown_time(hours.opens),
        "closes": shown_time(hours.closes),
        "valid_from": hours.valid_from.isoformat() if hours.valid_from else None,
        "valid_until": hours.valid_until.isoformat() if hours.valid_until else None,
    }


def _closure(closure: Any, zone: str) -> dict[str, Any]:
    return {
        "closure": closure.closure_id,
        "site": closure.site,
        "resource": closure.resource,
        "start": views.local(closure.start, zone),
        "end": views.local(closure.end, zone),
        "zone": zone,
        "reason": closure.reason,
    }


def _tell_affected(desk: Desk, rows: list[dict[str, Any]], sentence: str, extra: dict[str, Any]) -> None:
    desk.output.show(views.AFFECTED, [views.appointment(row) for row in rows], extra=extra)
    desk.talk.note(sentence)
