"""A request that waits for the database, as it is kept on the desk's disk, and what became of it.

What must stay true: what is kept is everything that is needed to ask it exactly as it was asked, under the same key,
and what could never be booked is refused before it is kept.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ..errors import InvalidInput, NotFound
from .appointments import sentence
from .requests import BookingRequest, derived_key
from .text import clean_note

VERSION = 1
LARGEST_SLOT = 2**31 - 1
MOST_CHARACTERS = 2000
ENDS = ("booked", "refused", "expired")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a desk asks for: one booking, or a visit, whose parts stand or fall together and are sent as one."""

    kind: str
    key: uuid.UUID
    requests: tuple[BookingRequest, ...]
    in_order: bool = False

    @property
    def keepable(self) -> bool:
        """Whether it may wait: a hold promises a place for minutes, a move or a record of the past is about now."""
        return not any(one.hold_seconds or one.moves or one.history or one.status for one in self.requests)


def booking(request: BookingRequest) -> Asked:
    """One booking."""
    return Asked("book", request.key, (request,))


def visit(requests: Sequence[BookingRequest], key: uuid.UUID, *, in_order: bool) -> Asked:
    """Several bookings, all or none; the keys of the parts follow from `key`."""
    parts = (
        replace(request, key=derived_key(key, n, of=len(requests), in_order=in_order))
        for n, request in enumerate(requests)
    )
    return Asked("visit", key, tuple(parts), in_order)


@dataclass(frozen=True, slots=True)
class Kept:
    """A request on the disk. `unknown`: it may have been booked, and asking again will tell.

    `address` is where the database was, `database` which one it is, empty when this desk had never learnt it.
    `asked_at` is the desk's own clock and decides nothing.
    """

    asked: Asked
    asked_at: datetime
    asked_by: str
    desk: str
    address: str
    database: str
    unknown: bool = False

    def document(self) -> dict[str, Any]:
        """The JSON object that is written."""
        return {
            "version": VERSION,
            "kind": self.asked.kind,
            "key": str(self.asked.key),
            "requests": [request.document() for request in self.asked.requests],
            "in_order": self.asked.in_order,
            "asked_at": self.asked_at.isoformat(),
            "asked_by": self.asked_by,
            "desk": self.desk,
            "address": self.address,
            "database": self.database,
            "unknown": self.unknown,
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Kept:
        """What `document` wrote. Raises ValueError when it is not that."""
        try:
            if document["version"] != VERSION or document["kind"] not in ("book", "visit"):
                raise ValueError("a request of another version of bookcli")
            parts = tuple(BookingRequest.of(part) for part in document["requests"])
            asked = Asked(document["kind"], uuid.UUID(document["key"]), parts, bool(document["in_order"]))
            texts = {name: str(document[name]) for name in ("asked_by", "desk", "address", "database")}
            asked_at, unknown = datetime.fromisoformat(document["asked_at"]), bool(document["unknown"])
            return cls(asked, asked_at, unknown=unknown, **texts)
        except (KeyError, TypeError, AttributeError) as problem:
            raise ValueError("not a request") from problem


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a kept request: booked with its references, refused for a reason, or expired unsold."""

    outcome: str
    reason: str | None
    references: tuple[str, ...]
    ended_at: datetime

    def document(self) -> dict[str, Any]:
        """The JSON object that is written beside the request's own fields."""
        return {
            "outcome": self.outcome,
            "reason": self.reason,
            "references": list(self.references),
            "ended_at": self.ended_at.isoformat(),
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Ended:
        """What `document` wrote. Raises ValueError when it is not that."""
        try:
            if document["outcome"] not in ENDS:
                raise ValueError("not an end")
            references = tuple(str(reference) for reference in document["references"])
            ended_at = datetime.fromisoformat(document["ended_at"])
            return cls(document["outcome"], document["reason"], references, ended_at)
        except (KeyError, TypeError) as problem:
            raise ValueError("not an end") from problem


def check_size(asked: Asked) -> None:
    """Refuses what is far too long to be meant, before it is sent: a server that chokes on it looks like an outage.

    Raises InvalidInput `text-too-long`.
    """
    for request in asked.requests:
        texts = (request.patient, request.test, request.place.site or "", request.note)
        if any(len(text) > 8 * MOST_CHARACTERS for text in texts):
            raise InvalidInput("A text of the request is too long.", code="text-too-long")


def check(asked: Asked) -> None:
    """Refuses what the database would never book, as it would be refused there: it must not wait in vain.

    Raises NotFound for a number or code that nothing can have, InvalidInput for everything else.
    """
    from .catalog import is_code  # noqa: PLC0415 - only when something is kept: with the next line 8 ms
    from .patients import is_mrn  # noqa: PLC0415 - as above

    for request in asked.requests:
        place = request.place
        if not is_mrn(request.patient):
            raise _unknown("patient-unknown")
        if not is_code(request.test):
            raise _unknown("test-unknown")
        if place.slot is not None and not 0 < place.slot <= LARGEST_SLOT:
            raise _unknown("slot-unknown")
        if place.slot is None and not is_code(place.site or ""):
            raise _unknown("site-unknown")
        if place.slot is None and place.day is None:
            raise InvalidInput("When is not said.", hint="Add --slot, --at or --on.", code="place-missing")
        clean_note(request.note, limit=MOST_CHARACTERS)


def _unknown(code: str) -> NotFound:
    return NotFound(sentence(code), code=code)
