"""`bookcli report`: sums over a period, for managers; no patient is in them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from . import params
from .command import Desk, new_app
from .output import View

Period = Annotated[str, typer.Option("--on", metavar="PERIOD", help="A period: last week, 2026-11, mon..fri.")]
UTILISATION = View("utilisation", "resource", ("site", "resource", "hour", "slots", "booked", "capacity", "share"))
NOSHOW = View("noshow", "test", ("site", "test", "weekday", "appointments", "missed", "share"))
LEAD_TIME = View(
    "lead_time",
    "test",
    (
        *("site", "test", "appointments", "days_median", "days_ninetieth"),
        *("same_day", "within_week", "within_month", "later"),
    ),
)


def register(app: typer.Typer) -> None:
    """Adds the command group."""
    group = new_app("How full the machines were, who did not come, how long people wait.")
    group.command("utilisation")(utilisation)
    group.command("noshow")(noshow)
    group.command("lead-time")(lead_time)
    app.add_typer(group, name="report")


def utilisation(
    desk: Desk, site: params.Site = "", on: Period = "", from_: params.FirstDay = "", to: params.LastDay = ""
) -> None:
    """Show how many of the places of each resource were taken, by hour of the day; closed ones do not count.

    \b
    Examples:
      bookcli report utilisation --on 'last week'
      bookcli report utilisation --site north --from 2026-11-01 --to 2026-11-30 -o csv
    """
    from ..core.services import places, reports  # noqa: PLC0415 - the driver comes after the words are understood

    days = places.days(desk.context, [site] if site else [], on, from_, to)
    _show(desk, UTILISATION, reports.utilisation(desk.context, days, site))


def noshow(
    desk: Desk, site: params.Site = "", on: Period = "", from_: params.FirstDay = "", to: params.LastDay = ""
) -> None:
    """Show how many did not come, by test and weekday (1 is Monday).

    \b
    Examples:
      bookcli report noshow --on 'last month'
    """
    from ..core.services import places, reports  # noqa: PLC0415 - the driver comes after the words are understood

    days = places.days(desk.context, [site] if site else [], on, from_, to)
    _show(desk, NOSHOW, reports.noshow(desk.context, days, site))


def lead_time(
    desk: Desk, site: params.Site = "", on: Period = "", from_: params.FirstDay = "", to: params.LastDay = ""
) -> None:
    """Show how many days pass between booking and appointment, by test.

    \b
    Examples:
      bookcli report lead-time --on month --json
    """
    from ..core.services import places, reports  # noqa: PLC0415 - the driver comes after the words are understood

    days = places.days(desk.context, [site] if site else [], on, from_, to)
    _show(desk, LEAD_TIME, reports.lead_time(desk.context, days, site))


def _show(desk: Desk, view: View, rows: list[dict[str, Any]]) -> None:
    desk.output.show(view, rows)
    desk.talk.note("" if rows else "There is nothing in that period; --on 'last month' is another.")
