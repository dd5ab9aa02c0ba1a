"""`bookcli audit`: who did and saw what, and the proof that nothing was altered; names are in none of it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from . import output
from .command import Desk, new_app
from .output import View

if TYPE_CHECKING:
    from ..core.model.audit import Entry, Filter, Proof
    from .output import Record


def _document(name: str) -> Any:
    return lambda record: "" if record[name] is None else json.dumps(record[name])


ENTRIES = View(
    "entries",
    "audit",
    (
        "audit",
        "at",
        "actor",
        "staff",
        "source",
        "action",
        "patient",
        "reference",
        "patients",
        "before",
        "after",
        "seal",
        "hash",
    ),
    (
        ("Row", lambda record: str(record["audit"])),
        ("When, UTC", lambda record: record["at"][:19].replace("T", " ")),
        ("Who", lambda record: record["staff"] or record["actor"]),
        ("From", lambda record: record["source"]),
        ("What", lambda record: record["action"]),
        ("Patient", lambda record: record["patient"] or ""),
        ("Reference", lambda record: record["reference"] or ""),
        ("Before", _document("before")),
        ("After", _document("after")),
        ("Seal", lambda record: str(record["seal"] or "")),
    ),
)
PROOF = View("proof", "head", ("intact", "sealed", "unsealed", "broken", "first_broken", "problem", "audit", "head"))
SEALED = View("sealed", "sealed", ("sealed",))

_Patient = Annotated[str, typer.Option("--patient", metavar="MRN", help="About this patient; itself written down.")]
_Reference = Annotated[str, typer.Option("--reference", metavar="REFERENCE", help="About this appointment.")]
_Actor = Annotated[str, typer.Option("--actor", metavar="NAME", help="Done by this person or machine's role.")]
_Action = Annotated[str, typer.Option("--action", metavar="VERB", help="Begins so: book, cancel, look, look-patient …")]
_From = Annotated[str, typer.Option("--from", metavar="DAY", help="First day (UTC).")]
_To = Annotated[str, typer.Option("--to", metavar="DAY", help="Last day (UTC), included.")]


def register(app: typer.Typer) -> None:
    """Adds the command group."""
    group = new_app("Who did and saw what, and the proof that nothing was altered.")
    group.command("list")(list_)
    group.command("show")(show)
    group.command("seal")(seal)
    group.command("verify")(verify)
    group.command("export")(export)
    app.add_typer(group, name="audit")


def list_(
    desk: Desk,
    patient: _Patient = "",
    reference: _Reference = "",
    actor: _Actor = "",
    action: _Action = "",
    from_: _From = "",
    to: _To = "",
    first: Annotated[int, typer.Option("--first", min=1, max=100_000, help="At most so many.")] = 100,
) -> None:
    """List changes and looks, newest first.

    \b
    Examples:
      bookcli audit list --patient P1
      bookcli audit list --action look --from yesterday
      bookcli audit list --reference 7F3K-Q2MG -o csv
    """
    from ..core.services import audit  # noqa: PLC0415 - the driver comes after the words are understood

    found = audit.list_(desk.context, _filter(patient, reference, actor, action, (from_, to)), most=first)
    desk.output.show(ENTRIES, [_record(entry) for entry in found])
    if not found:
        desk.talk.note("Nothing was found.")


def show(
    desk: Desk, row: Annotated[int, typer.Argument(metavar="ROW", min=1, max=2**63 - 1, help="As list shows it.")]
) -> None:
    """Show one row, with the numbers of all patients that were looked at.

    \b
    Examples:
      bookcli audit show 17
      bookcli audit show 17 --json
    """
    from ..core.services import audit  # noqa: PLC0415 - the driver comes after the words are understood

    record = _record(audit.show(desk.context, row))
    desk.output.show(ENTRIES, [record], sentence=_described(record))


def seal(desk: Desk) -> None:
    """Chain every row that has no seal yet; safe to run at any time, from anywhere.

    \b
    Examples:
      bookcli audit seal
    """
    from ..core.services import audit  # noqa: PLC0415 - the driver comes after the words are understood

    sealed = audit.seal(desk.context)
    sentence = f"Sealed {sealed} rows." if sealed else "Nothing to seal, or somebody else is sealing."
    desk.output.show(SEALED, [{"sealed": sealed}], sentence=sentence)


def verify(
    desk: Desk,
    head: Annotated[
        str, typer.Option("--head", metavar="NUMBER:HASH", help="A head that an earlier verify gave.")
    ] = "",
) -> None:
    """Recompute the whole chain; exit code 1 when a row was altered. Keep the head where this database cannot write.

    \b
    Examples:
      bookcli audit verify
      bookcli audit verify --head 42:5f0c…
    """
    from ..core.services import audit  # noqa: PLC0415 - the driver comes after the words are understood

    proof = audit.verify(desk.context, head)
    desk.output.show(PROOF, [_proof(proof)], sentence=_told(proof))
    if not proof.intact:
        desk.talk.note("Keep the database as it is for whoever looks into it.")
        raise typer.Exit(1)


def export(
    desk: Desk,
    file: Annotated[str, typer.Argument(metavar="FILE", help="A new file that only you can read; - is stdout.")] = "-",
    format_: Annotated[
        Literal["csv", "jsonl"] | None, typer.Option("--format", help="csv, unless -o or the file's name say jsonl.")
    ] = None,
    patient: _Patient = "",
    reference: _Reference = "",
    actor: _Actor = "",
    action: _Action = "",
    from_: _From = "",
    to: _To = "",
) -> None:
    """Write all rows with their seals, oldest first.

    \b
    Examples:
      bookcli audit export december.csv --from 2026-12-01 --to 2026-12-31
      bookcli audit export --format jsonl | gzip > audit.jsonl.gz
    """
    from ..core.services import audit  # noqa: PLC0415 - the driver comes after the words are understood
    from .exports import kind_of  # noqa: PLC0415 - only for this command

    wanted, kind = _filter(patient, reference, actor, action, (from_, to)), kind_of(desk, format_, file)
    if file == "-":
        for part in audit.parts(desk.context, wanted, kind):
            output.write(part)
        return
    audit.to_file(desk.context, wanted, kind, Path(file))
    desk.talk.note(f"Written to {file}.")


def _filter(patient: str, reference: str, actor: str, action: str, days: tuple[str, str]) -> Filter:
    from ..core.model.audit import Filter  # noqa: PLC0415 - only once the words are understood
    from ..core.services.exports import day  # noqa: PLC0415 - likewise

    return Filter(patient, reference, actor, action, day(days[0]), day(days[1]))


def _record(entry: Entry) -> dict[str, Any]:
    record = dataclasses.asdict(entry)
    return {"audit": record.pop("audit_id")} | record | {"at": entry.at.isoformat()}


def _described(record: Record) -> str:
    lines = [
        f"Row {record['audit']}: {record['action']} at {record['at'][:19].replace('T', ' ')} UTC",
        f"  by: {record['staff'] or record['actor']}, from {record['actor']} {record['source']}",
    ]
    for name in ("patient", "reference"):
        lines += [f"  {name}: {record[name]}"] if record[name] else []
    lines += [f"  patients: {', '.join(record['patients'])}"] if record["patients"] else []
    lines += [f"  {name}: {_document(name)(record)}" for name in ("before", "after") if record[name]]
    return "\n".join([*lines, f"  seal: {record['seal']} {record['hash']}" if record["seal"] else "  not sealed yet"])


def _proof(proof: Proof) -> dict[str, Any]:
    counted = {name: getattr(proof, name) for name in ("sealed", "unsealed", "broken", "first_broken", "problem")}
    return {"intact": proof.intact, **counted, "audit": proof.audit_id, "head": proof.head or None}


def _told(proof: Proof) -> str:
    from ..core.model.audit import PROBLEMS  # noqa: PLC0415 - only once there is an answer

    head = f"\nHead, to keep elsewhere: {proof.head}" if proof.head else ""
    if proof.problem is None:
        return f"{proof.sealed} rows are sealed and unaltered, {proof.unsealed} wait for a seal.{head}"
    place = f"seal {proof.first_broken}" if proof.first_broken else f"row {proof.audit_id}"
    row = f" (row {proof.audit_id})" if proof.first_broken and proof.audit_id else ""
    found = f"{proof.broken} of {proof.sealed} do not fit" if proof.broken > 1 else "One does not fit"
    return f"The audit was altered: {found}, first at {place}{row}: {proof.problem}. {PROBLEMS[proof.problem]}{head}"
