"""What a desk asks the kernel for; its key is made before the first attempt and never changes."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from ..errors import InvalidInput
from .text import clean_note

_LONGEST_WORD = 64


def new_key() -> uuid.UUID:
    """A fresh request key: one key makes at most one booking, for ever."""
    return uuid.uuid4()


def derived_key(key: uuid.UUID, position: int, *, of: int, in_order: bool = False) -> uuid.UUID:
    """The key of the n-th of `of` appointments of a visit, the same in every attempt at the same visit."""
    return uuid.uuid5(key, f"{position}/{of}/{in_order}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where and when: a slot by its number, or a site's local day with an optional start.

    With `site` and `day` the kernel takes the first free slot (at `start`, when given).
    """

    slot: int | None = None
    site: str | None = None
    day: date | None = None
    start: datetime | None = None


@dataclass(frozen=True, slots=True)
class BookingRequest:
    """One request to the one door. `hold_seconds` holds instead of booking; `moves` is the reference of an
    appointment to reschedule; `history` records the past: no lead time, no messages, `status` as it ended."""

    patient: str = ""
    test: str = ""
    place: Place = field(default_factory=Place)
    key: uuid.UUID = field(default_factory=new_key)
    hold_seconds: int | None = None
    moves: str = ""
    note: str = ""
    history: bool = False
    status: str = ""
    again: bool = False

    def document(self) -> dict[str, Any]:
        """The JSON object that `app.book` takes; empty fields are left out, so a fingerprint never changes.

        Raises InvalidInput for text that cannot be stored: it must not wait anywhere to fail again and again.
        """
        place = self.place
        words = {"patient": self.patient, "test": self.test, "site": place.site or ""}
        for label, text in {**words, "reference": self.moves, "status": self.status}.items():
            if len(text) > _LONGEST_WORD or not text.isprintable():
                raise InvalidInput(f"The {label} cannot be read.", code=f"{label}-invalid", details={"field": label})
        content = {
            "key": str(self.key),
            "patient": self.patient,
            "test": self.test,
            "slot": place.slot,
            "site": place.site,
            "day": place.day.isoformat() if place.day else None,
            "start": place.start.isoformat() if place.start else None,
            "hold_seconds": self.hold_seconds,
            "moves": self.moves,
            "note": clean_note(self.note) if self.note else "",
            "history": self.history,
            "status": self.status,
            "again": self.again,
        }
        return {name: value for name, value in content.items() if value not in ("", None, False)}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> BookingRequest:
        """The request that `document` made into this object. Raises ValueError, KeyError or TypeError otherwise."""
        rest = dict(document)
        key, slot, site = uuid.UUID(rest.pop("key")), rest.pop("slot", None), rest.pop("site", None)
        day, start = rest.pop("day", None), rest.pop("start", None)
        place = Place(
            slot, site, date.fromisoformat(day) if day else None, datetime.fromisoformat(start) if start else None
        )
        return cls(place=place, key=key, **rest)
