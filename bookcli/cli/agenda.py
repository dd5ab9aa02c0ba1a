"""`bookcli agenda`: the day of a site as the desk lives it."""

from __future__ import annotations

from typing import Annotated

import typer

from . import params, views
from .command import Desk


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("agenda")(agenda)


def agenda(
    desk: Desk,
    site: params.Site = "",
    on: params.On = "",
    resource: params.Resource = "",
    status: Annotated[str, typer.Option("--status", metavar="STATUS", help="Only these: booked, arrived, …")] = "",
) -> None:
    """List the appointments of a day at a site; today if no day is named.

    \b
    Examples:
      bookcli agenda --site north
      bookcli agenda --site north --on tomorrow --resource mri-1
      bookcli agenda --site north --status booked -o ids
    """
    from ..core.services import agenda, places  # noqa: PLC0415 - the driver comes after the words are understood

    code, day = places.day(desk.context, site, on)
    rows = agenda.day(desk.context, code, day, resource=resource, status=status)
    extra = {"site": code, "day": day.isoformat()}
    desk.output.show(views.AGENDA, [views.appointment(row) for row in rows], extra=extra)
    desk.talk.note("" if rows else f"No appointments at {code} on {day:%a %-d %b %Y}.")
