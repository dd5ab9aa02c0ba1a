"""What is wrong with a database, for people."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as schema.sql says; the kind `unchecked` says what could not be compared, and why."""

    kind: str
    name: str
    problem: str
