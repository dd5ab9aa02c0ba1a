"""Reminders: one for an appointment and a time, whoever makes them and however often."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta

import pytest

from bookcli.core.errors import InvalidInput, NotAllowed, NotFound, Refused
from bookcli.core.model.requests import new_key
from bookcli.core.services import appointments, catalog, notifications
from tests.clinic import Clinic
from tests.processes import Crowd
from tests.worker.conftest import BOOKCLI, Workers, book, states
from tests.worker.mail_server import MailServer

FAR = timedelta(days=30)


def _reminders(clinic: Clinic) -> int:
    return int(clinic.row("SELECT count(*) FROM notification WHERE kind = 'reminder'")[0])


def _remind(context, within):  # type: ignore[no-untyped-def]
    return notifications.remind(context, within)


def test_overlapping_runs_make_one_reminder_each(clinic: Clinic) -> None:
    book(clinic, 20)
    crowd = Crowd()
    try:
        results = crowd.at_once(_remind, clinic.context.dsn, [(FAR,)] * 6)
    finally:
        crowd.close()
    assert {found for found, _ in results} == {20} and sum(made for _, made in results) == 20
    assert _reminders(clinic) == 20


def test_only_what_is_booked_begins_in_time_and_is_at_the_site(clinic: Clinic) -> None:
    references = book(clinic, 3)
    appointments.cancel(clinic.context, references[0])
    assert notifications.remind(clinic.context, timedelta(minutes=5)) == (0, 0)
    assert notifications.remind(clinic.context, FAR, site="south") == (0, 0)
    assert notifications.remind(clinic.context, FAR, dry=True) == (2, 2) and _reminders(clinic) == 0
    assert notifications.remind(clinic.context, FAR, site="north") == (2, 2)
    assert notifications.remind(clinic.context, FAR, dry=True) == (2, 0)
    with pytest.raises(NotFound):
        notifications.remind(clinic.context, FAR, site="nowhere")


def test_one_that_is_moved_is_reminded_of_anew_and_of_each_time_once(clinic: Clinic) -> None:
    (reference,) = book(clinic, 1)
    for _ in range(2):
        notifications.remind(clinic.context, FAR)
        notifications.remind(clinic.context, timedelta(days=20))
    assert _reminders(clinic) == 2
    appointments.reschedule(clinic.context, reference, clinic.request("", "blood", clinic.slot("blood", 4)))
    notifications.remind(clinic.context, FAR)
    assert _reminders(clinic) == 3


def test_a_worker_sends_reminders_and_none_for_what_was_cancelled_meanwhile(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    references = book(clinic, 2)
    workers.burst()
    done = subprocess.run(
        [BOOKCLI, "remind", "--within", "60d", "--json"], env=workers.environment, capture_output=True, text=True
    )
    assert json.loads(done.stdout)["reminders"] == [{"appointments": 2, "made": 2}], done.stderr
    appointments.cancel(clinic.context, references[0])
    workers.burst()
    subjects = sorted(message["Subject"].strip().partition(" ")[0] for message in mail.accepted)
    assert subjects == ["Reminder:", "Your", "Your", "Your"]
    assert states(clinic) == {"sent": 4, "cancelled": 1} and clinic.sound()


def test_a_desk_sees_stops_and_repeats_messages(clinic: Clinic, workers: Workers, mail: MailServer) -> None:
    first, _ = book(clinic, 2)
    (one,) = notifications.list_(clinic.context, reference=first)
    assert (one["state"], one["kind"], one["site"]) == ("waiting", "confirmation", "north")
    notifications.stop(clinic.context, one["id"])
    workers.burst()
    assert [message["To"] for message in mail.accepted] == ["p2@patients.example"]
    assert notifications.show(clinic.context, one["id"])["reason"] == "stopped"
    (other,) = notifications.list_(clinic.context, state="sent")
    with pytest.raises(Refused):
        notifications.stop(clinic.context, other["id"])
    for number in (one["id"], other["id"]):
        notifications.retry(clinic.context, number)
    workers.burst()
    assert len(mail.accepted) == 3 and len(mail.ids) == 3, "sent again on purpose is another message"
    assert clinic.sound()
    with pytest.raises(NotFound):
        notifications.retry(clinic.context, 999)


def test_a_preview_says_what_would_be_sent_and_sends_nothing(
    clinic: Clinic, workers: Workers, mail: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (reference,) = book(clinic, 1)
    monkeypatch.setenv("BOOKCLI_MAIL_FROM", "a@clinic.example")
    own = clinic.context.paths.templates
    own.mkdir(parents=True)
    words = [BOOKCLI, "message", "preview", reference, "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["message"][0]["recipient"] == "p1@patients.example", done.stderr
    own.joinpath("confirmation.en.txt").write_text("Subject: Hello\n\nCome, {{ patient }}.", encoding="utf-8")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert json.loads(done.stdout)["message"][0]["text"].startswith("Come, Ana"), done.stderr
    own.joinpath("confirmation.en.txt").write_text("{{ ''.__class__.__mro__ }} {{ nobody }}", encoding="utf-8")
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "template-invalid" in done.stderr and "Ana" not in done.stderr
    assert mail.accepted == []


def test_the_numbers_to_watch_are_printed_for_prometheus(clinic: Clinic, workers: Workers) -> None:
    book(clinic, 2)
    workers.burst()
    done = subprocess.run([BOOKCLI, "metrics"], env=workers.environment, capture_output=True, text=True)
    assert 'bookcli_messages_sent_last_hour{channel="email",kind="confirmation"} 2.0' in done.stdout, done
    assert "bookcli_oversold_slots 0.0" in done.stdout


def test_only_a_worker_is_handed_what_messages_are_written_from(clinic: Clinic) -> None:
    book(clinic, 1)
    with pytest.raises(NotAllowed):
        notifications.claim(clinic.context, 5)
    with pytest.raises(NotAllowed):
        notifications.lease(clinic.context, [1], 60)


def _due_in(clinic: Clinic, minutes: int) -> None:
    """Moves every appointment, with its slot, so that the first begins in so many minutes."""
    clinic.run("DELETE FROM slot WHERE slot_id NOT IN (SELECT slot_id FROM appointment)")
    clinic.run(
        "UPDATE slot SET starts_at = starts_at + d, ends_at = ends_at + d FROM"
        " (SELECT now() + make_interval(mins => %s) - min(lower(during)) AS d FROM appointment) x",
        (minutes,),
    )
    clinic.run(
        "UPDATE appointment a SET during = tstzrange(s.starts_at, s.ends_at) FROM slot s WHERE s.slot_id = a.slot_id"
    )


def test_each_test_has_its_own_times_and_each_time_is_one_reminder(clinic: Clinic) -> None:
    book(clinic, 1)
    catalog.save_test(clinic.context, {"code": "blood", "name": "Blood draw", "remind_before": "2h, 1d,90m"})
    assert catalog.test(clinic.context, "blood").remind_before == "24h,2h,90m"
    for minutes, made in ((25 * 60, 0), (23 * 60, 1), (3 * 60, 0), (119, 1), (100, 0), (89, 1), (10, 0)):
        # Time passes: the reminders that were made keep the moment that they are for.
        before = clinic.row("SELECT lower(during) FROM appointment")[0]
        _due_in(clinic, minutes)
        clinic.run(
            "UPDATE notification SET moment = moment + ((SELECT lower(during) FROM appointment) - %s)", (before,)
        )
        assert notifications.remind(clinic.context, None, dry=True)[1] == made, minutes
        assert [notifications.remind(clinic.context, None)[1] for _ in range(2)] == [made, 0], minutes
    assert _reminders(clinic) == 3


def test_of_several_times_that_have_passed_only_the_last_is_made_up_for(clinic: Clinic) -> None:
    book(clinic, 1)
    catalog.save_test(clinic.context, {"code": "blood", "name": "Blood draw", "remind_before": "24h,2h"})
    _due_in(clinic, 60)
    assert notifications.remind(clinic.context, None) == (1, 1)
    assert notifications.remind(clinic.context, None) == (1, 0)


def test_a_test_without_times_is_not_reminded_of_unless_somebody_says_when(clinic: Clinic) -> None:
    book(clinic, 2)
    catalog.save_test(clinic.context, {"code": "blood", "name": "Blood draw", "remind_before": "none"})
    _due_in(clinic, 60)
    assert notifications.remind(clinic.context, None) == (0, 0)
    assert notifications.remind(clinic.context, FAR) == (2, 2)


def test_overlapping_runs_by_the_tests_own_times_make_one_each(clinic: Clinic) -> None:
    references = book(clinic, 8)
    appointments.cancel(clinic.context, references[0])
    _due_in(clinic, 60)
    crowd = Crowd()
    try:
        results = crowd.at_once(_remind, clinic.context.dsn, [(None,)] * 6)
    finally:
        crowd.close()
    assert sum(made for _, made in results) == _reminders(clinic) == 7


@pytest.mark.parametrize("text", ["1", "4m", "61d", "2h,", "1h,2h,3h,4h,5h,6h", "soon"])
def test_times_that_are_none_are_refused(clinic: Clinic, text: str) -> None:
    with pytest.raises(InvalidInput):
        catalog.save_test(clinic.context, {"code": "blood", "name": "Blood draw", "remind_before": text})


def test_a_visit_is_reminded_of_in_one_message_with_the_preparation_of_all_its_tests(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    asked = [clinic.request(2, "blood", clinic.slot("blood")), clinic.request(2, "mri", clinic.slot("mri", 1, 4))]
    assert appointments.visit(clinic.context, asked, new_key()).outcome == "booked"
    workers.burst()
    until_blood = clinic.row("SELECT min(lower(during)) - now() FROM appointment")[0]
    assert notifications.remind(clinic.context, until_blood + timedelta(minutes=10)) == (1, 2), "the MRI begins later"
    workers.burst()
    _, message = mail.accepted
    text = message.get_body(("plain",)).get_content()
    assert message["Subject"].startswith("Reminder:") and "No metal." in text and "Nothing to eat" in text
    (again,) = [row["id"] for row in notifications.list_(clinic.context) if row["kind"] == "reminder"][:1]
    notifications.retry(clinic.context, again)
    workers.burst()
    assert len(mail.accepted) == 3 and "No metal." in mail.accepted[2].get_body(("plain",)).get_content()
    assert len(mail.ids) == 3 and clinic.sound()


def test_remind_without_a_time_is_a_command(clinic: Clinic, workers: Workers) -> None:
    book(clinic, 2)
    _due_in(clinic, 60)
    done = subprocess.run([BOOKCLI, "remind", "--json"], env=workers.environment, capture_output=True, text=True)
    assert json.loads(done.stdout)["reminders"] == [{"appointments": 2, "made": 2}], done.stderr
