"""`bookcli waitlist`: who is offered a place when one becomes free."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from . import params
from .command import Desk, new_app
from .output import View

WAITING = View(
    "waiting",
    "id",
    ("id", "patient", "patient_name", "test", "site", "first_day", "last_day", "since", "offered", "held_until"),
)
Number = Annotated[int, typer.Argument(metavar="NUMBER", min=1, max=2**63 - 1, help="As `waitlist list` shows it.")]
MaybeTest = Annotated[str, typer.Option("--test", metavar="TEST", parser=params.code, help="Code of the test.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    group = new_app("Who is offered a place when one becomes free.")
    for name, command in (("add", add), ("list", list_), ("remove", remove)):
        group.command(name)(command)
    app.add_typer(group, name="waitlist")


def add(
    desk: Desk,
    patient: params.Patient,
    test: params.Test,
    site: params.Site = "",
    on: params.Period = "",
    from_: params.FirstDay = "",
    to: params.LastDay = "",
) -> None:
    """Put a patient on the waiting list; the next 60 days if no day is named.

    When a place is free, a worker holds it for the first who waits and tells them; `bookcli confirm` books it.

    \b
    Examples:
      bookcli waitlist add --patient P1 --test mri --site north
      bookcli waitlist add --patient P1 --test mri --site north --from mon --to +14d
    """
    from ..core.services import places, waitlist  # noqa: PLC0415 - the driver comes after the words are understood

    wish = places.Wish(test=test, sites=[site] if site else (), on=on, first_day=from_, last_day=to)
    verdict, turn = waitlist.add(desk.context, patient, test, wish)
    word = "Waits" if verdict == "added" else "Keeps the turn, with these days"
    records = [_record(row) for row in waitlist.list_(desk.context, test=test) if row["id"] == turn]
    desk.output.show(WAITING, records, sentence=f"{word}: number {turn}", extra={"verdict": verdict})


def list_(desk: Desk, site: params.Site = "", test: MaybeTest = "") -> None:
    """List who waits, in the order in which they are offered places, and what is held for them now.

    \b
    Examples:
      bookcli waitlist list --site north
    """
    from ..core.services import waitlist  # noqa: PLC0415 - the driver comes after the words are understood

    rows = waitlist.list_(desk.context, site=site, test=test)
    desk.output.show(WAITING, [_record(row) for row in rows])
    desk.talk.note("" if rows else "Nobody waits.")


def remove(desk: Desk, number: Number) -> None:
    """Take somebody off the list. What is held for them now stays held until its time is over.

    \b
    Examples:
      bookcli waitlist remove 17
    """
    from ..core.services import waitlist  # noqa: PLC0415 - the driver comes after the words are understood

    waitlist.remove(desk.context, number)
    desk.talk.note("Removed.")


def _record(row: dict[str, Any]) -> dict[str, Any]:
    from .views import local  # noqa: PLC0415 - only for an answer

    days = {name: row[name].isoformat() for name in ("first_day", "last_day")}
    return {**row, **days, **{name: local(row[name], row["zone"]) for name in ("since", "held_until")}}
