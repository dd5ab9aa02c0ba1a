"""Writes the calendar file of an appointment (RFC 5545, RFC 5546).

What must stay true: times are in UTC, because a TZID loses the hour that comes twice; one UID for an appointment as
long as it lives, and a SEQUENCE that rises with each change, so that a calendar moves it instead of adding another.
"""

from __future__ import annotations

from datetime import UTC
from functools import lru_cache

from icalendar import Calendar, Event, vCalAddress, vDatetime, vInt, vText

from .. import clock
from ..model.messages import Attachment, Outgoing, address_of, domain_of


def invitation(row: Outgoing, sender: str, summary: str, description: str) -> Attachment:
    """REQUEST for an appointment that stands, CANCEL for one that does not."""
    method = "CANCEL" if row.kind == "cancellation" else "REQUEST"
    event = Event()
    # Given as the values of RFC 5545 that they are: to have the library find that out takes a third of the time.
    event["UID"] = vText(f"{row.reference}@{domain_of(sender)}")
    event["SEQUENCE"] = vInt(row.appointment_version)
    event["DTSTAMP"] = vDatetime(clock.now())
    event["DTSTART"] = vDatetime(row.starts_at.astimezone(UTC))
    event["DTEND"] = vDatetime(row.ends_at.astimezone(UTC))
    event["SUMMARY"] = vText(summary)
    event["DESCRIPTION"] = vText(description)
    event["LOCATION"] = vText(row.site_name)
    event["ORGANIZER"] = vCalAddress(f"mailto:{address_of(sender)}")
    event["ATTENDEE"] = vCalAddress(f"mailto:{row.email}")
    event["STATUS"] = vText("CANCELLED" if method == "CANCEL" else "CONFIRMED")
    event["CLASS"] = vText("PRIVATE")
    before, after = _around(method)
    return Attachment(f"{row.reference}.ics", method, before + event.to_ical().decode() + after)


@lru_cache
def _around(method: str) -> tuple[str, str]:
    """What stands before and after the event; the same every time."""
    calendar = Calendar()
    calendar.add("prodid", "-//bookcli//EN")
    calendar.add("version", "2.0")
    calendar.add("method", method)
    before, end, after = calendar.to_ical().decode().partition("END:VCALENDAR")
    return before, end + after
