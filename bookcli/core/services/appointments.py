"""Book, hold, confirm, visit, reschedule, cancel and the status of the day.

What must stay true: a request key is made before the first attempt and kept through every retry, so that
whatever happens to a connection, one request makes at most one booking and its outcome can be asked again.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from .. import clock
from ..context import Context
from ..db import kernel
from ..errors import InvalidInput, NotFound, Refused, Unavailable
from ..model.appointments import CANCELLATION_REASONS, UNKNOWN_THINGS, WON, Outcome, Verdict, sentence
from ..model.references import appointment_id_of
from ..model.requests import BookingRequest, derived_key
from ..model.slots import Slot
from . import availability_changes, slots, suggestions
from .attempts import until_known

HOLD_SECONDS = 300
MOST_TRIES = 50


def book(context: Context, request: BookingRequest) -> Outcome:
    """Books one appointment, or says why not and what is free nearby.

    Raises NotFound for an unknown patient, test, site or slot; Unavailable when nothing was sent;
    OutcomeUnknown when the connection died while committing and the key could not be asked again in time.
    """
    return _outcome(context, [request], _decide(context, [request]))


def hold(context: Context, request: BookingRequest, seconds: int = HOLD_SECONDS) -> Outcome:
    """Keeps a place for `seconds` (10 to 86,400); confirm it before then. Raises as `book`."""
    if not 10 <= seconds <= 86400:
        raise InvalidInput("A hold lasts between 10 seconds and 24 hours.", code="hold-seconds")
    return book(context, replace(request, hold_seconds=seconds))


def visit(context: Context, requests: Sequence[BookingRequest], key: uuid.UUID, *, in_order: bool = False) -> Outcome:
    """Books several tests, all or none; the keys of the parts follow from `key`. Raises as `book`.

    `in_order`: each test must begin after the one before it in `requests` has ended.
    """
    if not 1 <= len(requests) <= 20:
        raise InvalidInput("A visit has between 1 and 20 tests.", code="visit-size")
    parts = [
        replace(request, key=derived_key(key, n, of=len(requests), in_order=in_order))
        for n, request in enumerate(requests)
    ]
    return replace(_outcome(context, parts, _decide(context, parts, together=True, in_order=in_order)), request_key=key)


def book_many(context: Context, requests: Sequence[BookingRequest]) -> list[Verdict]:
    """Verdicts for many independent requests, in order; the door for imports. At most 2,000 a call.

    An advisory lock is taken per slot and patient, hence the bound (traps.md, "Locks").
    """
    if len(requests) > 2000:
        raise ValueError("at most 2,000 requests a call")
    return _decide(context, requests)


def reschedule(context: Context, reference: str, request: BookingRequest) -> Outcome:
    """Moves an appointment to another place under the same reference; it keeps the old one if refused."""
    old = kernel.place_of(context.connection(), _checked(reference))
    if old is None:
        raise _no_such_appointment()
    moved = replace(request, moves=reference, test=old["test"])
    verdicts = _decide(context, [moved])
    if verdicts[0].won:
        availability_changes.booked(context, [], moved=old)
    return _outcome(context, [moved], verdicts, site=old["site"])


def confirm(context: Context, reference: str) -> Verdict:
    """Turns a hold into a booking. Raises NotFound, Refused (`hold-expired`, `wrong-status`)."""
    return _about(context, lambda: kernel.confirm(context.connection(), _checked(reference)))


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
    return _about(context, lambda: kernel.set_status(context.connection(), _checked(reference), status))


def show(context: Context, reference: str) -> dict[str, Any]:
    """All facts of an appointment: the columns of `app.appointment_facts`. The look is audited. Raises NotFound."""
    row = kernel.look_at(context.connection(), _checked(reference))
    if row is None:
        raise _no_such_appointment()
    return row


def _no_such_appointment() -> NotFound:
    return NotFound(sentence("reference-unknown"), hint="bookcli agenda lists the day's.", code="reference-unknown")


def _checked(reference: str) -> str:
    appointment_id_of(reference)
    return reference


def _about(context: Context, ask: Callable[[], Verdict]) -> Verdict:
    verdict = until_known(ask)
    if verdict.status in {"cancelled", "noshow"}:
        availability_changes.booked(context, [verdict])
    if verdict.verdict in UNKNOWN_THINGS:
        raise NotFound(sentence(verdict.verdict), code=verdict.verdict)
    if verdict.verdict in {"hold-expired", "wrong-status", "not-yet"}:
        raise Refused(
            sentence(verdict.verdict, verdict.numbers), code=verdict.verdict, details=dict(verdict.numbers or {})
        )
    return verdict


def _decide(
    context: Context, requests: Sequence[BookingRequest], *, together: bool = False, in_order: bool = False
) -> list[Verdict]:
    """Sends what is undecided again until the kernel has decided everything."""
    documents = [request.document() for request in requests]
    decided: dict[int, Verdict] = {}
    open_positions = list(range(len(documents)))
    for _ in range(len(documents) + MOST_TRIES):
        batch = [documents[position] for position in open_positions]
        ask = partial(_ask, context, batch, together, in_order)
        for position, answer in zip(open_positions, until_known(ask), strict=True):
            decided[position] = answer
        open_positions = [position for position in open_positions if decided[position].verdict == "again"]
        if not open_positions:
            availability_changes.booked(context, [one for one in decided.values() if one.won])
            return [decided[position] for position in range(len(documents))]
    raise Unavailable(sentence("busy"), hint="Nothing was booked. Try again.", code="busy")


def _ask(context: Context, batch: list[dict[str, Any]], together: bool, in_order: bool) -> list[Verdict]:
    return kernel.book(context.connection(), batch, together=together, in_order=in_order)


def _outcome(
    context: Context, requests: Sequence[BookingRequest], verdicts: list[Verdict], site: str | None = None
) -> Outcome:
    verdicts = [_as_it_is_now(request, verdict) for request, verdict in zip(requests, verdicts, strict=True)]
    lost = [(r, v) for r, v in zip(requests, verdicts, strict=True) if v.verdict not in WON]
    if not lost:
        # A hold that was moved is a hold still.
        kind = "held" if all(v.verdict == "held" or v.status == "pending" for v in verdicts) else "booked"
        return Outcome(kind, None, requests[0].key, tuple(verdicts))
    request, why = next(((r, v) for r, v in lost if v.verdict != "visit-refused"), lost[0])
    if why.verdict in UNKNOWN_THINGS:
        _raise_not_found(context, request, why)
    return Outcome(
        "refused",
        why.verdict,
        requests[0].key,
        tuple(verdicts),
        tuple(_alternatives(context, request, why, site)),
        dict(why.numbers or {}),
    )


def _as_it_is_now(request: BookingRequest, verdict: Verdict) -> Verdict:
    """The answer kept under a key, unless what it promised has been cancelled since."""
    undone = verdict.won and verdict.status == "cancelled" and request.status != "cancelled"
    return replace(verdict, verdict="cancelled") if undone else verdict


def _raise_not_found(context: Context, request: BookingRequest, why: Verdict) -> None:
    if why.verdict == "test-unknown":
        suggestions.check_codes(context, test=request.test)
    if why.verdict == "site-unknown" and request.place.site:
        suggestions.check_codes(context, sites=[request.place.site])
    raise NotFound(sentence(why.verdict), code=why.verdict, details=dict(why.numbers or {}))


def _alternatives(context: Context, request: BookingRequest, why: Verdict, site: str | None) -> list[Slot]:
    if why.verdict in {"key-reused", "wrong-status", "cancelled"} or not request.test:
        return []
    near = why.starts_at or request.place.start
    day = request.place.day or clock.to_local(near or clock.now(), why.zone or "UTC").date()
    at_site = request.place.site or site
    found = slots.nearest(context, test=request.test, site=at_site, day=day, near=near, most=4)
    return [slot for slot in found if slot.slot_id != why.slot_id][:3]
