"""`bookcli import`: reads a file through the doors a desk uses and says what became of every row."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from . import diagnostics
from .command import Desk
from .output import View
from .progress import Progress

if TYPE_CHECKING:
    from ..core.model.imports import Tally
    from ..core.services.imports import Job

Noun = Literal["sites", "tests", "resources", "schedules", "patients", "appointments"]
Kind = Literal["csv", "jsonl", "xlsx"]
_VERDICTS = View("verdicts", "verdict", ("verdict", "rows", "applied"))


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("import")(import_)


def import_(
    desk: Desk,
    noun: Annotated[
        Noun, typer.Argument(metavar="NOUN", help="sites, tests, resources, schedules, patients or appointments.")
    ],
    file: Annotated[str, typer.Argument(metavar="FILE", help="CSV, JSON Lines or a spreadsheet; - is stdin.")],
    mapping: Annotated[str, typer.Option("--mapping", metavar="FILE.toml", help="Which column is which field.")] = "",
    map_: Annotated[
        list[str] | None,
        typer.Option("--map", metavar="FIELD=COLUMN", help="One field's column, as in patient=MRN|upper."),
    ] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="FIELD=VALUE", help="One field's value in every row.")
    ] = None,
    report: Annotated[str, typer.Option("--report", metavar="FILE.csv", help="Where each row's verdict goes.")] = "",
    encoding: Annotated[str, typer.Option("--encoding", help="Such as latin-1 or utf-16.")] = "utf-8",
    delimiter: Annotated[str | None, typer.Option("--delimiter", help="Such as ; or tab.")] = None,
    kind: Annotated[Kind | None, typer.Option("--kind", help="If neither name nor content tell.")] = None,
    sheet: Annotated[str | None, typer.Option("--sheet", help="Of a spreadsheet; the first.")] = None,
    create_patients: Annotated[
        bool, typer.Option("--create-patients", help="Appointments: create unknown patients from the row.")
    ] = False,
    history: Annotated[
        bool, typer.Option("--history", help="Appointments: record the past; no lead time, no messages.")
    ] = False,
    retry_refused: Annotated[
        bool, typer.Option("--retry-refused", help="Appointments: judge rows anew that were refused before.")
    ] = False,
    source: Annotated[
        str, typer.Option("--source", metavar="NAME", help="Appointments: the system the id column comes from.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Try it and keep nothing; rows see others of their batch only.")
    ] = False,
) -> None:
    """Import a file; the same file twice, or after a crash, changes nothing more.

    \b
    Every row gets a verdict in the report (FILE.report.csv in this directory), which holds patient data. Correct its
    rows and import the report: its bookcli_… columns are ignored. Rows for one slot are decided in the order of the
    file; a patient's rows for different days may not be. A dry run tries batches of about 1,000 rows, each against the
    database as it is now, names the first that are refused, and writes a report only with --report. Exit 6: some rows
    were refused.

    \b
    Fields (a column of that name, or --map, or --mapping):
      sites         code name zone phone active quiet names_test offer_minutes
      tests         code name duration_minutes buffer_before_minutes buffer_after_minutes lead_minutes window_days
                    min_interval_days preparation active remind_before fasting
      resources     site code name tests active
      schedules     site resource weekdays opens closes slot_minutes capacity valid_from valid_until
      patients      mrn name birth_date sex phone email language channel consent note
      appointments  patient test, and slot, or site and start (2026-12-01T09:20, at the site) with a resource if you
                    like, or site and day; id status note; patient_name birth_date sex phone email

    \b
    Examples:
      bookcli import sites sites.csv
      bookcli import patients people.xlsx --map mrn=NUMBER --map name=NAME --dry-run
      bookcli import appointments old.csv --mapping old.toml --set test=mri --history --create-patients
    """
    from ..core.services import import_plan, imports  # noqa: PLC0415 - the driver is loaded when the words are understood

    _check(noun, create_patients or history or retry_refused or bool(source))
    columns = imports.mapping_of(noun, mapping, map_ or (), set_ or ())
    shape = imports.FileFormat(kind, encoding, delimiter, sheet)
    options = import_plan.Options(source or "import", create_patients, history, retry_refused)
    target = Path(report) if report else None if dry_run else imports.default_report(file)
    raise typer.Exit(_run(desk, imports.Job(noun, file, target, columns, shape, options, dry_run)))


def _check(noun: str, for_appointments: bool) -> None:
    from ..core.errors import InvalidInput  # noqa: PLC0415 - only where it is raised

    if for_appointments and noun != "appointments":
        raise InvalidInput(
            "--create-patients, --history, --retry-refused and --source are for appointments only.",
            hint="bookcli import -h",
            code="usage",
        )


def _run(desk: Desk, job: Job) -> int:
    from ..core.model.imports import Tally  # noqa: PLC0415 - start-up time
    from ..core.services import imports  # noqa: PLC0415 - likewise

    tally = Tally()
    progress = Progress(desk.talk)
    try:
        with progress:
            imports.run(desk.context, job, tally, lambda _: progress.reached(tally.rows, tally.expected))
    except BaseException:
        if tally.rows:
            desk.talk.note(f"Until then, {_counts(tally)}.")
        raise
    _show(desk, job, tally, progress.seconds)
    return diagnostics.SOME_ROWS_REFUSED if tally.refused else 0


def _show(desk: Desk, job: Job, tally: Tally, seconds: float) -> None:
    from ..core.model.imports import APPLIED  # noqa: PLC0415 - start-up time

    records = [
        {"verdict": verdict, "rows": rows, "applied": verdict in APPLIED}
        for verdict, rows in tally.verdicts.most_common()
    ]
    extra = {
        "rows": tally.rows,
        "refused": tally.refused,
        "dry_run": job.dry_run,
        "report": None if job.report is None else str(job.report),
        "first_refused": [
            {"line": one.line, "verdict": one.verdict, "reason": one.reason} for one in tally.first_refused
        ],
        "seconds": round(seconds, 3),
    }
    desk.output.show(_VERDICTS, records, extra=extra)
    kept = "Dry run, nothing was kept: " if job.dry_run else ""
    if job.report is not None:
        desk.talk.note(f"{kept}{_counts(tally)}. The report is in {job.report}.")
        return
    desk.talk.note(f"{kept}{_counts(tally)}.")
    for one in tally.first_refused:
        desk.talk.note(f"  Line {one.line}: {one.reason or one.verdict}")
    if tally.refused > len(tally.first_refused):
        desk.talk.note(f"  … and {tally.refused - len(tally.first_refused):,} more: --report FILE.csv has all.")


def _counts(tally: Tally) -> str:
    parts = ", ".join(f"{rows:,} {verdict}" for verdict, rows in tally.verdicts.most_common())
    return f"{tally.rows:,} rows" + (f": {parts}" if parts else "")
