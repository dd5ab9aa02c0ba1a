"""A worker sends what was promised, from the booking to the mail server, with real processes on every side."""

from __future__ import annotations

import signal
from email.message import EmailMessage

import icalendar

from bookcli.core.model.pending import visit
from bookcli.core.model.requests import new_key
from bookcli.core.services import appointments, audit
from tests.clinic import Clinic
from tests.worker.conftest import Workers, book, eventually, states
from tests.worker.mail_server import MailServer


def calendar_of(message: EmailMessage) -> icalendar.Component:
    """The event in the first attachment."""
    (part, *_) = [part for part in message.walk() if part.get_content_type() == "text/calendar"]
    calendar = icalendar.Calendar.from_ical(part.get_content())
    assert calendar["METHOD"] == part.get_param("method")
    return calendar.walk("VEVENT")[0]


def test_a_booking_is_confirmed_by_mail_with_a_calendar_file(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    (reference,) = book(clinic, 1)
    said = workers.burst()
    assert len(mail.accepted) == 1, (said, clinic.rows("SELECT * FROM notification"))
    (message,) = mail.accepted
    assert message["To"] == "p1@patients.example"
    text = message.get_body(("plain",)).get_content()
    assert reference in text and "08:00 to 08:30 (Europe/Berlin)" in text and "Nothing to eat for 8 hours." in text
    assert "Blood" not in message["Subject"]
    event = calendar_of(message)
    assert event["UID"] == f"{reference}@clinic.example" and event["SEQUENCE"] == 0
    assert event["DTSTART"].dt == clinic.row("SELECT lower(during) FROM appointment")[0]
    assert b"TZID" not in event.to_ical() and "Blood" not in event["SUMMARY"]
    assert states(clinic) == {"sent": 1} and clinic.sound()


def test_a_move_and_a_cancellation_change_the_same_event(clinic: Clinic, workers: Workers, mail: MailServer) -> None:
    (reference,) = book(clinic, 1)
    workers.burst()
    appointments.reschedule(clinic.context, reference, clinic.request("", "blood", clinic.slot("blood", 3)))
    workers.burst()
    appointments.cancel(clinic.context, reference)
    workers.burst()
    events = [calendar_of(message) for message in mail.accepted]
    assert {str(event["UID"]) for event in events} == {f"{reference}@clinic.example"}
    assert [event["SEQUENCE"] for event in events] == [0, 1, 2]
    assert [str(event["STATUS"]) for event in events] == ["CONFIRMED", "CONFIRMED", "CANCELLED"]


def test_a_visit_is_confirmed_in_one_message(clinic: Clinic, workers: Workers, mail: MailServer) -> None:
    clinic.run("UPDATE patient SET language = 'de-CH' WHERE mrn = 'P2'")
    asked = [clinic.request(2, "blood", clinic.slot("blood")), clinic.request(2, "mri", clinic.slot("mri", 1, 2))]
    assert appointments.visit(clinic.context, asked, new_key()).outcome == "booked"
    assert len(visit(asked, new_key(), in_order=False).requests) == 2
    workers.burst()
    (message,) = mail.accepted
    text = message.get_body(("plain",)).get_content()
    assert "Nothing to eat for 8 hours." in text and "No metal." in text and text.startswith("Guten Tag")
    assert len(list(message.iter_attachments())) == 2
    assert states(clinic) == {"sent": 2} and clinic.sound()


def test_what_was_cancelled_before_it_was_confirmed_is_not_confirmed(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    (reference,) = book(clinic, 1)
    appointments.cancel(clinic.context, reference)
    workers.burst()
    assert ["cancelled" in message["Subject"] for message in mail.accepted] == [True]
    assert states(clinic) == {"sent": 1, "cancelled": 1}


def test_a_booking_wakes_a_running_worker(clinic: Clinic, workers: Workers, mail: MailServer) -> None:
    process = workers.start()
    book(clinic, 5)
    mail.await_messages(5)
    eventually(lambda: states(clinic) == {"sent": 5})
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0


def test_one_bad_address_does_not_stop_the_rest(clinic: Clinic, workers: Workers, mail: MailServer) -> None:
    book(clinic, 6)
    clinic.run("UPDATE patient SET email = 'no address' WHERE mrn = 'P3'")
    clinic.run("UPDATE patient SET email = '' WHERE mrn = 'P4'")
    mail.answers = {"p1@patients.example": "550 unknown", "p2@patients.example": "451 later"}
    workers.burst("--processes", "1")
    assert sorted(message["To"] for message in mail.accepted) == ["p5@patients.example", "p6@patients.example"]
    assert states(clinic) == {"sent": 2, "failed": 2, "waiting": 1, "cancelled": 1}
    reasons = {reason for (reason,) in clinic.rows("SELECT reason FROM notification WHERE sent_at IS NULL")}
    assert reasons == {"smtp-550", "smtp-451", "bad-address", "no-address"}
    mail.answers = {}
    clinic.run("UPDATE notification SET due_at = now() WHERE reason = 'smtp-451'")
    workers.burst()
    assert states(clinic)["sent"] == 3


def test_the_connection_cut_after_the_final_dot_means_the_same_message_again(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    book(clinic, 1)
    mail.after_dot = lambda _: "drop"
    workers.burst()
    assert states(clinic) == {"waiting": 1}
    mail.after_dot = lambda _: "250 taken"
    clinic.run("UPDATE notification SET due_at = now()")
    workers.burst()
    assert states(clinic) == {"sent": 1} and list(mail.ids.values()) == [2]


def test_a_mail_server_that_is_away_costs_no_attempt(clinic: Clinic, workers: Workers, mail: MailServer) -> None:
    book(clinic, 3)
    mail.stop()
    workers.burst()
    assert clinic.rows("SELECT DISTINCT attempts, reason, due_at > now() FROM notification") == [
        (0, "smtp-refused", True)
    ]


def test_what_fails_too_often_is_given_up(clinic: Clinic, workers: Workers, mail: MailServer) -> None:
    book(clinic, 1)
    mail.answers = {"p1@patients.example": "451 later"}
    clinic.run("UPDATE notification SET attempts = 9")
    for _ in range(2):
        workers.burst()
        clinic.run("UPDATE notification SET due_at = now()")
    assert clinic.row("SELECT app.message_state(n), reason, attempts FROM app.notification n") == (
        "failed", "smtp-451", 10,
    )  # fmt: skip


def test_sending_is_audited_as_the_worker_and_says_no_name(clinic: Clinic, workers: Workers, mail: MailServer) -> None:
    (reference,) = book(clinic, 1)
    workers.burst()
    entries = [one for one in audit.list_(clinic.context) if one.action in ("send", "look-send")]
    assert {(one.action, one.actor, one.staff, one.patient) for one in entries} == {
        ("send", "tests_worker", "", "P1"), ("look-send", "tests_worker", "", "P1"),
    }  # fmt: skip
    assert {one.reference for one in entries} >= {reference}
