"""Book, hold, confirm, visit, reschedule, cancel and the status of the day.

What must stay true: a request key is made before the first attempt and kept through every retry, so that
whatever happens to a connection, one request makes at most one booking and its outcome can be asked again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from ..context import Context
from ..db import appointments as appointment_queries
from ..db import kernel
from ..errors import InvalidInput, NotFound, Refused
from ..model.appointments import CANCELLATION_REASONS, UNKNOWN_THINGS, Outcome, Verdict, already, sentence
from ..model.pending import booking
from ..model.pending import visit as as_visit
from ..model.references import appointment_id_of
from ..model.requests import BookingRequest
from ..model.text import clean_note
from . import availability_changes, decisions, pending
from .attempts import until_known

HOLD_SECONDS = 300
AS_IT_WAS = "Nothing was kept: the appointment is as it was. Note it down and do it again when the database answers."
_NO_HOLD = "Nothing was kept: a hold promises a place for minutes. bookcli book keeps the request until then."


def book(context: Context, request: BookingRequest) -> Outcome:
    """Books one appointment, or says why not and what is free nearby.

    While the database is away the request is kept at this desk and the outcome is `pending`; when the connection died
    while committing and the key could not be asked again in time it is kept too, and the outcome is `unknown`.
    Raises NotFound for an unknown patient, test, site or slot; Unavailable when nothing was booked and nothing kept.
    """
    return pending.decided(context, booking(request))


def hold(context: Context, request: BookingRequest, seconds: int = HOLD_SECONDS) -> Outcome:
    """Keeps a place for `seconds` (10 to 86,400); confirm it before then. Raises as `book`, and is never pending."""
    _check_hold(seconds)
    with pending.nothing_kept(_NO_HOLD):
        return decisions.send(context, booking(replace(request, hold_seconds=seconds)))


def visit(context: Context, requests: Sequence[BookingRequest], key: uuid.UUID, *, in_order: bool = False) -> Outcome:
    """Books several tests, all or none; the keys of the parts follow from `key`. Pending and errors are as in `book`.

    `in_order`: each test must begin after the one before it in `requests` has ended.
    """
    _check_size(requests)
    return pending.decided(context, as_visit(requests, key, in_order=in_order))


def hold_visit(
    context: Context,
    requests: Sequence[BookingRequest],
    key: uuid.UUID,
    seconds: int = HOLD_SECONDS,
    *,
    in_order: bool = False,
) -> Outcome:
    """Keeps the places of a whole visit, all or none, as `hold` keeps one; `confirm_visit` books them together."""
    _check_hold(seconds)
    _check_size(requests)
    with pending.nothing_kept(_NO_HOLD):
        held = [replace(request, hold_seconds=seconds) for request in requests]
        return decisions.send(context, as_visit(held, key, in_order=in_order))


def book_many(context: Context, requests: Sequence[BookingRequest]) -> list[Verdict]:
    """Verdicts for many independent requests, in order; the door for imports. At most 2,000 a call.

    An advisory lock is taken per slot and patient, hence the bound (traps.md, "Locks").
    """
    if len(requests) > 2000:
        raise ValueError("at most 2,000 requests a call")
    return decisions.decide(context, requests)


def reschedule(context: Context, reference: str, request: BookingRequest) -> Outcome:
    """Moves an appointment to another place under the same reference; it keeps the old one if refused.

    It never waits for a database that is away: made late, it would undo what another desk has agreed with the patient.
    """
    with pending.nothing_kept(AS_IT_WAS):
        old = kernel.place_of(context.connection(), _checked(reference))
        if old is None:
            raise _no_such_appointment()
        moved = replace(request, moves=reference, test=old["test"])
        verdicts = decisions.decide(context, [moved])
        if verdicts[0].won:
            availability_changes.booked(context, [], left=[old])
        return decisions.outcome(context, [moved], verdicts, site=old["site"])


def confirm(context: Context, reference: str) -> Verdict:
    """Turns a hold into a booking. Raises NotFound, Refused (`hold-expired`, `wrong-status`)."""
    return _about(context, lambda: kernel.confirm(context.connection(), _checked(reference)))


def confirm_visit(context: Context, reference: str) -> list[Verdict]:
    """Books every hold of the visit that an appointment belongs to, or none; a hold of its own is a visit of one.

    Raises NotFound, Refused (`hold-expired` when one of them has, `wrong-status`).
    """
    return _about_some(context, lambda: kernel.confirm_visit(context.connection(), _checked(reference)))


def release(context: Context, reference: str) -> list[Verdict]:
    """Gives back what the same person has held, the whole visit of it; the patient is told nothing. Safe to repeat.

    Raises NotFound, Refused (`not-yours`, `wrong-status`).
    """
    return _about_some(context, lambda: kernel.release(context.connection(), _checked(reference)))


def renew(context: Context, reference: str, seconds: int = HOLD_SECONDS, *, note: str | None = None) -> list[Verdict]:
    """Goes on holding what the same person has held, the whole visit of it, and changes its note if one is given.

    Raises NotFound, Refused (`hold-expired`, `not-yours`, `wrong-status`), InvalidInput.
    """
    _check_hold(seconds)
    clean = None if note is None else clean_note(note)
    return _about_some(context, lambda: kernel.renew(context.connection(), _checked(reference), seconds, clean))


def also_ahead(context: Context, verdicts: Sequence[Verdict]) -> str:
    """A sentence about what the patient of these has ahead of the same tests besides them; or nothing.

    The look is audited.
    """
    theirs = appointment_queries.of_patient(context.connection(), verdicts[0].patient or "", past=False)
    return already(theirs, {one.test for one in verdicts}, {one.reference for one in verdicts})


def cancel(context: Context, reference: str, reason: str = "pat") -> Verdict:
    """Cancels for a FHIR reason code. Raises NotFound, Refused (`wrong-status`), InvalidInput."""
    if reason not in CANCELLATION_REASONS:
        raise InvalidInput(
            f"{reason[:40]} is not a cancellation reason.",
            hint="One of " + ", ".join(CANCELLATION_REASONS),
            code="reason-unknown",
        )
    return _about(context, lambda: kernel.cancel(context.connection(), _checked(reference), reason))


def set_status(context: Context, reference: str, status: str) -> Verdict:
    """`arrived`, `checked-in`, `fulfilled`, `noshow`, or a step back. Raises NotFound, Refused."""
    verdict = _about(context, lambda: kernel.set_status(context.connection(), _checked(reference), status))
    if verdict.status != "noshow":  # whose place is free, which was told
        availability_changes.stepped(context, verdict)
    return verdict


def show(context: Context, reference: str) -> dict[str, Any]:
    """All facts of an appointment: the columns of `app.appointment_facts`. The look is audited. Raises NotFound."""
    row = kernel.look_at(context.connection(), _checked(reference))
    if row is None:
        raise _no_such_appointment()
    return row


def steps(context: Context, reference: str) -> list[dict[str, Any]]:
    """What was done to an appointment, the last first: the columns of `app.steps_of`. Nothing about the patient."""
    return kernel.answers(context.connection(), "steps_of", _checked(reference))


def _no_such_appointment() -> NotFound:
    return NotFound(sentence("reference-unknown"), hint="bookcli agenda lists the day's.", code="reference-unknown")


def _checked(reference: str) -> str:
    appointment_id_of(reference)
    return reference


def _check_hold(seconds: int) -> None:
    if not 10 <= seconds <= 86400:
        raise InvalidInput("A hold lasts between 10 seconds and 24 hours.", code="hold-seconds")


def _check_size(requests: Sequence[BookingRequest]) -> None:
    if not 1 <= len(requests) <= 20:
        raise InvalidInput("A visit has between 1 and 20 tests.", code="visit-size")


def _about(context: Context, ask: Callable[[], Verdict]) -> Verdict:
    (verdict,) = _about_some(context, lambda: [ask()])
    return verdict


def _about_some(context: Context, ask: Callable[[], list[Verdict]]) -> list[Verdict]:
    """The kernel's answer about an appointment or a visit: one of them all, or the reason why not."""
    with pending.nothing_kept(AS_IT_WAS):
        verdicts = until_known(ask)
    gone = [verdict for verdict in verdicts if verdict.status in {"cancelled", "noshow"}]
    if gone:
        availability_changes.booked(context, gone)
    for confirmed in (verdict for verdict in verdicts if verdict.verdict == "booked"):
        availability_changes.stepped(context, confirmed)
    first = verdicts[0]
    if first.verdict in {"booked", "cancelled"}:
        availability_changes.messages_due(context)
    if first.verdict in UNKNOWN_THINGS:
        raise NotFound(sentence(first.verdict), code=first.verdict)
    if first.verdict in {"hold-expired", "wrong-status", "not-yet", "day-over", "not-yours"}:
        raise Refused(sentence(first.verdict, first.numbers), code=first.verdict, details=dict(first.numbers or {}))
    return verdicts


def let_holds_expire(context: Context) -> int:
    """Gives back the places of holds whose time is over; how many. Whoever wants such a place gets it anyway."""
    return until_known(lambda: kernel.release_expired(context.connection()))
