"""Writes what `imports` reads: the same columns, formulas neutralised, a part at a time.

What must stay true: an export read back into an empty database and exported again is the same but for references.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from .. import clock
from ..context import Context
from ..db import exports as queries
from ..errors import InvalidInput
from ..formats.json_rows import write_jsonl
from ..formats.private_file import PrivateFile
from ..model.imports import FIELDS, NOUNS
from ..model.periods import parse_day
from ..model.schedules import WEEKDAYS, shown_time
from . import catalog, schedules
from .spreadsheets import csv_text

KINDS = ("csv", "jsonl")
APPOINTMENT_COLUMNS = ("reference", "patient", "test", "site", "resource", "start", "status", "note")
Record = dict[str, str]


@dataclass(frozen=True)
class Export:
    """A noun of `NOUNS`, as csv or jsonl; `site` and the local days `first` to `last` choose among what has them."""

    noun: str
    kind: str = "csv"
    site: str = ""
    first: date | None = None
    last: date | None = None


def parts(context: Context, export: Export) -> Iterator[str]:
    """The file as text, some thousand rows at a time. Raises NotFound for an unknown site, InvalidInput."""
    if export.noun not in NOUNS:
        raise InvalidInput(f"{export.noun} cannot be exported.", hint="One of " + ", ".join(NOUNS), code="noun-unknown")
    columns = APPOINTMENT_COLUMNS if export.noun == "appointments" else FIELDS[export.noun]
    if export.kind == "csv":
        yield csv_text([columns])
    for records in _batches(context, export):
        if export.kind == "csv":
            yield csv_text([record.get(column, "") for column in columns] for record in records)
        else:
            buffer = io.StringIO()
            write_jsonl(({name: text for name, text in record.items() if text} for record in records), buffer)
            yield buffer.getvalue()


def day(text: str) -> date | None:
    """A day as people type it; None when nothing was typed. Raises InvalidInput `date-unclear`."""
    return parse_day(text, clock.now().date()) if text else None


def to_file(context: Context, export: Export, path: Path) -> None:
    """Writes the file, which only its owner can read and which appears when it is complete. Raises as `parts`."""
    with PrivateFile(path) as file:
        for part in parts(context, export):
            file.write(part)
        file.finish()


def _batches(context: Context, export: Export) -> Iterable[list[Record]]:
    if export.noun == "patients":
        return (_texts(batch) for batch in queries.patients(context.connection()))
    if export.noun == "appointments":
        site = catalog.site(context, export.site).code if export.site else ""
        wanted = queries.Filter(site, export.first, export.last)
        return ([_appointment(row) for row in batch] for batch in queries.appointments(context.connection(), wanted))
    return [_catalog(context, export)]


def _catalog(context: Context, export: Export) -> list[Record]:
    """Sites, tests, resources and hours are few: all of them, out of use or not."""
    if export.noun == "sites":
        return _records(catalog.sites(context, everything=True), export.noun)
    if export.noun == "tests":
        return _records(catalog.tests(context, everything=True), export.noun)
    if export.noun == "resources":
        return _records(catalog.resources(context, site=export.site, everything=True), export.noun)
    return [
        {
            **_record(hours, FIELDS["schedules"]),
            "weekdays": WEEKDAYS[hours.weekday - 1],
            "opens": shown_time(hours.opens),
            "closes": shown_time(hours.closes),
        }
        for hours in schedules.list_(context, site=export.site)
    ]


def _records(things: Iterable[object], noun: str) -> list[Record]:
    return [_record(thing, FIELDS[noun]) for thing in things]


def _record(thing: object, names: Iterable[str]) -> Record:
    return {name: _text(getattr(thing, name, None)) for name in names}


def _texts(batch: Iterable[dict[str, Any]]) -> list[Record]:
    return [{name: _text(value) for name, value in row.items()} for row in batch]


def _appointment(row: dict[str, Any]) -> Record:
    start: datetime = clock.to_local(row["starts_at"], row["zone"])
    return {name: _text(row[name]) for name in row if name not in ("starts_at", "zone")} | {
        "start": start.isoformat(timespec="minutes")
    }


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(value)
    return value.isoformat() if isinstance(value, date) else str(value)
