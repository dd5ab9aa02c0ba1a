"""What an import reads for each noun and what it says about each row; a verdict never repeats what a row holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

NOUNS = ("sites", "tests", "resources", "schedules", "patients", "appointments")

FIELDS: dict[str, tuple[str, ...]] = {
    "sites": ("code", "name", "zone", "phone", "active", "quiet", "names_test", "offer_minutes"),
    "tests": (
        "code", "name", "duration_minutes", "buffer_before_minutes", "buffer_after_minutes", "lead_minutes",
        "window_days", "min_interval_days", "preparation", "active", "remind_before", "fasting",
    ),
    "resources": ("site", "code", "name", "tests", "active"),
    "schedules": (
        "site", "resource", "weekdays", "opens", "closes", "slot_minutes", "capacity", "valid_from", "valid_until",
    ),
    "patients": ("mrn", "name", "birth_date", "sex", "phone", "email", "language", "channel", "consent", "note"),
    "appointments": (
        "id", "patient", "test", "site", "resource", "slot", "start", "day", "status", "note",
        "patient_name", "birth_date", "sex", "phone", "email",
    ),
}  # fmt: skip
"""The fields of a row of each noun, in the order an export writes them."""

REQUIRED: dict[str, tuple[str, ...]] = {
    "sites": (),
    "tests": (),
    "resources": ("site",),
    "schedules": ("site", "resource", "weekdays", "opens", "closes", "slot_minutes"),
    "patients": ("mrn",),
    "appointments": ("patient", "test"),
}
"""The fields without which no row of a noun can be understood; sites, tests and resources need a code or a name."""

REPORT_COLUMNS = ("bookcli_line", "bookcli_verdict", "bookcli_reason", "bookcli_reference")

MOST_NAMED = 10
APPLIED = frozenset({"booked", "created", "changed", "unchanged"})

HISTORY_STATUSES = frozenset({"booked", "arrived", "checked-in", "fulfilled", "noshow", "cancelled"})
"""How a past appointment may have ended; a hold or a waiting list is nothing that can be imported."""

_PROBLEMS = {
    "too-few-fields": "The row has fewer fields than the header.",
    "too-many-fields": "The row has more fields than the header.",
    "unclosed-quote": "A quote opens in this row and is never closed, so what follows could not be told apart.",
    "broken-quote": "There is text beside a quoted field.",
    "field-too-large": "A field is far too long.",
    "broken-json": "The line is not JSON.",
    "not-an-object": "The line is not a JSON object.",
    "not-a-scalar": "A value is a list or an object.",
    "duplicate-key": "The object names a key twice.",
}


@dataclass(frozen=True, slots=True)
class RowVerdict:
    """What became of the row that starts on `line` of the file; `reason` is one sentence, empty when it was applied."""

    line: int
    verdict: str
    reason: str = ""
    reference: str = ""

    @property
    def applied(self) -> bool:
        """Whether the row is now in the database, by this import or an earlier one."""
        return self.verdict in APPLIED


@dataclass
class Tally:
    """How far an import is: rows with a verdict, how many have each, and about how many there are if that is known.

    `first_refused` are the first `MOST_NAMED` rows that were not applied.
    """

    rows: int = 0
    expected: int | None = None
    verdicts: Counter[str] = field(default_factory=Counter)
    first_refused: list[RowVerdict] = field(default_factory=list)

    def count(self, verdict: RowVerdict) -> None:
        """Adds one row."""
        self.rows += 1
        self.verdicts[verdict.verdict] += 1
        if not verdict.applied and len(self.first_refused) < MOST_NAMED:
            self.first_refused.append(verdict)

    @property
    def refused(self) -> int:
        """Rows that were not applied."""
        return sum(count for verdict, count in self.verdicts.items() if verdict not in APPLIED)


def unreadable(line: int, problem: str) -> RowVerdict:
    """The verdict on a row of which only a part could be read; `problem` is the code of `formats.rows.Row`."""
    return RowVerdict(line, problem, _PROBLEMS.get(problem, "The row cannot be read."))
