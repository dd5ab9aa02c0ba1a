"""Reads of the audit; what was done is found through ids, because nothing in it says a name.

What must stay true: whoever asks about one patient is audited too.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

from ..model.audit import Entry, Filter
from .engine import Connection
from .exports import STEP
from .kernel import answers

_HIGHEST = 2**63 - 1


def entries(connection: Connection, wanted: dict[str, Any], most: int) -> list[Entry]:
    """The newest rows that fit, newest first; `wanted` is as `conditions` makes it."""
    return [Entry(**row) for row in answers(connection, "audit_entries", json.dumps(wanted), 0, _HIGHEST, most)]


def every(connection: Connection, wanted: dict[str, Any]) -> Iterator[list[Entry]]:
    """All rows that fit, oldest first, in steps."""
    (found,) = answers(connection, "audit_highest")
    for start in range(0, found["audit_highest"], STEP):
        step = answers(connection, "audit_entries", json.dumps(wanted), start, start + STEP, STEP)
        yield [Entry(**row) for row in reversed(step)]


def entry(connection: Connection, audit_id: int) -> Entry | None:
    """One row, with the numbers of all patients a look was at."""
    found = answers(connection, "audit_entries", json.dumps({"audit_id": audit_id}))
    if not found:
        return None
    seen = (found[0]["after"] or {}).get("patients", [])
    numbers = answers(connection, "numbers_of", seen) if seen else []
    return Entry(**found[0], patients=tuple(row["numbers_of"] for row in numbers))


def ask(connection: Connection, mrn: str) -> list[int]:
    """The ids of all records of the person a number means, merged ones too; none when nobody has it. Audited."""
    (found,) = answers(connection, "ask_audit", mrn)
    return list(found["ask_audit"])


def conditions(wanted: Filter, *, patients: list[int] | None, appointment: int | None) -> dict[str, Any]:
    """What `app.audit_entries` takes: only what is asked for."""
    first = datetime.combine(wanted.first, time(), UTC) if wanted.first else None
    until = datetime.combine(wanted.last + timedelta(days=1), time(), UTC) if wanted.last else None
    asked = {
        "patients": patients,
        "appointment": appointment,
        "actor": wanted.actor,
        "action": wanted.action,
        "since": first.isoformat() if first else None,
        "until": until.isoformat() if until else None,
    }
    return {name: value for name, value in asked.items() if value not in (None, "")}
