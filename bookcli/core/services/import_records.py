"""Imports of sites, tests, resources, schedules and patients: every row goes through the door a desk uses.

What must stay true: the same row twice changes nothing, because each is saved under its code, hours or number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..config import Settings
from ..context import Context
from ..db import imports as queries
from ..db import kernel
from ..db import patients as patient_queries
from ..errors import InvalidInput, NotFound, Refused
from ..model.imports import REQUIRED, RowVerdict
from . import catalog, patients, schedules
from .attempts import until_known
from .import_lanes import refusal

Numbered = tuple[int, Mapping[str, str]]
"""The line of a row and its fields."""

_REMEMBERED = 10_000


class RecordImporter:
    """Saves rows of the catalog one by one. A file that names the same record on many lines saves it once."""

    def __init__(self, context: Context, noun: str, *, dry_run: bool) -> None:
        self._context = context
        self._dry_run = dry_run
        self._required = REQUIRED[noun]
        self._save: Callable[[Context, Mapping[str, str]], str] = _SAVE[noun]
        self._saved: dict[tuple[tuple[str, str], ...], str] = {}

    def decide(self, rows: Sequence[Numbered]) -> list[RowVerdict]:
        """A verdict per row, in order. Raises Unavailable and OutcomeUnknown."""
        return [self._one(line, fields) for line, fields in rows]

    def _one(self, line: int, fields: Mapping[str, str]) -> RowVerdict:
        try:
            given = self._given(fields)
            same = tuple(sorted(given.items()))
            verdict = "unchanged" if same in self._saved else self._saved_as(given)
        except (InvalidInput, NotFound, Refused) as problem:
            return refusal(line, problem)
        if len(self._saved) < _REMEMBERED:
            self._saved[same] = verdict
        return RowVerdict(line, verdict)

    def _given(self, fields: Mapping[str, str]) -> dict[str, str]:
        """The fields that are filled in; an empty cell changes nothing."""
        given = {name: text for name, text in fields.items() if text.strip()}
        for name in self._required:
            if name not in given:
                raise missing(name)
        return given

    def _saved_as(self, given: dict[str, str]) -> str:
        if not self._dry_run:
            return self._save(self._context, given)
        with queries.rehearsal(self._context.connection()):
            return self._save(self._context, given)


class PatientImporter:
    """Creates patients and changes the fields that are filled in, a batch in one call."""

    def __init__(self, context: Context, *, dry_run: bool) -> None:
        self._context = context
        self._dry_run = dry_run

    def decide(self, rows: Sequence[Numbered]) -> list[RowVerdict]:
        """A verdict per row, in order. Raises Unavailable and OutcomeUnknown."""
        decided: dict[int, RowVerdict] = {}
        documents: list[tuple[int, int, dict[str, Any]]] = []
        for position, (line, fields) in enumerate(rows):
            try:
                documents.append((position, line, _patient(self._context.settings, fields)))
            except InvalidInput as problem:
                decided[position] = refusal(line, problem)
        decided |= self._new_and_odd(documents)
        decided |= self._settle([document for document in documents if document[0] not in decided])
        return [decided[position] for position in range(len(rows))]

    def _new_and_odd(self, documents: list[tuple[int, int, dict[str, Any]]]) -> dict[int, RowVerdict]:
        """Refusals of rows whose number has not the clinic's format, unless somebody has that number already."""
        odd: list[tuple[int, str, RowVerdict]] = []
        for position, line, document in documents:
            try:
                patients.new_number(self._context.settings, document["mrn"])
            except InvalidInput as problem:
                odd.append((position, document["mrn"], refusal(line, problem)))
        known = patient_queries.known(self._context.connection(), [mrn for _, mrn, _ in odd]) if odd else set()
        return {position: verdict for position, mrn, verdict in odd if mrn not in known}

    def _settle(self, documents: list[tuple[int, int, dict[str, Any]]]) -> dict[int, RowVerdict]:
        if not documents:
            return {}
        try:
            return self._save(documents)
        except InvalidInput as problem:
            if len(documents) == 1:
                position, line, _ = documents[0]
                return {position: refusal(line, problem)}
        half = len(documents) // 2
        return self._settle(documents[:half]) | self._settle(documents[half:])

    def _save(self, documents: list[tuple[int, int, dict[str, Any]]]) -> dict[int, RowVerdict]:
        connection = self._context.connection()
        if not self._dry_run:
            return _saved_in_turn(
                documents, lambda rows: until_known(lambda: kernel.save(connection, "patients", rows))
            )

        def rehearse() -> dict[int, RowVerdict]:
            with queries.rehearsal(connection):
                return _saved_in_turn(documents, lambda rows: kernel.save(connection, "patients", rows))

        return until_known(rehearse)


def _saved_in_turn(
    documents: list[tuple[int, int, dict[str, Any]]], save: Callable[[list[dict[str, Any]]], list[kernel.Saved]]
) -> dict[int, RowVerdict]:
    """A second row for a number waits for the first."""
    decided: dict[int, RowVerdict] = {}
    while documents:
        waiting = []
        for document, saved in zip(documents, save([row for *_, row in documents]), strict=True):
            if saved.verdict == "again":
                waiting.append(document)
            else:
                decided[document[0]] = _patient_verdict(document[1], saved.verdict)
        documents = waiting
    return decided


def missing(name: str) -> InvalidInput:
    """The refusal of a row in which a field is empty that must not be."""
    return InvalidInput(f"The row has no {name}.", hint=f"fill it in, or --map {name}=COLUMN", code=f"{name}-missing")


def _patient(settings: Settings, fields: Mapping[str, str]) -> dict[str, Any]:
    given = {name: text for name, text in fields.items() if text.strip()}
    if "mrn" not in given:
        raise missing("mrn")
    return patients.validated(settings, given)


def _patient_verdict(line: int, verdict: str) -> RowVerdict:
    if verdict == "name-missing":
        return RowVerdict(line, verdict, "There is no patient with that number, and the row has no name to create one.")
    return RowVerdict(line, verdict)


def _add_hours(context: Context, given: Mapping[str, str]) -> str:
    return "created" if schedules.add(context, given) else "unchanged"


_SAVE = {
    "sites": catalog.save_site,
    "tests": catalog.save_test,
    "resources": catalog.save_resource,
    "schedules": _add_hours,
}
