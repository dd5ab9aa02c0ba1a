"""Tells what became of a request: booked, held, refused with what is free nearby, pending, or unknown.

What must stay true: booked is only said after a clean commit, and whenever that is not known the request key is said.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ..core.errors import BookcliError, NotFound, OutcomeUnknown, Refused, Unavailable
from ..core.model.appointments import Outcome, sentence
from ..core.services import appointments
from . import diagnostics, views
from .command import Desk

if TYPE_CHECKING:
    from .output import Record

    Records = Sequence[Record]


@contextlib.contextmanager
def asked(desk: Desk, key: uuid.UUID) -> Iterator[None]:
    """From before a request is sent until its answer is on the screen: says its key if the answer is not learnt."""
    try:
        desk.talk.detail(f"The request key is {key}.")
        yield
    except OutcomeUnknown as unknown:
        if "request_key" in unknown.details:
            raise
        if desk.output.format == "json":
            _show(desk, "unknown", None, key, [], [], "")
        unknown.hint = f"Give the same command again with --key {key}; it never books twice."
        unknown.details["request_key"] = str(key)
        raise
    except NotFound as problem:
        if problem.code == "slot-unknown" and not problem.hint:
            problem.hint = "bookcli slots shows what there is for a test."
        raise
    except KeyboardInterrupt:
        diagnostics.say(f"To learn what became of it, give the same command again with --key {key}.")
        raise


def tell(desk: Desk, outcome: Outcome, another: str, done: str = "") -> None:
    """Prints the outcome; `another` is the command for an alternative, with `{slot}`, and perhaps `{test}`, in it.

    Raises Refused, with the alternatives as its hint, when nothing was booked; Unavailable when the request is kept
    until the database answers, OutcomeUnknown when it is kept because nobody knows yet whether it was booked.
    """
    if outcome.outcome in ("pending", "unknown"):
        if desk.output.format == "json":
            _show(desk, outcome.outcome, None, outcome.request_key, [], [], "")
        raise _kept(outcome)
    records = [views.appointment(verdict) for verdict in outcome.verdicts if verdict.won]
    free = [views.slot(slot) for slot in outcome.alternatives]
    if outcome.outcome == "refused":
        if desk.output.format == "json":
            _show(desk, "refused", outcome.reason, outcome.request_key, [], free, "")
        raise _refusal(outcome, free, another)
    said = views.booked(records)
    _show(desk, outcome.outcome, None, outcome.request_key, records, free, _renamed(said, done))
    _warn_of_the_same(desk, outcome)
    if outcome.outcome == "held":
        desk.talk.suggest(*(f"bookcli confirm {record['reference']}" for record in records))
    else:
        desk.talk.suggest(f"bookcli show {records[0]['reference']}", f"bookcli cancel {records[0]['reference']}")


def _warn_of_the_same(desk: Desk, outcome: Outcome) -> None:
    """It stands whatever comes of this, so nothing that fails is told; for a script nobody's record is looked at."""
    if desk.output.for_people and not desk.talk.quiet:
        with contextlib.suppress(BookcliError):
            desk.talk.note(appointments.also_ahead(desk.context, [one for one in outcome.verdicts if one.won]))


def _kept(outcome: Outcome) -> BookcliError:
    details = {"request_key": str(outcome.request_key)}
    if outcome.outcome == "pending":
        return Unavailable(
            "PENDING — not booked. The database does not answer; the request is kept here and sent when it does.",
            hint="Tell the patient: it is not booked yet, and you will call when it is or cannot be.\n"
            f"See it: bookcli pending list (request key {outcome.request_key})",
            code="pending",
            details=details,
        )
    return OutcomeUnknown(
        "UNKNOWN — perhaps booked, perhaps not. The answer was lost; the request is kept here and asked again.",
        hint="Tell the patient: you will call when it is known. Do not book it a second time.\n"
        f"See it: bookcli pending list (request key {outcome.request_key})",
        details=details,
    )


def _renamed(said: str, done: str) -> str:
    return done + said.removeprefix("Booked") if done and said.startswith("Booked") else said


def _show(
    desk: Desk, kind: str, reason: str | None, key: uuid.UUID, records: Records, free: Records, said: str
) -> None:
    document = {"outcome": kind, "reason": reason, "request_key": str(key), "appointments": [], "alternatives": [*free]}
    desk.output.show(views.APPOINTMENTS, records, sentence=said, extra=document)


def _refusal(outcome: Outcome, free: Sequence[Record], another: str) -> Refused:
    # Not str.format: what was typed is in the command, and may hold braces.
    commands = [another.replace("{slot}", str(slot["slot"])).replace("{test}", slot["test"]) for slot in free]
    lines = [f"  {views.when(slot)}, {views.place(slot)}: {line}" for slot, line in zip(free, commands, strict=True)]
    return Refused(
        sentence(outcome.reason or "refused", outcome.numbers),
        hint="\n".join(["Free nearby:", *lines] if lines else []),
        code=outcome.reason or "refused",
        details={**outcome.numbers, "request_key": str(outcome.request_key)},
    )
