"""`bookcli undo`: what you have just done to an appointment is taken back; and all that could be, closings too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from . import params, views
from .command import Desk
from .output import View

LastOr = Annotated[
    str,
    typer.Argument(
        metavar="REFERENCE", autocompletion=params.complete_references, help="What you did to this one; else the last."
    ),
]
UNDOABLE = View(
    "undoable",
    "reference",
    (
        *("done_at", "action", "reference", "status", "test", "site", "resource", "start", "zone"),
        *("closure", "end"),
    ),
)


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("undo")(undo)


def undo(
    desk: Desk,
    reference: LastOr = "",
    list_: Annotated[bool, typer.Option("--list", help="Only show what could be undone, closings too.")] = False,
) -> None:
    """Take back the last thing you did to an appointment, within ten minutes and unless somebody has changed it since.

    A message that is not sent yet is not sent; otherwise the patient is told again. What was closed is listed too, and
    opened again with `bookcli schedule reopen`; an edit of a patient is taken back where it was made, in the desk.

    \b
    Examples:
      bookcli undo
      bookcli undo 7F3K-Q2MG
      bookcli undo --list
    """
    from ..core.services import undo  # noqa: PLC0415 - the driver comes after the words are understood

    if list_:
        _list(desk)
        return
    undone = undo.undo(desk.context, reference)
    records = [views.appointment(one) for one in undone.verdicts]
    said = "\n".join(f"Undone: {undone.action}. {views.changed(record)}" for record in records)
    desk.output.show(views.APPOINTMENTS, records, sentence=said, extra={"undone": undone.action})
    desk.talk.note("The patient may have been told already, and is told again." if undone.message_sent else "")


def _list(desk: Desk) -> None:
    from ..core.services import undo  # noqa: PLC0415 - the driver comes after the words are understood

    steps = [_step(row) for row in undo.possible(desk.context)]
    desk.output.show(UNDOABLE, steps)
    desk.talk.note("" if steps else "There is nothing that you could take back.")
    for closure in (step["closure"] for step in steps if step["closure"]):
        desk.talk.note(f"What was closed is taken back by: bookcli schedule reopen {closure} --undo")


def _step(row: Mapping[str, Any]) -> dict[str, Any]:
    zone = row["zone"]
    times = {"done_at": views.local(row["done_at"], zone), "start": views.local(row["starts_at"], zone)}
    return {"reference": None, "closure": None, **row, **times, "end": views.local(row.get("ends_at"), zone)}
