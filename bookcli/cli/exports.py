"""`bookcli export`: writes what `bookcli import` reads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from . import output, params
from .command import Desk
from .imports import Noun


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("export")(export)


def export(
    desk: Desk,
    noun: Annotated[
        Noun, typer.Argument(metavar="NOUN", help="sites, tests, resources, schedules, patients or appointments.")
    ],
    file: Annotated[str, typer.Argument(metavar="FILE", help="A new file that only you can read; - is stdout.")] = "-",
    format_: Annotated[
        Literal["csv", "jsonl"] | None, typer.Option("--format", help="csv, unless -o or the file's name say jsonl.")
    ] = None,
    site: Annotated[
        str, typer.Option("--site", metavar="SITE", autocompletion=params.complete_sites, help="Of this site only.")
    ] = "",
    from_: Annotated[str, typer.Option("--from", metavar="DAY", help="Appointments: the first day.")] = "",
    to: Annotated[str, typer.Option("--to", metavar="DAY", help="Appointments: the last day, included.")] = "",
) -> None:
    """Write sites, tests, resources, schedules, patients or appointments as `bookcli import` reads them.

    Holds and merged patient records are left out. Cells that a spreadsheet would run as formulas are neutralised.

    \b
    Examples:
      bookcli export sites
      bookcli export appointments december.csv --site north --from 2026-12-01 --to 2026-12-31
      bookcli export patients --format jsonl | gzip > patients.jsonl.gz
    """
    from ..core.services import exports  # noqa: PLC0415 - the driver is loaded when the words are understood

    wanted = exports.Export(noun, kind_of(desk, format_, file), site, exports.day(from_), exports.day(to))
    if file == "-":
        for part in exports.parts(desk.context, wanted):
            output.write(part)
        return
    exports.to_file(desk.context, wanted, Path(file))
    desk.talk.note(f"Written to {file}.")


def kind_of(desk: Desk, format_: str | None, file: str) -> str:
    """csv or jsonl: what was asked for, else what the file's name or -o say."""
    named_so = file.endswith((".jsonl", ".ndjson"))
    return format_ or ("jsonl" if named_so or desk.output.format in ("json", "ndjson") else "csv")
