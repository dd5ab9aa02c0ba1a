"""What a record of each noun looks like: the JSON contract's fields, and the columns and sentences for people.

Field names are only ever added. Times are ISO 8601 with the offset of the site, beside the name of its zone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..core.clock import now, to_local
from ..core.model.appointments import Verdict
from ..core.model.slots import Slot
from .output import View

if TYPE_CHECKING:
    from ..core.model.availability import Found
    from .output import Record

_SLOT_FIELDS = ("slot", "site", "test", "resource", "start", "end", "zone", "capacity", "remaining", "status")
_APPOINTMENT_FIELDS = (
    "reference", "slot", "patient", "test", "site", "resource", "start", "end", "zone", "status",
    "patient_name", "test_name", "held_until", "preparation", "arrived_at", "checked_in_at", "waiting_minutes",
)  # fmt: skip


def local(moment: datetime | None, zone: str | None) -> str | None:
    """The moment on the site's clocks, ISO 8601 with offset."""
    return None if moment is None else to_local(moment, zone or "UTC").isoformat()


def slot(found: Slot) -> dict[str, Any]:
    """A slot as in the JSON contract."""
    return {
        "slot": found.slot_id,
        "site": found.site,
        "test": found.test,
        "resource": found.resource,
        "start": local(found.start, found.zone),
        "end": local(found.end, found.zone),
        "zone": found.zone,
        "capacity": found.capacity,
        "remaining": found.remaining,
        "status": found.status,
    }


def found(answer: Found) -> dict[str, Any]:
    """What stands beside the slots of an answer: its moment, and what is old or not known in it."""
    beside: dict[str, Any] = {"as_of": answer.as_of.isoformat(timespec="seconds"), "stale": answer.stale}
    if answer.unknown:
        beside["unknown"] = [{"site": one.site, "test": one.test, "day": one.day.isoformat()} for one in answer.unknown]
    return beside


def outage(answer: Found) -> list[str]:
    """The banner over an answer that the database did not give."""
    age = int(answer.age)
    words = f"{age} seconds" if age < 120 else f"{age // 60} minutes" if age < 7200 else f"{age // 3600} hours"
    lines = [f"THE DATABASE DOES NOT ANSWER. This is what was free {words} ago; it may be taken by now."]
    if answer.unknown:
        places = sorted({f"{one.site} {one.day}" for one in answer.unknown})
        more = f" and {len(places) - 5} more days" if len(places) > 5 else ""
        lines.append(f"Unknown, neither free nor full: {', '.join(places[:5])}{more}.")
    return lines


def appointment(facts: Verdict | Mapping[str, Any]) -> dict[str, Any]:
    """An appointment as in the JSON contract, from the kernel's verdict or a row of appointment_facts."""
    row = facts if isinstance(facts, Mapping) else {name: getattr(facts, name) for name in facts.__slots__}
    zone = row["zone"]
    return {
        "reference": row["reference"],
        "slot": row["slot_id"],
        "patient": row["patient"],
        "test": row["test"],
        "site": row["site"],
        "resource": row["resource"],
        "start": local(row["starts_at"], zone),
        "end": local(row["ends_at"], zone),
        "zone": zone,
        "status": row["status"],
        "patient_name": row["patient_name"],
        "test_name": row["test_name"],
        "held_until": local(row["held_until"], zone),
        "preparation": row["preparation"] or "",
        "arrived_at": local(row.get("arrived_at"), zone),
        "checked_in_at": local(row.get("checked_in_at"), zone),
        "waiting_minutes": row.get("waiting_minutes"),
    }


def day(record: Record, field: str = "start") -> str:
    """`Tue 1 Dec 2026`."""
    moment = record.get(field)
    return f"{datetime.fromisoformat(moment):%a %-d %b %Y}" if moment else ""


def hours(record: Record) -> str:
    """`09:00–09:30`."""
    return f"{clock_time(record, 'start')}–{clock_time(record, 'end')}"


def clock_time(record: Record, field: str) -> str:
    """`09:00`."""
    moment = record.get(field)
    return f"{datetime.fromisoformat(moment):%H:%M}" if moment else ""


def when(record: Record) -> str:
    """Day, hours, and the zone where the desk's own clock shows something else."""
    return f"{day(record)} {hours(record)}{elsewhere(record)}"


def elsewhere(record: Record, field: str = "start") -> str:
    """` (Europe/Berlin time)` where the desk's own clock shows something else then."""
    moment = datetime.fromisoformat(record[field])
    return "" if moment.utcoffset() == moment.astimezone().utcoffset() else f" ({record['zone']} time)"


def place(record: Record) -> str:
    """`north mri-1`."""
    return f"{record.get('site') or ''} {record.get('resource') or ''}".strip()


def described(record: Record) -> str:
    """An appointment in one piece: test, place, time, patient."""
    who = " ".join(part for part in (record["patient"], record["patient_name"]) if part)
    return f"{record['test_name'] or record['test']}, {place(record)}, {when(record)} (patient {who})"


def changed(record: Record) -> str:
    """The sentence about what an appointment has become."""
    status = str(record["status"])
    if status == "pending" and record["held_until"]:
        return f"Held {record['reference']} until {clock_time(record, 'held_until')}: {described(record)}"
    word = {"checked-in": "Checked in", "noshow": "No-show"}.get(status, status.capitalize())
    return f"{word} {record['reference']}: {described(record)}"


def booked(records: Sequence[Record]) -> str:
    """The sentences about what was booked or held, with what has to be read aloud."""
    lines = []
    for record in records:
        lines.append(changed(record))
        lines += [f"  Preparation: {record['preparation']}"] if record["preparation"] else []
    return "\n".join(lines)


def _near_day(record: Record) -> str:
    """The day without this year, which everybody knows."""
    return day(record).removesuffix(f" {now().year}")


def _waiting(record: Record) -> str:
    minutes = record.get("waiting_minutes")
    return "" if minutes is None else f"{minutes} min"


def _left(record: Record) -> str:
    return f"{record['remaining']} of {record['capacity']}"


def _field(name: str) -> Any:
    return lambda record: "" if record.get(name) is None else str(record[name])


SLOTS = View(
    "slots",
    "slot",
    _SLOT_FIELDS,
    (
        ("Slot", _field("slot")),
        ("Day", _near_day),
        ("Time", hours),
        ("Zone", lambda record: elsewhere(record).strip(" ()").removesuffix(" time")),
        ("Site", _field("site")),
        ("Resource", _field("resource")),
        ("Free", _left),
        ("Status", _field("status")),
    ),
)
_TODAY = (
    ("Time", hours),
    ("Reference", _field("reference")),
    ("Test", _field("test")),
    ("Resource", _field("resource")),
    ("Status", _field("status")),
    ("Patient", _field("patient")),
    ("Name", _field("patient_name")),
)
_DATED = (("Day", _near_day), *_TODAY[:3], ("Place", place), *_TODAY[4:])
APPOINTMENTS = View("appointments", "reference", _APPOINTMENT_FIELDS, _TODAY)
AGENDA = View("appointments", "reference", _APPOINTMENT_FIELDS, (*_TODAY, ("Waiting", _waiting)))
HISTORY = View("appointments", "reference", _APPOINTMENT_FIELDS, _DATED[:6])
AFFECTED = View("appointments", "reference", _APPOINTMENT_FIELDS, (*_DATED[:5], *_DATED[6:]))
