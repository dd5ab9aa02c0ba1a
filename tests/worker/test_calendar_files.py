"""The calendar file across the nights on which clocks change, read by the parser that a calendar would use."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from zoneinfo import ZoneInfo

import icalendar

from bookcli.core.services import appointments
from tests.clinic import Clinic
from tests.worker.conftest import Workers, book
from tests.worker.mail_server import MailServer

BERLIN = ZoneInfo("Europe/Berlin")


def _last_sunday(month: int) -> date:
    """Of next year, as the rule of the European Union has it."""
    day = date(datetime.now(UTC).year + 1, month, 31)
    return day - timedelta(days=(day.weekday() + 1) % 7)


def _event(message: EmailMessage) -> tuple[icalendar.Calendar, icalendar.Component]:
    (part,) = [part for part in message.walk() if part.get_content_type() == "text/calendar"]
    calendar = icalendar.Calendar.from_ical(part.get_content())
    (event,) = calendar.walk("VEVENT")
    return calendar, event


def test_the_local_time_is_right_on_both_sides_of_a_change_and_in_the_hour_that_comes_twice(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    spring, autumn = _last_sunday(3), _last_sunday(10)
    starts = [
        datetime.combine(spring - timedelta(days=1), datetime.min.time(), BERLIN).replace(hour=9),
        datetime.combine(spring, datetime.min.time(), BERLIN).replace(hour=9),
        datetime.combine(autumn - timedelta(days=1), datetime.min.time(), BERLIN).replace(hour=9),
        datetime.combine(autumn, datetime.min.time(), BERLIN).replace(hour=2, minute=30, fold=0),
        datetime.combine(autumn, datetime.min.time(), BERLIN).replace(hour=2, minute=30, fold=1),
        datetime.combine(autumn, datetime.min.time(), BERLIN).replace(hour=9),
    ]
    references = book(clinic, len(starts))
    for reference, start in zip(references, starts, strict=True):
        clinic.run(
            "UPDATE appointment SET during = tstzrange(%s, %s) WHERE appointment_id = app.appointment_id_of(%s)",
            (start.astimezone(UTC), start.astimezone(UTC) + timedelta(minutes=20), reference),
        )
    workers.burst()
    found, texts = {}, {}
    for message in mail.accepted:
        _, event = _event(message)
        reference = str(event["UID"]).partition("@")[0]
        found[reference] = (event["DTSTART"].dt, event["DTEND"].dt)
        texts[reference] = message.get_body(("plain",)).get_content()
    for reference, start in zip(references, starts, strict=True):
        began, ended = found[reference]
        local = began.astimezone(BERLIN)
        assert (local.replace(tzinfo=None), local.utcoffset()) == (
            start.replace(tzinfo=None, fold=0),
            start.utcoffset(),
        )
        assert ended - began == timedelta(minutes=20)
        assert f"{start:%H:%M} to " in texts[reference]
    first, second = (texts[reference] for reference in references[3:5])
    assert "02:30 to 02:50 (Europe/Berlin, UTC+02:00)" in first
    assert "02:30 to 02:50 (Europe/Berlin, UTC+01:00)" in second
    assert "(Europe/Berlin)" in texts[references[5]]


def test_a_change_and_a_cancellation_are_about_the_same_event_with_a_higher_number(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    (reference,) = book(clinic, 1)
    workers.burst()
    for day in (3, 4):
        appointments.reschedule(clinic.context, reference, clinic.request("", "blood", clinic.slot("blood", day)))
        workers.burst()
    appointments.cancel(clinic.context, reference)
    workers.burst()
    read = [_event(message) for message in mail.accepted]
    assert [str(calendar["METHOD"]) for calendar, _ in read] == ["REQUEST", "REQUEST", "REQUEST", "CANCEL"]
    assert len({str(event["UID"]) for _, event in read}) == 1
    numbers = [int(event["SEQUENCE"]) for _, event in read]
    assert numbers == sorted(set(numbers)), "a calendar keeps the highest"
    starts = [event["DTSTART"].dt for _, event in read]
    assert len(set(starts)) == 3 and starts[2] == starts[3], "a cancellation is about where it stood last"
