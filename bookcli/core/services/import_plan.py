"""From the fields of one row to a booking request; its key follows from its content, so a row is booked once, ever.

A row that cannot be understood is refused here, with a reason that does not repeat what it holds.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

from .. import clock
from ..errors import InvalidInput
from ..model.imports import HISTORY_STATUSES
from ..model.patients import checked_mrn
from ..model.requests import BookingRequest, Place
from ..model.text import clean_note, fold, nearest, slug

_KEYS = uuid.UUID("6f0b7b0e-2c3a-5d8e-9b57-0c1d7f0a6e51")
_PATIENT_FIELDS = {"patient_name": "name", "birth_date": "birth_date", "sex": "sex", "phone": "phone", "email": "email"}
_LONGEST_ID = 200
_SLOT = re.compile(r"\d{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Options:
    """How appointments are imported; `source` names where ids come from, so that two systems' ids never meet."""

    source: str = "import"
    create_patients: bool = False
    history: bool = False
    retry_refused: bool = False


@dataclass(frozen=True, slots=True)
class Planned:
    """A row on its way to the kernel. `resource` is set when the slot has still to be looked up by it.

    `own_id`: the key was made from the row's own id, and `generation` keys of it were refused before.
    """

    position: int
    line: int
    request: BookingRequest
    lane: int
    resource: str = ""
    patient: Mapping[str, str] | None = None
    own_id: str = ""
    generation: int = 0


class SiteIndex:
    """Finds a site by its code or its name, accents and case ignored; two sites of one name are told apart by code."""

    def __init__(self, sites: list[tuple[str, str, str]]) -> None:
        self.zones = {code: zone for code, _, zone in sites}
        self._codes: dict[str, str | None] = {}
        for code, name, _ in sites:
            for word in {fold(name).strip(), slug(name)}:
                self._codes[word] = code if self._codes.get(word, code) == code else None
        self._codes |= {code: code for code in self.zones}
        self._codes.pop("", None)

    def code(self, text: str) -> str:
        """The code. Raises InvalidInput `site-missing`, `site-unknown` or `site-ambiguous`."""
        found = self._codes.get(text, "") or self._codes.get(fold(text).strip(), "") or self._codes.get(slug(text), "")
        if found:
            return found
        if not text.strip():
            raise _missing("site")
        if found is None:
            raise InvalidInput("Two sites have that name.", hint="write the code of one", code="site-ambiguous")
        near = nearest(slug(text), self.zones)
        hint = f"did you mean {' or '.join(near)}?" if near else "bookcli site list shows what there is"
        raise InvalidInput("There is no such site.", hint=hint, code="site-unknown")


class Planner:
    """Turns rows into requests, in the order of the file; it remembers how often it has seen each content."""

    def __init__(self, sites: SiteIndex, options: Options) -> None:
        self._sites = sites
        self._options = options
        self._seen: dict[int, int] = {}

    def plan(self, position: int, line: int, fields: Mapping[str, str]) -> Planned:
        """The request of a row. Raises InvalidInput with the verdict of the row as its code."""
        patient = checked_mrn(_required(fields, "patient"))
        test = _required(fields, "test").strip().lower()[:64]
        place, resource = self._place(fields)
        status = self._status(fields.get("status", ""))
        note = clean_note(fields.get("note", ""))
        site, own_id = place.site or "", _own_id(fields)
        when = place.start.isoformat() if place.start else str(place.day or place.slot)
        content = "\x1f".join((patient, test, site, resource, when, status, note, str(self._options.history)))
        request = BookingRequest(
            patient,
            test,
            place,
            key_of_id(self._options.source, own_id, 0) if own_id else self._key_of(content),
            note=note,
            history=self._options.history,
            status=status,
            again=self._options.retry_refused and not own_id,
        )
        # Requests for one slot stay in the order of the file: they share a site and a day.
        lane = hash((site, place.day or place.slot))
        return Planned(position, line, request, lane, resource, _patient(fields, self._options), own_id)

    def _key_of(self, content: str) -> uuid.UUID:
        """The key of the n-th row with this content; only 8 bytes of each content are remembered."""
        key = uuid.uuid5(_KEYS, content)
        memory = key.int >> 64
        seen = self._seen.get(memory, 0)
        self._seen[memory] = seen + 1
        return uuid.uuid5(key, str(seen)) if seen else key

    def _place(self, fields: Mapping[str, str]) -> tuple[Place, str]:
        slot, start, day = (fields.get(name, "").strip() for name in ("slot", "start", "day"))
        if slot:
            if not _SLOT.fullmatch(slot) or int(slot) > 2**31 - 1:
                raise InvalidInput("The slot is not a slot's number.", hint="such as 1234", code="slot-invalid")
            return Place(slot=int(slot)), ""
        if not (start or day):
            raise InvalidInput("The row has no slot, no start and no day.", hint="map one of them", code="time-missing")
        site = self._sites.code(fields.get("site", ""))
        resource = fields.get("resource", "").strip().lower()[:64]
        if start:
            return _at(start, site, self._sites.zones[site]), resource
        if resource:
            raise InvalidInput(
                "A row that names a resource must name a start.", hint="leave one of them out", code="start-missing"
            )
        return Place(site=site, day=_day(day)), ""

    def _status(self, text: str) -> str:
        status = text.strip().lower()
        if status in ("", "booked"):
            return ""
        if not self._options.history:
            raise InvalidInput("A status is only for past appointments.", hint="--history", code="status-needs-history")
        if status not in HISTORY_STATUSES:
            raise InvalidInput(
                "The status is not one a past appointment can have.",
                hint="one of " + ", ".join(sorted(HISTORY_STATUSES)),
                code="status-invalid",
            )
        return status


def key_of_id(source: str, own_id: str, generation: int) -> uuid.UUID:
    """The request key of a row with an id of its own; the next generation is for when this one was refused."""
    return uuid.uuid5(_KEYS, "\x1e".join((source, own_id, str(generation))))


def _own_id(fields: Mapping[str, str]) -> str:
    own_id = fields.get("id", "").strip()
    if len(own_id) > _LONGEST_ID:
        raise InvalidInput("The id is too long.", hint=f"at most {_LONGEST_ID} characters", code="id-too-long")
    return own_id


def _patient(fields: Mapping[str, str], options: Options) -> dict[str, str] | None:
    if not options.create_patients:
        return None
    return {name: fields[column] for column, name in _PATIENT_FIELDS.items() if fields.get(column, "").strip()}


def _at(text: str, site: str, zone: str) -> Place:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise _unclear_start() from None
    if len(text) < len("2026-12-01T09"):
        raise _unclear_start()
    start = found if found.tzinfo else clock.to_absolute(found, zone)
    day = clock.to_local(start, zone).date()
    return Place(site=site, day=day, start=start.astimezone(UTC))


def _day(text: str) -> date:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.time() != time():
        raise InvalidInput("The day is not a date.", hint="such as 2026-12-01", code="date-unclear")
    return found.date()


def _required(fields: Mapping[str, str], name: str) -> str:
    text = fields.get(name, "")
    if not text.strip():
        raise _missing(name)
    return text


def _missing(name: str) -> InvalidInput:
    return InvalidInput(f"The row has no {name}.", hint=f"fill it in, or --map {name}=COLUMN", code=f"{name}-missing")


def _unclear_start() -> InvalidInput:
    return InvalidInput("The start is not a day and a time.", hint="such as 2026-12-01T09:20", code="time-unclear")
