"""Reminders: one for an appointment and a time, whoever makes them and however often."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta

import pytest

from bookcli.core.errors import NotAllowed, NotFound, Refused
from bookcli.core.services import appointments, notifications
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
