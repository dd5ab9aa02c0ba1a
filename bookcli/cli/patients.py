"""`bookcli patient`: who the patients are; nothing about them but their number is ever an argument."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import Refused
from . import diagnostics, params, views
from .command import Desk, new_app
from .output import View

if TYPE_CHECKING:
    from ..core.model.patients import Patient
    from . import dialogue

_FIELDS = ("mrn", "name", "birth_date", "sex", "phone", "email", "language", "channel", "consent", "note")
PATIENTS = View(
    "patients",
    "mrn",
    (
        *(*_FIELDS, "merged_into", "appointments_ahead", "next_start"),
        *("next_reference", "next_test", "next_site", "missed", "warnings"),
    ),
    (
        ("Number", lambda record: record["mrn"]),
        ("Name", lambda record: record["name"]),
        ("Born", lambda record: record["birth_date"] or ""),
        ("Sex", lambda record: record["sex"]),
        ("Phone", lambda record: record["phone"]),
        ("Ahead", lambda record: str(record["appointments_ahead"])),
        ("Next", lambda record: views.day(record, "next_start")),
    ),
)


def register(app: typer.Typer) -> None:
    """Adds the command group."""
    group = new_app("Add, find, edit and merge patients.")
    group.command("add")(add)
    group.command("show")(show)
    group.command("edit")(edit)
    group.command("find")(find)
    group.command("merge")(merge)
    group.command("history")(history)
    app.add_typer(group, name="patient")


def add(
    desk: Desk, mrn: Annotated[str, typer.Option("--mrn", help="The number; without it the next one.")] = ""
) -> None:
    """Add a patient. Asks for the fields; where nobody can be asked, reads JSON or key=value lines from stdin.

    \b
    Examples:
      bookcli patient add
      bookcli patient add --mrn P1 < patient.json
    """
    from . import dialogue  # noqa: PLC0415 - the driver comes after the words are understood

    check = _check(desk)
    number = _number(desk, mrn, check)
    record = _record(_added(desk, {**dialogue.fields(desk, check), **number}, check))
    desk.output.show(PATIENTS, [record], sentence=f"Added patient {record['mrn']}: {record['name']}")
    desk.talk.suggest(f"bookcli book --patient {record['mrn']} --test TEST --on tomorrow")


def show(desk: Desk, mrn: params.Mrn) -> None:
    """Show a patient.

    \b
    Examples:
      bookcli patient show P1
      bookcli patient show P1 --json
    """
    from ..core.services import patients  # noqa: PLC0415 - the driver comes after the words are understood

    record = _record(patients.get(desk.context, mrn))
    desk.output.show(PATIENTS, [record], sentence=_described(record))


def edit(desk: Desk, mrn: params.Mrn) -> None:
    """Change a patient's fields. Enter keeps what is there, - empties it; stdin as for add.

    \b
    Examples:
      bookcli patient edit P1
      bookcli patient edit P1 < changes.json
    """
    from ..core.services import patients  # noqa: PLC0415 - the driver comes after the words are understood
    from . import dialogue  # noqa: PLC0415 - likewise

    fields = dialogue.fields(desk, _check(desk), _record(patients.to_edit(desk.context, mrn)))
    record = _record(patients.edit(desk.context, mrn, fields))
    desk.output.show(PATIENTS, [record], sentence=f"Changed patient {record['mrn']}: {record['name']}")


def find(
    desk: Desk,
    mrn: Annotated[str, typer.Option("--mrn", help="Find by number, without asking.")] = "",
    first: Annotated[int, typer.Option("--first", min=1, max=1000, help="At most so many.")] = 20,
) -> None:
    """Find patients by the beginnings of names, a number, a phone or a date of birth; asks, or reads a line of stdin.

    \b
    Examples:
      bookcli patient find
      bookcli patient find --mrn P1
      bookcli patient find -o ids < line.txt
    """
    from ..core.services import patients  # noqa: PLC0415 - the driver comes after the words are understood
    from . import dialogue  # noqa: PLC0415 - likewise

    found = patients.find(desk.context, mrn or dialogue.line(desk, "Name, number, phone or date of birth:"), most=first)
    desk.output.show(PATIENTS, [_record(patient) for patient in found])
    if not found:
        desk.talk.note("No patient was found.")


def merge(
    desk: Desk,
    survivor: Annotated[str, typer.Argument(metavar="SURVIVOR", help="Number of the record that stays.")],
    duplicate: Annotated[str, typer.Argument(metavar="DUPLICATE", help="Number of the record that goes.")],
    yes: params.Yes = False,
) -> None:
    """Make two records of one person one; the duplicate's number goes on finding the person.

    \b
    Examples:
      bookcli patient merge P1 P2
      bookcli patient merge P1 P2 --yes
    """
    from ..core.services import patients  # noqa: PLC0415 - the driver comes after the words are understood

    names = [_described(_record(patients.get(desk.context, mrn))) for mrn in (survivor, duplicate)]
    question = f"This cannot be undone. {names[1]} becomes {names[0]}."
    if not desk.talk.agree(question, yes=yes, word="merge"):
        desk.talk.note("Not merged.")
        return
    moved = patients.merge(desk.context, survivor, duplicate)
    record = _record(patients.get(desk.context, survivor))
    desk.output.show(PATIENTS, [record], sentence=f"Merged {duplicate} into {survivor}: {moved} appointments moved.")


def history(desk: Desk, mrn: params.Mrn) -> None:
    """List all appointments of a patient, past and cancelled ones too.

    \b
    Examples:
      bookcli patient history P1
      bookcli patient history P1 --json
    """
    from ..core.services import patients  # noqa: PLC0415 - the driver comes after the words are understood

    found = patients.appointments(desk.context, mrn, past=True)
    desk.output.show(views.HISTORY, [views.appointment(row) for row in found])
    if not found:
        desk.talk.note("No appointments.")


def _check(desk: Desk) -> dialogue.Check:
    """What raises InvalidInput for an answer that the core would refuse after the last question."""
    from ..core.services import patients  # noqa: PLC0415 - the driver comes after the words are understood

    return lambda field, typed: patients.validated(desk.context.settings, {field: typed}, new=field == "mrn")


def _number(desk: Desk, mrn: str, check: dialogue.Check) -> dict[str, str]:
    """The number, if one was given or must be; whoever can be asked learns what is wrong with it first."""
    from . import dialogue  # noqa: PLC0415 - the driver comes after the words are understood

    if diagnostics.interactive():
        if mrn:
            check("mrn", mrn)
        elif desk.context.settings.mrn_must_be_typed:
            mrn = dialogue.answer(desk, "Number:", partial(check, "mrn"))
    return {"mrn": mrn} if mrn else {}


def _added(desk: Desk, fields: dict[str, str], check: dialogue.Check) -> Patient:
    """The new record; where somebody can be asked, another number is taken for one that somebody has."""
    from ..core.services import patients  # noqa: PLC0415 - the driver comes after the words are understood
    from . import dialogue  # noqa: PLC0415 - likewise

    while True:
        try:
            return patients.add(desk.context, fields)
        except Refused as taken:
            if taken.code != "mrn-taken" or not diagnostics.interactive():
                raise
            desk.talk.warn(taken.message)
            fields["mrn"] = dialogue.answer(desk, "Another number:", partial(check, "mrn"))


def _record(patient: Patient) -> dict[str, Any]:
    record = dataclasses.asdict(patient)
    record["birth_date"] = patient.birth_date.isoformat() if patient.birth_date else None
    record["next_start"] = views.local(patient.next_start, patient.next_zone)
    record["warnings"] = list(patient.warnings)
    return record


def _described(record: dict[str, Any]) -> str:
    parts = [record["name"], f"born {record['birth_date']}" if record["birth_date"] else "", record["sex"]]
    parts += [record["phone"], record["email"], record["language"], _told(record), record["note"]]
    merged = f" → merged into {record['merged_into']}" if record["merged_into"] else ""
    ahead = f"; {record['appointments_ahead']} ahead" if record["appointments_ahead"] else ""
    return f"{record['mrn']}: " + ", ".join(part for part in parts if part) + ahead + merged


def _told(record: dict[str, Any]) -> str:
    """What a desk must know before it promises a message."""
    if record["consent"] == "declined":
        return "no messages: declined"
    return {"sms": "prefers SMS", "email": "prefers e-mail", "none": "no messages"}.get(record["channel"], "")
