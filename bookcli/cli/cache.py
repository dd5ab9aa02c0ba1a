"""`bookcli cache`: the availability cache, for whoever looks after it; nobody who books needs to."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

import typer

from . import params
from .command import Desk, new_app
from .output import View, plain

ENTRIES = View(
    "entries",
    "day",
    ("site", "test", "day", "as_of", "age", "fresh", "slots", "free"),
    (
        ("Site", lambda record: record["site"]),
        ("Test", lambda record: record["test"]),
        ("Day", lambda record: plain(record["day"])),
        ("Age", lambda record: f"{record['age']:.0f} s"),
        ("", lambda record: "fresh" if record["fresh"] else "old"),
        ("Slots", lambda record: plain(record["slots"])),
        ("Free", lambda record: plain(record["free"])),
    ),
)
COUNT = View("cache", "entries", ("entries",))
Site = Annotated[
    str,
    typer.Option("--site", metavar="SITE", parser=params.code, autocompletion=params.complete_sites, help="One site."),
]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    cache = new_app("The availability cache. It never decides: a booking is always decided by the database.")
    cache.command("warm")(warm)
    cache.command("show")(show)
    cache.command("drop")(drop)
    app.add_typer(cache, name="cache")


def warm(
    desk: Desk,
    site: Site = "",
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How many days, from today on.")] = 28,
) -> None:
    """Read the coming days into the cache, no further than each test can be booked.

    \b
    Examples:
      bookcli cache warm
      bookcli cache warm --site north --days 90
    """
    from ..core.services import cache  # noqa: PLC0415 - the driver comes after the words are understood
    from .progress import Progress  # noqa: PLC0415 - likewise

    with Progress(desk.talk) as progress:
        kept = cache.warm(desk.context, site=site, days=days, on_progress=progress.reached)
    desk.output.show(COUNT, [{"entries": kept}], sentence=f"{kept} days are cached.")


def show(desk: Desk, site: Site = "") -> None:
    """Show what is cached, how old it is, and how many searches the cache answered.

    \b
    Examples:
      bookcli cache show
      bookcli cache show --site north --json
    """
    from ..core.services import cache  # noqa: PLC0415 - the driver comes after the words are understood

    state = cache.show(desk.context, site=site)
    extra = {"hits": state.hits, "searches": state.searches}
    desk.output.show(ENTRIES, [_record(entry) for entry in state.entries], extra=extra)
    answered = f"{state.hits} of {state.searches} searches were answered by the cache"
    desk.talk.note(f"{len(state.entries)} days are cached; {answered}.")


def drop(desk: Desk, site: Site = "") -> None:
    """Empty the cache, or what it has of one site. Harmless: it is read again when it is asked for.

    \b
    Examples:
      bookcli cache drop
    """
    from ..core.services import cache  # noqa: PLC0415 - only for this command

    dropped = cache.drop(desk.context, site=site)
    desk.output.show(COUNT, [{"entries": dropped}], sentence=f"{dropped} entries were dropped.")


def _record(entry: Any) -> dict[str, Any]:
    return {
        **dataclasses.asdict(entry),
        "day": entry.day.isoformat(),
        "as_of": entry.as_of.isoformat(timespec="seconds"),
        "age": round(entry.age, 1),
    }
