"""`bookcli slots`: what is free; the answer is true now and never a promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import params, views
from .command import Desk

if TYPE_CHECKING:
    from ..core.model.availability import Found


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
    from ..core.services import places, slots  # noqa: PLC0415 - loaded when the words are understood

    wish = places.Wish(test=test, sites=site or (), on=on, first_day=from_, last_day=to, part=part)
    search = places.search(desk.context, wish, most=first, everything=everything)
    found = slots.look(desk.context, search)
    if found.away:
        desk.talk.warn(*views.outage(found))
    desk.output.show(views.SLOTS, [views.slot(item) for item in found.slots], extra=views.found(found))
    _comment(desk, found, first, search.days)


def _comment(desk: Desk, answer: Found, most: int, days: tuple[object, object]) -> None:
    found = len(answer.slots)
    if not found and answer.unknown:
        desk.talk.note(f"Of what is known, nothing is free from {days[0]} to {days[1]}.")
    elif not found:
        desk.talk.note(f"No free slots from {days[0]} to {days[1]}. Try --from, --to or another --site.")
    elif found == most and desk.output.for_people:
        desk.talk.note(f"These are the first {most}; --first shows more.")
