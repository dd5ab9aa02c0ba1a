"""Imports a file row by row through the same doors a desk uses, and gives every row a verdict in a report.

What must stay true: the same file twice, at once or after a crash in the middle, changes what one run would change;
memory does not grow with the file beyond eight bytes' worth of memory of each row's content.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Protocol

from ..context import Context
from ..db import imports as queries
from ..errors import BookcliError, InvalidInput, OutcomeUnknown, Unavailable
from ..formats.mapping import Mapping as FieldMapping
from ..formats.report_file import NoReport, ReportFile
from ..formats.rows import Row
from ..formats.table_rows import read_rows
from ..formats.whole_file import count_lines
from ..model.imports import FIELDS, NOUNS, REPORT_COLUMNS, REQUIRED, RowVerdict, Tally, unreadable
from ..model.text import nearest
from .import_lanes import Decided, Lane, refusal
from .import_plan import Options, Planned, Planner, SiteIndex
from .import_records import Numbered, PatientImporter, RecordImporter

LANES = 2
WINDOW = 2000
_AHEAD = 2
Progress = Callable[[Tally], None]


@dataclass(frozen=True)
class FileFormat:
    """How the bytes of a file are to be read; None and empty mean: told by the file itself."""

    kind: str | None = None
    encoding: str = "utf-8"
    delimiter: str | None = None
    sheet: str | None = None


@dataclass(frozen=True)
class Job:
    """One import: a noun of `NOUNS`, a file (or `-`), how its columns are read, and where the report goes, if any."""

    noun: str
    path: str
    report: Path | None
    mapping: FieldMapping = field(default_factory=FieldMapping)
    format: FileFormat = field(default_factory=FileFormat)
    options: Options = field(default_factory=Options)
    dry_run: bool = False


class _Importer(Protocol):
    """Takes windows of rows in the order of the file; the answer is waited for by calling it."""

    def submit(self, rows: Sequence[Row]) -> Callable[[], list[RowVerdict]]: ...

    def close(self) -> None: ...


def run(context: Context, job: Job, tally: Tally, on_progress: Progress = lambda _: None) -> None:
    """Imports the file; `tally` counts while it runs, so that it is right even when this raises.

    `dry_run` tries every window of 2,000 rows in transactions that are rolled back: rows of a batch see each other,
    rows of different batches do not. Raises InvalidInput and NotFound about the file, its columns or the report before
    anything is imported (of stdin, only its beginning); Unavailable, OutcomeUnknown and KeyboardInterrupt in the
    middle. After each of those the same job may be run again: what was imported stays and is not repeated.
    """
    context.settings.check()
    rows = _opened(job)
    tally.expected = count_lines(job.path, job.format.encoding)
    with _report(job) as report, closing(_importer(context, job)) as importer:
        try:
            for verdicts, window in _decided(rows, importer):
                if not tally.rows:
                    report.header(_columns(window))
                for row, verdict in zip(window, verdicts, strict=True):
                    report.row(verdict, row.values)
                    tally.count(verdict)
                on_progress(tally)
        except (Unavailable, OutcomeUnknown, InvalidInput) as problem:
            raise _stopped(problem, tally) from None
        if not tally.rows:
            report.header(())
        report.finish()


def _report(job: Job) -> AbstractContextManager[ReportFile | NoReport]:
    return nullcontext(NoReport()) if job.report is None else ReportFile(job.report)


def _decided(rows: Iterator[Row], importer: _Importer) -> Iterator[tuple[list[RowVerdict], list[Row]]]:
    """Windows of rows with their verdicts, in the order of the file; the next ones are under way meanwhile."""
    waiting: deque[tuple[Callable[[], list[RowVerdict]], list[Row]]] = deque()
    while window := list(islice(rows, WINDOW)):
        waiting.append((importer.submit(window), window))
        if len(waiting) > _AHEAD:
            verdicts, oldest = waiting.popleft()
            yield verdicts(), oldest
    for verdicts, oldest in waiting:
        yield verdicts(), oldest


def _stopped(problem: BookcliError, tally: Tally) -> BookcliError:
    again = "Run the same command again: rows that are imported are not repeated."
    return type(problem)(
        f"The import stopped after {tally.rows:,} rows. {problem.message}",
        hint=problem.hint if isinstance(problem, InvalidInput) else again,
        code=problem.code,
        details={**problem.details, "rows": tally.rows},
    )


def mapping_of(noun: str, file: str = "", items: Sequence[str] = (), constants: Sequence[str] = ()) -> FieldMapping:
    """The mapping of a TOML file, with `field=COLUMN` items and `field=value` constants on top of it.

    Raises NotFound `file-not-found`; InvalidInput `mapping-unclear`, `field-unknown`, `conversion-unknown`.
    """
    fields = FIELDS[noun]
    base = FieldMapping.load(file, fields=fields) if file else FieldMapping(fields=frozenset(fields))
    more = FieldMapping.from_items(items, fields=fields)
    fixed = FieldMapping.from_items([f"{name}=x" for name, _, _ in _pairs(constants)], fields=fields)
    values = {name: value for name, _, value in _pairs(constants)}
    return replace(
        base,
        columns=base.columns | more.columns,
        conversions=base.conversions | {name: steps for name, steps in more.conversions.items() if steps},
        templates={name: text for name, text in base.templates.items() if name not in more.columns},
        constants={name: text for name, text in base.constants.items() if name not in more.columns}
        | {name: values[name] for name in fixed.columns},
    )


def _pairs(constants: Sequence[str]) -> list[tuple[str, str, str]]:
    pairs = []
    for text in constants:
        name, equals, value = text.partition("=")
        if not equals:
            raise InvalidInput("A constant must be a field and its value.", hint="test=mri", code="mapping-unclear")
        pairs.append((name.strip(), equals, value.strip()))
    return pairs


def default_report(path: str) -> Path:
    """Where the report goes when nobody says: in the working directory, named after the file."""
    return Path("import-report.csv" if path == "-" else f"{Path(path).stem}.report.csv")


def _opened(job: Job) -> Iterator[Row]:
    """The rows, after a look at the first one: a column that is missing concerns the file, not 10,000 rows."""
    if job.noun not in NOUNS:
        raise InvalidInput(f"{job.noun} cannot be imported.", hint="One of " + ", ".join(NOUNS), code="noun-unknown")
    how = job.format
    rows = read_rows(job.path, kind=how.kind, encoding=how.encoding, delimiter=how.delimiter, sheet=how.sheet)
    first = next(rows, None)
    if first is None:
        return iter(())
    if not first.problem:
        _check_columns(job, first.values)
    return chain([first], rows)


def _check_columns(job: Job, values: Mapping[str, str]) -> None:
    try:
        fields = job.mapping.apply(dict(values))
    except InvalidInput as problem:
        if problem.code == "column-unknown":
            raise
        return
    for name in REQUIRED[job.noun]:
        if name not in fields:
            columns = [column for column in values if column not in REPORT_COLUMNS]
            near = nearest(name, columns)
            raise InvalidInput(
                f"The file has no column {name}, and nothing is mapped to it.",
                hint=f"--map {name}={near[0] if near else 'COLUMN'}; its columns: " + ", ".join(columns[:20]),
                code="column-missing",
                details={"field": name},
            )
    if not set(fields) & set(FIELDS[job.noun]):
        raise InvalidInput(
            f"The file has none of the columns of {job.noun}.",
            hint="a column may be named, or mapped to: " + ", ".join(FIELDS[job.noun]),
            code="column-missing",
        )


def _columns(window: Sequence[Row]) -> list[str]:
    """The columns of the report: in JSON Lines an object may lack some that another has."""
    return list(dict.fromkeys(column for row in window for column in row.values))


def _importer(context: Context, job: Job) -> _Importer:
    if job.noun == "appointments":
        return _Appointments(context, job)
    return _Records(context, job)


class _Records:
    """Rows of everything but appointments, decided where they are read."""

    def __init__(self, context: Context, job: Job) -> None:
        self._mapping = job.mapping
        patients = job.noun == "patients"
        self._importer: PatientImporter | RecordImporter = (
            PatientImporter(context, dry_run=job.dry_run)
            if patients
            else RecordImporter(context, job.noun, dry_run=job.dry_run)
        )

    def submit(self, rows: Sequence[Row]) -> Callable[[], list[RowVerdict]]:
        verdicts: dict[int, RowVerdict] = {}
        readable: dict[int, Numbered] = {}
        for position, row in enumerate(rows):
            fields = _mapped(self._mapping, row)
            if isinstance(fields, RowVerdict):
                verdicts[position] = fields
            else:
                readable[position] = (row.line, fields)
        verdicts |= dict(zip(readable, self._importer.decide(list(readable.values())), strict=True))
        return lambda: [verdicts[position] for position in range(len(rows))]

    def close(self) -> None:
        """Nothing of its own is open."""


class _Appointments:
    """Rows of appointments, decided on several connections at once; rows for one slot stay in order.

    A patient with rows for several sites or days may be decided in another order than the file's.
    """

    def __init__(self, context: Context, job: Job) -> None:
        self._mapping = job.mapping
        self._planner = Planner(SiteIndex(queries.sites(context.connection())), job.options)
        self._lanes = [Lane(context, job.options, dry_run=job.dry_run) for _ in range(LANES)]

    def submit(self, rows: Sequence[Row]) -> Callable[[], list[RowVerdict]]:
        decided: Decided = {}
        parts: list[list[Planned]] = [[] for _ in self._lanes]
        for position, row in enumerate(rows):
            planned = self._planned(position, row)
            if isinstance(planned, RowVerdict):
                decided[position] = planned
            else:
                parts[planned.lane % len(parts)].append(planned)
        answers = [lane.submit(part) for lane, part in zip(self._lanes, parts, strict=True) if part]

        def wait() -> list[RowVerdict]:
            for answer in answers:
                decided.update(answer.result())
            return [decided[position] for position in range(len(rows))]

        return wait

    def close(self) -> None:
        for lane in self._lanes:
            lane.close()

    def _planned(self, position: int, row: Row) -> Planned | RowVerdict:
        fields = _mapped(self._mapping, row)
        if isinstance(fields, RowVerdict):
            return fields
        try:
            return self._planner.plan(position, row.line, fields)
        except InvalidInput as problem:
            return refusal(row.line, problem)


def _mapped(mapping: FieldMapping, row: Row) -> dict[str, str] | RowVerdict:
    if row.problem:
        return unreadable(row.line, row.problem)
    try:
        return mapping.apply(row.values)
    except InvalidInput as problem:
        field_name = problem.details.get("field", "")
        verdict = refusal(row.line, problem)
        reason = f"{field_name}: {verdict.reason}" if field_name else verdict.reason
        return RowVerdict(row.line, verdict.verdict, reason)
