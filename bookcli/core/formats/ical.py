"""Writes the calendar file of an appointment (RFC 5545, RFC 5546).

What must stay true: times are in UTC, because a TZID loses the hour that comes twice; one UID for an appointment as
long as it lives, and a SEQUENCE that rises with each change, so that a calendar moves it instead of adding another.
"""

from __future__ import annotations

from datetime import UTC
from email.utils import parseaddr

from icalendar import Calendar, Event, vCalAddress

from .. import clock
from ..model.messages import Attachment, Outgoing, domain_of


def invitation(row: Outgoing, sender: str, summary: str, description: str) -> Attachment:
    """REQUEST for an appointment that stands, CANCEL for one that does not."""
    method = "CANCEL" if row.kind == "cancellation" else "REQUEST"
    event = Event()
    event.add("uid", f"{row.reference}@{domain_of(sender)}")
    event.add("sequence", row.appointment_version)
    event.add("dtstamp", clock.now())
    event.add("dtstart", row.starts_at.astimezone(UTC))
    event.add("dtend", row.ends_at.astimezone(UTC))
    event.add("summary", summary)
    event.add("description", description)
    event.add("location", row.site_name)
    event.add("organizer", vCalAddress(f"mailto:{parseaddr(sender)[1]}"))
    event.add("attendee", vCalAddress(f"mailto:{row.email}"))
    event.add("status", "CANCELLED" if method == "CANCEL" else "CONFIRMED")
    event.add("class", "PRIVATE")
    calendar = Calendar()
    calendar.add("prodid", "-//bookcli//EN")
    calendar.add("version", "2.0")
    calendar.add("method", method)
    calendar.add_component(event)
    return Attachment(f"{row.reference}.ics", method, calendar.to_ical().decode())
