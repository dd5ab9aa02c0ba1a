"""Compares what the desks were told with what the database holds, and says it in one row of a table.

What must stay true: nothing the database says about itself is believed; every promise in a journal is looked up.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bookcli.core.config import Settings, paths
from bookcli.core.context import Context
from bookcli.core.db import engine, kernel
from bookcli.core.services import pending
from tests.clinic import sign_in
from tests.faults.load import Entry, Load, ask
from tests.faults.programs import wait_until

_BOOKINGS = """
SELECT request_key::text, app.reference_of(appointment_id), coalesce(active, false)
FROM app.request LEFT JOIN app.appointment USING (appointment_id) WHERE verdict = 'booked'
"""
_OVERSOLD = """
SELECT count(*) FROM app.slot JOIN (
  SELECT u.slot_id, count(*) AS taken FROM app.appointment CROSS JOIN LATERAL unnest(slots) u (slot_id)
  WHERE active GROUP BY 1) t USING (slot_id) WHERE taken > capacity
"""
COLUMNS = {
    "fault": 44, "acked": 6, "lost": 5, "sold twice": 10, "shown, not booked": 17, "booked, not shown": 17,
    "refused": 7, "pending": 7, "ambiguous": 9, "unresolved": 10, "gap s": 6, "seed": 10,
}  # fmt: skip


@dataclass
class Findings:
    """Counts, keys where something is wrong, and `gap`: the longest time in seconds in which nobody was served."""

    seed: int
    acknowledged: int = 0
    refused: int = 0
    pending: int = 0
    ambiguous: int = 0
    gap: float = 0.0
    sold_twice: int = 0
    lost: list[str] = field(default_factory=list)
    shown_not_booked: list[str] = field(default_factory=list)
    booked_not_shown: list[str] = field(default_factory=list)
    unresolved: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    violated: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether every promise was kept; what was not is shown."""
        broken = (self.lost, self.shown_not_booked, self.booked_not_shown, self.unresolved, self.failed, self.violated)
        assert (*broken, self.sold_twice) == ([], [], [], [], [], [], 0), self
        return True

    def row(self, fault: str) -> str:
        """One line of the table whose head is `head()`."""
        cells: Sequence[Any] = (
            *(fault, self.acknowledged, len(self.lost), self.sold_twice),
            *(len(self.shown_not_booked), len(self.booked_not_shown)),
            *(self.refused, self.pending, self.ambiguous, len(self.unresolved), f"{self.gap:.1f}", self.seed),
        )
        return _line(cells)


def head() -> str:
    """The names of the columns."""
    return _line(list(COLUMNS))


def _line(cells: Sequence[Any]) -> str:
    first, *others = zip(cells, COLUMNS.values(), strict=True)
    return " | ".join([f"{first[0]:<{first[1]}}", *(f"{cell:>{width}}" for cell, width in others)])


def finish(load: Load, dsn: str, more: int = 200) -> Findings:
    """Lets the desks book so much more, which shows that all is well again, sends them home and judges."""
    load.wait_for_bookings(more)
    load.end()
    return judge(load, dsn)


def judge(load: Load, dsn: str) -> Findings:
    """Lets every desk send what it has kept, then looks every promise up. The desks must have ended."""
    entries = load.entries()
    findings = Findings(load.seed, gap=longest_gap(entries))
    findings.acknowledged, findings.refused = _count(entries, "acknowledged"), _count(entries, "refused")
    findings.pending, findings.ambiguous = _count(entries, "pending"), _count(entries, "unknown")
    findings.failed = [entry.reason for entry in entries if entry.answer == "failed"]
    promised = [entry for entry in entries if entry.answer == "acknowledged"]
    promised += _resolved(findings, [entry for entry in entries if entry.answer in {"pending", "unknown"}], load, dsn)
    with contextlib.closing(engine.connect(dsn)) as connection:
        _compare(findings, promised, entries, connection)
        findings.violated = [rule for rule, violations in kernel.verify(connection) if violations]
        if connection.execute("SELECT FROM pg_locks WHERE locktype = 'advisory'").fetchall():
            findings.violated.append("no lock is left when all desks have gone home")
    return findings


def longest_gap(entries: Sequence[Entry]) -> float:
    """Seconds between two acknowledgements that followed each other, of any desk."""
    moments = [entry.answered for entry in entries if entry.answer == "acknowledged"]
    return max((later - earlier for earlier, later in itertools.pairwise(moments)), default=0.0)


def _count(entries: Sequence[Entry], answer: str) -> int:
    return sum(entry.answer == answer for entry in entries)


def _resolved(findings: Findings, open_entries: Sequence[Entry], load: Load, dsn: str) -> list[Entry]:
    """What was pending or unknown and has ended as a booking."""
    ends = {key: end for home in load.homes for key, end in _sent(home, dsn).items()}
    booked = []
    with Context(Settings(database_url=dsn)) as context:
        sign_in(context)
        for entry in open_entries:
            outcome, reference = ends.get(entry.key, ("lost", "")) if entry.answer == "pending" else ("", "")
            if entry.answer == "unknown":
                # Kept or not, its own key tells; of what was kept the spool must say the same.
                again = ask(context, entry.request)
                outcome, reference = {"acknowledged": "booked"}.get(again.answer, again.answer), again.reference
                if ends.get(entry.key, (outcome, reference)) != (outcome, reference):
                    findings.unresolved.append(entry.key)
            if outcome == "booked":
                booked.append(replace(entry, answer="acknowledged", reference=reference))
            elif outcome not in {"refused", "expired"}:
                findings.unresolved.append(entry.key)
    return booked


def _sent(home: Path, dsn: str) -> dict[str, tuple[str, str]]:
    """(outcome, reference) of everything that a desk has kept, by key, once the desk has sent what waited."""
    with Context(Settings(database_url=dsn), paths({"BOOKCLI_HOME": str(home)})) as desk:
        sign_in(desk)
        wait_until(lambda: pending.replay(desk).waiting == 0, 60, "what was kept is sent")
        return {
            str(item.name.key): (item.outcome, item.ended.references[0] if item.ended and item.ended.references else "")
            for item in pending.items(desk)
        }


def _compare(
    findings: Findings, promised: Sequence[Entry], entries: Sequence[Entry], connection: engine.Connection
) -> None:
    with connection.transaction():
        connection.execute("SET LOCAL statement_timeout = 0")
        bookings = {key: (reference, active) for key, reference, active in connection.execute(_BOOKINGS.encode())}
        (findings.sold_twice,) = connection.execute(_OVERSOLD.encode()).fetchone() or (0,)
    findings.lost = [entry.key for entry in promised if entry.key not in bookings]
    findings.shown_not_booked = [
        entry.key for entry in promised if bookings.get(entry.key, (entry.reference, True)) != (entry.reference, True)
    ]
    shown = {entry.key for entry in promised}
    findings.booked_not_shown = [entry.key for entry in entries if entry.key in bookings.keys() - shown]
