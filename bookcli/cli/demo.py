"""`bookcli demo`: a clinic to try things on, and what to type next."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from . import views
from .command import Desk

if TYPE_CHECKING:
    from ..core.services.demo import Demo
    from .output import Record

_NEXT = """\
Next, try:
  bookcli slots --test mri --site {site} --on {day}
  bookcli book --patient DEMO-002 --test mri --site {site} --at "{day} 9:30"
  bookcli show {reference}
  bookcli reschedule {reference} --site {site} --on +7d
  bookcli cancel {reference}
  bookcli agenda --site {site} --on {day}
  bookcli                                     # the desk, in this terminal
  bookcli --help"""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("demo")(demo)


def demo(desk: Desk) -> None:
    """Load a demo clinic: 3 sites, 8 tests, two weeks of slots, 60 patients, one visit. Running it twice is harmless.

    \b
    Examples:
      bookcli demo
    """
    from ..core.services import agenda, demo, slots  # noqa: PLC0415 - the driver is loaded when the words are understood

    desk.talk.note("Loading the demo clinic…")
    made = demo.build(desk.context)
    free = slots.find(desk.context, slots.Search("mri", (made.day, made.day), [made.site], most=5))
    day = agenda.day(desk.context, made.site, made.day)
    desk.talk.note(f"{made.slots} slots are published. Free for an MRI at {made.site} on {made.day}:")
    extra = {"site": made.site, "day": made.day.isoformat(), "visit": made.visit}
    desk.output.show(views.SLOTS, [views.slot(item) for item in free], extra=extra)
    _rest(desk, made, [views.appointment(row) for row in day])


def _rest(desk: Desk, made: Demo, day: list[Record]) -> None:
    if desk.output.for_people:
        desk.talk.note(f"The day at {made.site}:")
        desk.output.show(views.APPOINTMENTS, day)
    for line in _NEXT.format(site=made.site, day=made.day, reference=made.visit[0]).split("\n"):
        desk.talk.note(line)
