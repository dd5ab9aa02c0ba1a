"""Decides batches of planned rows on a connection of its own, through the same door as a single booking.

What must stay true: a row's next request key is used only when the kernel keeps a refusal under the one before it, so
that of all the keys of a row at most one ever books.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from ..config import Settings
from ..context import Context
from ..db import imports as queries
from ..db import kernel
from ..db import patients as patient_queries
from ..db.engine import Connection
from ..errors import BookcliError, InvalidInput, Refused, Unavailable
from ..model.appointments import Verdict, sentence
from ..model.imports import RowVerdict
from ..model.requests import BookingRequest, Place
from . import appointments, decisions, patients
from .attempts import until_known
from .import_plan import Options, Planned, key_of_id

Decided = dict[int, RowVerdict]
"""Verdicts by the position of their row."""

_LONGEST_CHAIN = 50
_TOO_MUCH_AT_ONCE = frozenset({"57014", "53200", "54000"})
"""The statement took too long, the lock table is full, or the call would have asked for too many locks."""


class Lane:
    """One connection and the thread that uses it; batches are decided in the order they were given."""

    def __init__(self, context: Context, options: Options, *, dry_run: bool) -> None:
        self._context = context.another()
        self._options = options
        self._dry_run = dry_run
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="import")

    def submit(self, part: Sequence[Planned]) -> Future[Decided]:
        """Decides a batch, of at most 2,000 rows, when its turn comes."""
        return self._thread.submit(settle, part, self._attempt)

    def close(self) -> None:
        """Lets the batch that is under way end and forgets those that wait."""
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._context.close()

    def _attempt(self, part: Sequence[Planned]) -> Decided:
        if self._dry_run:
            return until_known(lambda: self._rehearse(part))
        return self._decide(part, lambda requests: appointments.book_many(self._context, requests))

    def _rehearse(self, part: Sequence[Planned]) -> Decided:
        connection = self._context.connection()
        with queries.rehearsal(connection):
            return self._decide(part, lambda requests: _ask_until_decided(connection, requests))

    def _decide(self, part: Sequence[Planned], book: Callable[[list[BookingRequest]], list[Verdict]]) -> Decided:
        decided: Decided = {}
        if self._options.create_patients:
            decided |= self._create_patients(part)
        rows = [row for row in part if row.position not in decided]
        if self._options.retry_refused:
            rows = self._past_refusals(rows)
        rows = self._at_their_slots(rows, decided)
        while rows:
            verdicts = book([row.request for row in rows])
            following = []
            for row, verdict in zip(rows, verdicts, strict=True):
                decided[row.position] = _row_verdict(row, verdict)
                if _was_another_refusal(row, verdict):
                    following.append(_next_generation(row, self._options.source))
            rows = following
        return decided

    def _create_patients(self, part: Sequence[Planned]) -> Decided:
        """Creates the patients nobody knows yet; the verdicts are those of rows whose patient cannot be created."""
        connection = self._context.connection()
        known = patient_queries.known(connection, sorted({row.request.patient for row in part}))
        wanted, refused = _new_patients(self._context.settings, part, known)
        if wanted and self._dry_run:
            kernel.save(connection, "patients", wanted)
        elif wanted:
            _save_new(self._context, wanted)
        return refused

    def _past_refusals(self, rows: list[Planned]) -> list[Planned]:
        """Rows with an id of their own at the first key under which no refusal is kept."""
        passed: dict[int, Planned] = {row.position: row for row in rows}
        open_rows = [row for row in rows if row.own_id]
        for _ in range(_LONGEST_CHAIN):
            kept = queries.refused_keys(self._context.connection(), [row.request.key for row in open_rows])
            open_rows = [_next_generation(row, self._options.source) for row in open_rows if row.request.key in kept]
            if not open_rows:
                break
            passed |= {row.position: row for row in open_rows}
        return list(passed.values())

    def _at_their_slots(self, rows: list[Planned], decided: Decided) -> list[Planned]:
        addresses = {row.position: _address(row) for row in rows if row.resource}
        if not addresses:
            return rows
        slots = queries.slots_at(self._context.connection(), sorted(set(addresses.values())))
        found = []
        for row in rows:
            address = addresses.get(row.position)
            if address is None:
                found.append(row)
            elif address in slots:
                found.append(replace(row, request=replace(row.request, place=Place(slot=slots[address]))))
            else:
                decided[row.position] = RowVerdict(row.line, "slot-unknown", sentence("slot-unknown"))
        return found


def settle(part: Sequence[Planned], attempt: Callable[[Sequence[Planned]], Decided]) -> Decided:
    """The verdicts of a batch; one the database refuses as a whole is halved until the row that is wrong stands alone.

    Raises what is nobody's fault: Unavailable and OutcomeUnknown, after which the same rows may be sent again.
    """
    if not part:
        return {}
    try:
        return attempt(part)
    except (InvalidInput, Refused) as problem:
        if len(part) == 1:
            return {part[0].position: refusal(part[0].line, problem)}
    except Unavailable as problem:
        if len(part) == 1 or not _takes_too_long(problem):
            raise
    half = len(part) // 2
    return settle(part[:half], attempt) | settle(part[half:], attempt)


def refusal(line: int, problem: BookcliError) -> RowVerdict:
    """The verdict for a row that was refused by an error; its message holds no value of the row."""
    reason = problem.message if not problem.hint else f"{problem.message} ({problem.hint.rstrip('.')})"
    return RowVerdict(line, problem.code, reason)


def _new_patients(settings: Settings, part: Sequence[Planned], known: set[str]) -> tuple[list[dict[str, Any]], Decided]:
    wanted: dict[str, dict[str, Any]] = {}
    refused: Decided = {}
    for row in part:
        mrn = row.request.patient
        if mrn in known or mrn in wanted:
            continue
        try:
            wanted[mrn] = {**_new_patient(settings, mrn, row.patient or {}), "new": True}
        except InvalidInput as problem:
            refused[row.position] = refusal(row.line, problem)
    return [wanted[mrn] for mrn in sorted(wanted)], refused


def _save_new(context: Context, documents: list[dict[str, Any]]) -> None:
    """Another import may create one of them at the same moment: then the rest are sent again."""
    for _ in range(decisions.MOST_TRIES):
        try:
            until_known(partial(_save_patients, context, documents))
            return
        except InvalidInput as problem:
            if problem.details.get("constraint") != "patient_mrn_key":
                raise
        known = patient_queries.known(context.connection(), [document["mrn"] for document in documents])
        documents = [document for document in documents if document["mrn"] not in known]
        if not documents:
            return
    raise Unavailable("Too many imports create the same patients.", hint="Run the same command again.", code="busy")


def _save_patients(context: Context, documents: list[dict[str, Any]]) -> list[kernel.Saved]:
    return kernel.save(context.connection(), "patients", documents)


def _new_patient(settings: Settings, mrn: str, fields: Mapping[str, str]) -> dict[str, Any]:
    if "name" not in fields:
        raise InvalidInput(
            "There is no patient with that number, and the row has no name to create one.",
            hint="--map patient_name=COLUMN",
            code="patient-unknown",
        )
    return patients.validated(settings, {**fields, "mrn": mrn}, new=True)


def _row_verdict(row: Planned, verdict: Verdict) -> RowVerdict:
    if verdict.won:
        return RowVerdict(row.line, "booked", "", verdict.reference or "")
    if verdict.verdict == "key-reused":
        reason = "A row with that id was booked before with other details; change the appointment instead."
        return RowVerdict(row.line, "key-reused", reason, verdict.reference or "")
    return RowVerdict(row.line, verdict.verdict, sentence(verdict.verdict, verdict.numbers))


def _was_another_refusal(row: Planned, verdict: Verdict) -> bool:
    """Whether the key is used up by the refusal of an earlier version of the row, which has been corrected since."""
    if not row.own_id or row.generation >= _LONGEST_CHAIN:
        return False
    return verdict.verdict == "key-reused" and not verdict.appointment_id


def _next_generation(row: Planned, source: str) -> Planned:
    generation = row.generation + 1
    key = key_of_id(source, row.own_id, generation)
    return replace(row, generation=generation, request=replace(row.request, key=key))


def _ask_until_decided(connection: Connection, requests: Sequence[BookingRequest]) -> list[Verdict]:
    """As `book_many`, but in the transaction that is under way, where nothing may be asked twice after an error."""
    decided: dict[int, Verdict] = {}
    open_positions = list(range(len(requests)))
    while open_positions:
        answers = kernel.book(connection, [requests[position].document() for position in open_positions])
        decided |= dict(zip(open_positions, answers, strict=True))
        open_positions = [position for position in open_positions if decided[position].verdict == "again"]
    return [decided[position] for position in range(len(requests))]


def _address(row: Planned) -> queries.SlotAddress:
    place = row.request.place
    assert place.site and place.start
    return place.site, row.resource, place.start


def _takes_too_long(problem: Unavailable) -> bool:
    return problem.code == "busy" or problem.details.get("sqlstate") in _TOO_MUCH_AT_ONCE
