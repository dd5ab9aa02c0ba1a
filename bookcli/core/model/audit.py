"""What the audit holds and what its chain proves; ids, codes and field names only, never what a field said.

What must stay true: `Proof.intact` is the whole answer; everything else explains it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from ..errors import InvalidInput

PROBLEMS = {
    "edited": "The row says something else than when it was sealed.",
    "deleted": "The row is gone.",
    "reordered": "The row stands where another was sealed.",
    "re-inserted": "The row is gone, and one with the same content has another number.",
    "inserted": "A row was put in among sealed ones.",
    "seal-missing": "Seals are gone from the middle of the chain.",
    "cut": "The end of the chain is gone.",
    "forged": "The chain is sound but is not the one whose head was kept.",
}
"""What `app.verify_audit` finds, in words."""

_HEAD = re.compile(r"(\d{1,18}):([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row: who did what, when, from where, to whom. `at` is aware; `patient` and `patients` are numbers (MRN).

    `actor` is the role a machine logged in as, `staff` the person whose session it was, empty where there was none.
    `seal` and `hash` (hex) are None until the row is sealed. `patients` is filled by `show` alone, for a look at
    several; until then `after` has their ids.
    """

    audit_id: int
    at: datetime
    actor: str
    staff: str
    source: str
    action: str
    patient: str | None
    reference: str | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    seal: int | None
    hash: str | None
    patients: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """Which rows; empty means all. Days are UTC, both included. A patient's number finds merged records' rows too.

    `action` is the beginning of one: `look` finds every look. `actor` is a person or a machine's role.
    """

    patient: str = ""
    reference: str = ""
    actor: str = ""
    action: str = ""
    first: date | None = None
    last: date | None = None


@dataclass(frozen=True, slots=True)
class Proof:
    """What `app.verify_audit` found: counts, the first seal that does not fit and why, and the head of the chain."""

    sealed: int
    unsealed: int
    broken: int
    first_broken: int | None
    problem: str | None
    audit_id: int | None
    head_number: int | None
    head_hash: str | None

    @property
    def intact(self) -> bool:
        """Whether nothing was altered since it was sealed."""
        return self.problem is None

    @property
    def head(self) -> str:
        """`NUMBER:HASH` to keep where nobody who can write this database can write; empty without a seal."""
        return f"{self.head_number}:{self.head_hash}" if self.head_number else ""


def parse_head(text: str) -> tuple[int, str] | None:
    """The seal number and hash of a head that was kept; None for nothing. Raises InvalidInput `head-invalid`."""
    if not text:
        return None
    found = _HEAD.fullmatch(text.strip().lower())
    if found is None or not int(found[1]):
        raise InvalidInput("That is not a head.", hint="It is NUMBER:HASH as verify prints it.", code="head-invalid")
    return int(found[1]), found[2]
