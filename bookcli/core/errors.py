"""One error tree for the whole product; a class is one situation a user can be in.

What must stay true: a message never carries patient data, and says what happened in the user's words.
The front end picks the exit code from the class, the machine-readable name from `code`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class BookcliError(Exception):
    """An expected failure: one sentence, and a hint about what to do next.

    `code` is stable and kebab-case; `details` holds JSON-ready numbers and codes behind the sentence.
    """

    code = "error"

    def __init__(
        self, message: str, *, hint: str = "", code: str = "", details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.code = code or self.code
        self.details: dict[str, Any] = dict(details or {})


class InvalidInput(BookcliError):
    """What was typed, or what a file holds, cannot be understood or is not allowed as a value."""

    code = "invalid-input"


class Refused(BookcliError):
    """The kernel refused by a rule; `code` is the verdict (`slot-full`, `patient-overlap`, …)."""

    code = "refused"


class NotFound(BookcliError):
    """The named site, test, patient, reference, file or row does not exist."""

    code = "not-found"


class NotAllowed(BookcliError):
    """Not signed in, or signed in without the permission."""

    code = "not-allowed"


class Unavailable(BookcliError):
    """A part of the system is away; nothing was changed and trying again later is right."""

    code = "unavailable"


OUTAGES = frozenset({"database-away", "server-failed", "server-starting"})
"""Codes of Unavailable that pass by themselves; a busy slot or a missing schema does not wait in a queue."""


class OutcomeUnknown(BookcliError):
    """The connection died while committing and the request key could not be asked again yet."""

    code = "outcome-unknown"
