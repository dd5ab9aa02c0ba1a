"""Appointments and the kernel's answers about them; a verdict is a code with numbers, the sentence is made here."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from .. import clock
from .slots import Slot

WON = frozenset({"booked", "held", "rescheduled"})
UNKNOWN_THINGS = frozenset(
    {"patient-unknown", "test-unknown", "site-unknown", "slot-unknown", "reference-unknown", "resource-unknown"}
)
EARLY = timedelta(hours=1)
"""How long before its time a test that is called done is more likely another one."""
CANCELLATION_REASONS = {
    "pat": "Patient",
    "pat-crs": "Patient: cancelled via automated reminder system",
    "pat-dec": "Patient: deceased",
    "pat-fb": "Patient: feeling better",
    "pat-lt": "Patient: lack of transportation",
    "pat-mt": "Patient: member terminated",
    "pat-mv": "Patient: moved",
    "pat-preg": "Patient: pregnant",
    "pat-swl": "Patient: scheduled from wait list",
    "pat-uwo": "Patient: unhappy, changed provider",
    "prov": "Provider",
    "prov-pers": "Provider: personal",
    "prov-dch": "Provider: discharged",
    "prov-edu": "Provider: educational or meeting",
    "prov-hosp": "Provider: hospitalized",
    "prov-labs": "Provider: labs out of acceptable range",
    "prov-mss": "Provider: MRI screening form marked do not proceed",
    "prov-onc": "Provider: oncology treatment plan changes",
    "maint": "Equipment maintenance or repair",
    "meds-inc": "Prep or meds incomplete",
    "other": "Other",
    "oth-cms": "Other: CMS therapy cap service not authorized",
    "oth-err": "Other: error",
    "oth-fin": "Other: financial",
    "oth-iv": "Other: improper IV access or infiltrate IV",
    "oth-int": "Other: no interpreter available",
    "oth-mu": "Other: prep or meds results unavailable",
    "oth-room": "Other: room or resource maintenance",
    "oth-oerr": "Other: schedule order error",
    "oth-swie": "Other: silent walk-in error",
    "oth-weath": "Other: weather",
}
"""HL7 FHIR R4 value set `appointment-cancellation-reason`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The kernel's answer to one request; the fields and their order are those of `app.verdict` in schema.sql.

    For a refusal the appointment's fields are None. `remaining` and `version` are of the slot it starts in.
    """

    ord: int
    request_key: uuid.UUID | None
    verdict: str
    numbers: Mapping[str, Any] | None
    appointment_id: int | None
    reference: str | None
    status: str | None
    held_until: datetime | None
    patient: str | None
    patient_name: str | None
    test: str | None
    test_name: str | None
    preparation: str | None
    site: str | None
    site_name: str | None
    zone: str | None
    resource: str | None
    slot_id: int | None
    slots: list[int] | None
    starts_at: datetime | None
    ends_at: datetime | None
    capacity: int | None
    remaining: int | None
    version: int | None

    @property
    def won(self) -> bool:
        """Whether the appointment stands: booked, held or rescheduled."""
        return self.verdict in WON


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a person is told: `outcome` is booked, held, refused, pending or unknown (design.md §5).

    `reason` is the first refusing verdict's code, or None. `alternatives` are the nearest free slots.
    """

    outcome: str
    reason: str | None
    request_key: uuid.UUID
    verdicts: tuple[Verdict, ...] = ()
    alternatives: tuple[Slot, ...] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)


_SENTENCES = {
    "slot-full": "That slot is full ({booked} of {capacity} taken).",
    "slot-closed": "That slot is closed.",
    "slot-past": "That slot has already begun.",
    "slot-unknown": "There is no such slot.",
    "patient-unknown": "There is no patient with that number.",
    "test-unknown": "There is no such test.",
    "site-unknown": "There is no such site.",
    "resource-unknown": "There is no such resource.",
    "reference-unknown": "There is no appointment with that reference.",
    "patient-overlap": "The patient already has an appointment at that time ({other}).",
    "too-soon": "That test must be booked at least {lead_minutes} minutes ahead.",
    "too-far-ahead": "That test can be booked at most {window_days} days ahead.",
    "too-close-to-last": (
        "The patient has this test too close to it ({other}): {min_interval_days} days must lie between."
    ),
    "not-offered": "That resource does not do this test.",
    "not-enough-room": "The test takes {duration_minutes} minutes, and the slots that follow do not allow it.",
    "changed-since": "Somebody has changed that record meanwhile.",
    "cancelled": "It was booked under that request key, and has been cancelled since.",
    "key-reused": "That request key was already used for another request.",
    "hold-expired": "The hold has expired and its place was given back.",
    "wrong-status": "That is not possible for an appointment that is {status}.",
    "not-yet": "It is too early for that: the appointment is on a later day, or nobody can have missed it yet.",
    "not-everybody": "Nothing was closed: {many} of those who are booked then cannot be moved.",
    "day-over": "The day of the appointment is over: check in, or note that nobody came.",
    "nothing-to-undo": "There is nothing to undo: nothing of yours in the last minutes that nobody has changed since.",
    "too-late": "That was more than ten minutes ago and cannot be undone.",
    "not-yours": "Somebody else holds that place.",
    "visit-refused": "Not booked, because another appointment of the visit was refused.",
    "capacity-below-booked": "{booked} are already booked in that slot.",
    "out-of-order": "The tests of the visit would not follow one another in the given order.",
    "forbidden": "You may not book that: it is at another site than yours, or in the past.",
    "busy": "Too many desks want that place at the same moment.",
}


class _Blanks(dict[str, Any]):
    def __missing__(self, name: str) -> str:
        return "?"


def sentence(code: str, numbers: Mapping[str, Any] | None = None) -> str:
    """The sentence for a verdict code, with its numbers filled in; it holds no patient data."""
    return (
        _SENTENCES.get(code, f"Refused: {code}.")
        .format_map(_Blanks(numbers or {}))
        .replace(" (?)", "")
        .replace(" (? of ? taken)", "")
    )


def only_begins(facts: Mapping[str, Any]) -> str:
    """What to say before a test is called done long before its time, as nothing but its day stands in the way of that.

    Nothing when it is about to begin, or cannot be done now anyway: then the kernel says why.
    """
    if facts["status"] not in ("arrived", "checked-in") or facts["starts_at"] - clock.now() <= EARLY:
        return ""
    return f"It only begins on {clock.to_local(facts['starts_at'], facts['zone']):%a %d %b at %H:%M}."


def already(
    theirs: Iterable[Mapping[str, Any]], tests: Collection[str | None], but: Collection[str | None] = ()
) -> str:
    """A sentence about what a patient has ahead of the same tests, besides the references in `but`; or nothing.

    `theirs` are rows of `app.appointment_facts`, ascending.
    """
    ahead = [
        one
        for one in theirs
        if one["active"] and one["ends_at"] > clock.now() and one["test"] in tests and one["reference"] not in but
    ]
    if not ahead:
        return ""
    first, more = ahead[0], f", and {len(ahead) - 1} more" if len(ahead) > 1 else ""
    begins = f"{clock.to_local(first['starts_at'], first['zone']):%a %d %b %Y %H:%M}"
    return f"The patient already has {first['test_name']} on {begins} at {first['site']} ({first['reference']}){more}."


def why(reason: str) -> str:
    """The sentence of a verdict; its numbers were not kept, and a sentence that needs them is not used."""
    words = sentence(reason)
    return reason.replace("-", " ") if "?" in words or words.startswith("Refused:") else words
