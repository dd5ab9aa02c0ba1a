"""The audit: list and export it, seal what is new, prove that nothing was altered.

What must stay true: reading it changes nothing but that a question about one patient is itself written down.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..context import Context
from ..db import audit as queries
from ..db import kernel
from ..errors import NotFound
from ..formats.json_rows import write_jsonl
from ..formats.private_file import PrivateFile
from ..model.appointments import sentence
from ..model.audit import Entry, Filter, Proof, parse_head
from ..model.references import appointment_id_of
from .attempts import once
from .spreadsheets import csv_text

COLUMNS = (
    "audit_id", "at", "actor", "staff", "source", "action", "patient", "reference", "before", "after", "seal", "hash",
)  # fmt: skip
_BATCH = 5000


def list_(context: Context, wanted: Filter | None = None, *, most: int = 100) -> list[Entry]:
    """The newest rows that fit, newest first. Raises NotFound `patient-unknown`, InvalidInput `reference-invalid`."""
    wanted = wanted or Filter()
    return queries.entries(context.connection(), _asked(context, wanted), most)


def show(context: Context, audit_id: int) -> Entry:
    """One row, with the numbers of all patients a look was at. Raises NotFound `audit-unknown`."""
    found = queries.entry(context.connection(), audit_id)
    if found is None:
        raise NotFound("There is no such row in the audit.", hint="bookcli audit list", code="audit-unknown")
    return found


def parts(context: Context, wanted: Filter, kind: str = "csv") -> Iterator[str]:
    """All rows that fit as csv or jsonl, oldest first, some thousand at a time. Raises as `list_`."""
    asked = _asked(context, wanted)
    if kind == "csv":
        yield csv_text([COLUMNS])
    for batch in queries.every(context.connection(), asked):
        texts = [_texts(entry) for entry in batch]
        if kind == "csv":
            yield csv_text([text[column] for column in COLUMNS] for text in texts)
        else:
            buffer = io.StringIO()
            write_jsonl(({name: value for name, value in text.items() if value} for text in texts), buffer)
            yield buffer.getvalue()


def to_file(context: Context, wanted: Filter, kind: str, path: Path) -> None:
    """Writes `parts` to a file that only its owner can read and that appears when it is complete."""
    with PrivateFile(path) as file:
        for part in parts(context, wanted, kind):
            file.write(part)
        file.finish()


def seal(context: Context) -> int:
    """Chains every row that has no seal yet; how many. Less than all when somebody else is sealing: they will do it."""
    sealed = 0
    while count := once(lambda: kernel.seal_audit(context.connection(), _BATCH)):
        sealed += count
        if count < _BATCH:
            break
    return sealed


def verify(context: Context, head: str = "") -> Proof:
    """Recomputes the whole chain; with a `head` that was kept, also that it leads there. Raises InvalidInput."""
    return Proof(*kernel.verify_audit(context.connection(), parse_head(head)))


def _asked(context: Context, wanted: Filter) -> dict[str, Any]:
    """The conditions of a filter; that a patient was asked about is written down."""
    appointment = appointment_id_of(wanted.reference) if wanted.reference else None
    records = queries.ask(context.connection(), wanted.patient) if wanted.patient else None
    if records == []:
        raise NotFound(sentence("patient-unknown"), hint="bookcli patient find", code="patient-unknown")
    return queries.conditions(wanted, patients=records, appointment=appointment)


def _texts(entry: Entry) -> dict[str, str]:
    documents = {name: getattr(entry, name) for name in ("before", "after")}
    plain = {name: getattr(entry, name) for name in COLUMNS if name not in documents} | {"at": entry.at.isoformat()}
    return {name: "" if value is None else str(value) for name, value in plain.items()} | {
        name: "" if value is None else json.dumps(value, separators=(",", ":")) for name, value in documents.items()
    }
