"""`bookcli slots`: what is free; the answer is true now and never a promise."""

from __future__ import annotations

from typing import Annotated

import typer

from . import params, views
from .command import Desk


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("slots")(slots)


def slots(
    desk: Desk,
    test: params.Test,
    site: params.Sites = None,
    on: params.Period = "",
    from_: params.FirstDay = "",
    to: params.LastDay = "",
    part: Annotated[str, typer.Option("--part", metavar="PART", help="am, pm, evening, 9-12 or 9:00-11:30.")] = "",
    first: Annotated[int, typer.Option("--first", min=1, max=100_000, help="At most so many.")] = 200,
    everything: Annotated[bool, typer.Option("--all", help="Also full, closed and past slots.")] = False,
) -> None:
    """Find free slots for a test, at every site or at those named; the next 7 days if no day is named.

    \b
    Examples:
      bookcli slots --test mri
      bookcli slots --test mri --site north --on tomorrow --part am
      bookcli slots --test blood --from mon --to fri --first 3 -o ids
    """
    from ..core import clock  # noqa: PLC0415 - the driver is loaded when the words are understood
    from ..core.services import places, slots  # noqa: PLC0415 - likewise

    wish = places.Wish(test=test, sites=site or (), on=on, first_day=from_, last_day=to, part=part)
    search = places.search(desk.context, wish, most=first, everything=everything)
    found = slots.find(desk.context, search)
    extra = {"as_of": clock.now().isoformat(timespec="seconds"), "stale": False}
    desk.output.show(views.SLOTS, [views.slot(item) for item in found], extra=extra)
    _comment(desk, len(found), first, search.days)


def _comment(desk: Desk, found: int, most: int, days: tuple[object, object]) -> None:
    if not found:
        desk.talk.note(f"No free slots from {days[0]} to {days[1]}. Try --from, --to or another --site.")
    elif found == most and desk.output.for_people:
        desk.talk.note(f"These are the first {most}; --first shows more.")
