"""Asks the kernel until it has decided, and makes of its verdicts what a person is told.

What must stay true: the same requests are sent in every attempt, under the same keys, and nothing is kept here for
later: what cannot be asked is raised (see pending.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from .. import clock
from ..context import Context
from ..db import kernel
from ..errors import NotAllowed, NotFound, Unavailable
from ..model.appointments import UNKNOWN_THINGS, WON, Outcome, Verdict, sentence
from ..model.pending import Asked
from ..model.requests import BookingRequest
from ..model.slots import Slot
from . import availability_changes, slots, suggestions
from .attempts import until_known

MOST_TRIES = 50
_YOURS = "bookcli whoami shows where you may book, with --permissions what you may do."


def send(context: Context, asked: Asked, *, offer: bool = True, asked_by: str = "", kept: bool = False) -> Outcome:
    """Asks for a booking or a visit; with the nearest free slots for a refused one if `offer`.

    `asked_by`: for a worker, whose name it is booked under. `kept`: it was asked while the database was away, so that
    the patient is told if it is refused.

    Raises NotFound, InvalidInput, Unavailable when nothing was changed, OutcomeUnknown when that is not known.
    """
    together = asked.kind == "visit"
    more = {"kept": True} if kept else {}
    documents = [{**request.document(), **more} for request in asked.requests]
    verdicts = _decided(context, documents, (together, asked.in_order), asked_by)
    return replace(outcome(context, asked.requests, verdicts, offer=offer), request_key=asked.key)


def decide(
    context: Context,
    requests: Sequence[BookingRequest],
    *,
    together: bool = False,
    in_order: bool = False,
) -> list[Verdict]:
    """Sends what is undecided again until the kernel has decided everything."""
    return _decided(context, [request.document() for request in requests], (together, in_order), "")


def _decided(context: Context, documents: list[dict[str, Any]], how: tuple[bool, bool], asked_by: str) -> list[Verdict]:
    decided: dict[int, Verdict] = {}
    open_positions = list(range(len(documents)))
    for _ in range(len(documents) + MOST_TRIES):
        batch = [documents[position] for position in open_positions]
        ask = partial(_ask, context, batch, how, asked_by)
        answers = until_known(ask, seconds=context.settings.deadline_seconds)
        decided.update(zip(open_positions, answers, strict=True))
        open_positions = [position for position in open_positions if decided[position].verdict == "again"]
        if not open_positions:
            won = [one for one in decided.values() if one.won]
            availability_changes.booked(context, won)
            if won:
                availability_changes.messages_due(context)
            return [decided[position] for position in range(len(documents))]
    raise Unavailable(sentence("busy"), hint="Nothing was booked. Try again.", code="busy")


def _ask(context: Context, batch: list[dict[str, Any]], how: tuple[bool, bool], asked_by: str) -> list[Verdict]:
    together, in_order = how
    if asked_by:
        return kernel.book_for(context.connection(), asked_by, batch, together=together, in_order=in_order)
    return kernel.book(context.connection(), batch, together=together, in_order=in_order)


def outcome(
    context: Context,
    requests: Sequence[BookingRequest],
    verdicts: list[Verdict],
    site: str | None = None,
    *,
    offer: bool = True,
) -> Outcome:
    """One answer for all of the requests: won only when each of them is. Raises NotFound, NotAllowed `forbidden`."""
    verdicts = [_as_it_is_now(request, verdict) for request, verdict in zip(requests, verdicts, strict=True)]
    lost = [(r, v) for r, v in zip(requests, verdicts, strict=True) if v.verdict not in WON]
    if not lost:
        # A hold that was moved is a hold still.
        kind = "held" if all(v.verdict == "held" or v.status == "pending" for v in verdicts) else "booked"
        return Outcome(kind, None, requests[0].key, tuple(verdicts))
    request, why = next(((r, v) for r, v in lost if v.verdict != "visit-refused"), lost[0])
    if why.verdict == "forbidden":
        raise NotAllowed(sentence(why.verdict), hint=_YOURS, code=why.verdict)
    # Whoever named a time at which nothing begins is told the nearest times.
    between = why.verdict == "slot-unknown" and request.place.start is not None
    unknown = why.verdict in UNKNOWN_THINGS and not between
    free = _alternatives(context, request, why, site) if offer and not unknown else []
    if unknown or (between and not free):
        _raise_not_found(context, request, why)
    return Outcome("refused", why.verdict, requests[0].key, tuple(verdicts), tuple(free), dict(why.numbers or {}))


def _as_it_is_now(request: BookingRequest, verdict: Verdict) -> Verdict:
    """The answer kept under a key, unless what it promised has been cancelled since."""
    gone = verdict.status in ("cancelled", "entered-in-error")
    undone = verdict.won and gone and request.status != verdict.status
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
