"""Reads of patients; whoever is found by the number of a merged record is the person who survived it.

What must stay true: each look at what a record says is written down by the function that answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..model.patients import Patient, Wanted
from .engine import Connection
from .kernel import answers


def look_at(connection: Connection, mrn: str) -> Patient | None:
    """The record with exactly this number, merged or not."""
    found = answers(connection, "look_at_patient", mrn)
    return _patient(found[0]) if found else None


def survivor_of(connection: Connection, mrn: str) -> tuple[str, str | None] | None:
    """(number, the number it was merged into or None), nothing else about the patient; None when nobody has it."""
    found = answers(connection, "survivor_of", mrn)
    return (found[0]["number"], found[0]["merged_into"]) if found else None


def find(connection: Connection, wanted: Wanted, most: int) -> list[Patient]:
    """Who fits: the exact number first, then by name."""
    words, births = list(wanted.words), list(wanted.birth_dates)
    return [
        _patient(row) for row in answers(connection, "find_patients", wanted.mrn, wanted.digits, words, births, most)
    ]


def known(connection: Connection, mrns: Sequence[str]) -> set[str]:
    """Those of `mrns` that somebody has."""
    return {row["known_numbers"] for row in answers(connection, "known_numbers", list(mrns))}


def _patient(row: dict[str, Any]) -> Patient:
    return Patient(**{name: value for name, value in row.items() if name != "patient_id"})
