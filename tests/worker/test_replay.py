"""What a desk kept while the database was away is booked by a worker, under the name of whoever asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from bookcli.core import clock
from bookcli.core.context import Context
from bookcli.core.db import engine, gateway, kernel, server
from bookcli.core.errors import NotAllowed
from bookcli.core.model.pending import Kept, booking, visit
from bookcli.core.model.requests import new_key
from bookcli.core.services import appointments, audit, notifications, pending, pending_copies
from tests.clinic import Clinic
from tests.servers import login_as
from tests.valkeys import Valkey
from tests.worker.conftest import Workers
from tests.worker.mail_server import MailServer


@pytest.fixture
def worker(clinic: Clinic, valkey: Valkey, tmp_path: Path) -> Iterator[Context]:
    """A worker with the key of the copies."""
    key = tmp_path / "pending.key"
    key.write_text("ab" * 32)
    key.chmod(0o600)
    settings = dataclasses.replace(
        clinic.context.settings,
        database_url=login_as(clinic.owner_dsn, "worker"),
        redis_url=valkey.url,
        pending_key=str(key),
    )
    with Context(settings, clinic.context.paths) as context:
        notifications.sign_in_worker(context)
        yield context


def copied(clinic: Clinic, worker: Context, asked_by: str, index: int = 0) -> Kept:
    """A request that somebody made at a desk that is switched off by now."""
    request = clinic.request(index + 1, "blood", clinic.slot("blood", 3, index))
    where = engine.address(clinic.context.dsn), server.identity(clinic.context.connection())
    kept = Kept(booking(request), clock.now(), asked_by, "reception", *where)
    pending_copies.add(worker, kept)
    return kept


def test_a_worker_books_under_the_name_of_whoever_asked_and_once(clinic: Clinic, worker: Context) -> None:
    gateway.sign_in_here(clinic.owner, "rosa", "desk")
    kept = copied(clinic, worker, "rosa")
    copied_again = pending_copies.add(worker, kept)
    assert copied_again is None
    assert pending.replay_copies(worker) == 2 and pending.replay_copies(worker) == 0
    assert clinic.row("SELECT count(*) FROM appointment") == (1,)
    (entry,) = [one for one in audit.list_(clinic.context) if one.action == "book"]
    assert (entry.staff, entry.actor) == ("rosa", "tests_worker")
    assert kernel.book(clinic.owner, [kept.asked.requests[0].document()])[0].verdict == "booked"
    assert clinic.sound()


def test_nobody_who_left_or_may_not_book_is_booked_for_and_the_rest_goes_on(clinic: Clinic, worker: Context) -> None:
    for name, role in (("rosa", "desk"), ("left", "desk"), ("auditor", "auditor")):
        gateway.sign_in_here(clinic.owner, name, role)
    clinic.run("UPDATE staff SET disabled_at = now() WHERE name = 'left'")
    for index, name in enumerate(("left", "auditor", "nobody", "", "rosa")):
        copied(clinic, worker, name, index)
    assert pending.replay_copies(worker) == 1
    assert clinic.rows("SELECT DISTINCT staff FROM audit WHERE action = 'book'") == [("rosa",)]


def test_a_worker_cannot_book_by_itself(clinic: Clinic, worker: Context) -> None:
    document = clinic.request(1, "blood", clinic.slot("blood")).document()
    with pytest.raises(NotAllowed):
        kernel.book(worker.connection(), [document])


def test_somebody_bound_to_a_site_is_booked_for_only_there(clinic: Clinic, worker: Context) -> None:
    gateway.sign_in_here(clinic.owner, "rosa", "desk")
    clinic.run("UPDATE staff SET sites = ARRAY(SELECT site_id FROM site WHERE code = 'south') WHERE name = 'rosa'")
    copied(clinic, worker, "rosa")
    pending.replay_copies(worker)
    assert clinic.row("SELECT count(*) FROM appointment") == (0,)


def _full(clinic: Clinic, test: str, day: int, index: int = 0) -> None:
    """Sells every place of a slot to others."""
    clinic.run("UPDATE slot SET status = 'busy-unavailable' WHERE slot_id = %s", (clinic.slot(test, day, index),))


def _refusals(clinic: Clinic) -> list[tuple[str, str]]:
    return clinic.rows(
        "SELECT p.mrn, app.message_state(n) FROM app.notification n JOIN app.refusal r USING (request_key)"
        " JOIN app.patient p USING (patient_id) WHERE n.kind = 'refusal' ORDER BY 1"
    )


def test_whoever_went_home_is_told_once_that_nothing_was_booked(
    clinic: Clinic, worker: Context, workers: Workers, mail: MailServer
) -> None:
    gateway.sign_in_here(clinic.owner, "rosa", "desk")
    _full(clinic, "blood", 3, 0)
    kept = copied(clinic, worker, "rosa")
    copied(clinic, worker, "rosa", 1)
    assert pending.replay_copies(worker) == 2
    pending_copies.add(worker, kept)
    assert pending.replay_copies(worker) == 1
    assert _refusals(clinic) == [("P1", "waiting")], "one refused, the other booked; and asked again it is the same"
    workers.burst()
    told = {message["To"]: message for message in mail.accepted}
    assert told.keys() == {"p1@patients.example", "p2@patients.example"}
    message = told["p1@patients.example"]
    text = message.get_body(("plain",)).get_content()
    assert "could not book" in message["Subject"] and "Blood draw" in text and "+49 30 901820" in text
    assert [part for part in message.walk() if part.get_content_type() == "text/calendar"] == []
    (row,) = [row for row in notifications.list_(clinic.context) if row["kind"] == "refusal"]
    assert (row["state"], row["reference"], row["site"]) == ("sent", "", "north") and clinic.sound()
    assert [one.patient for one in audit.list_(clinic.context) if one.action == "send"].count("P1") == 1
    notifications.retry(clinic.context, row["id"])
    workers.burst()
    assert len(mail.accepted) == 3


def test_a_desk_that_replays_by_itself_has_the_patient_told_too_unless_they_declined(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    _full(clinic, "blood", 3, 0)
    clinic.run("UPDATE patient SET consent = 'declined' WHERE mrn = 'P2'")
    for patient in (1, 2):
        asked = booking(clinic.request(patient, "blood", clinic.slot("blood", 3)))
        ended = pending._ask(clinic.context, asked)
        assert (ended.outcome, ended.reason) == ("refused", "slot-closed")
    assert appointments.book(clinic.context, clinic.request(3, "blood", clinic.slot("blood", 3))).outcome == "refused"
    workers.burst()
    assert _refusals(clinic) == [("P1", "sent"), ("P2", "cancelled")], "P3 was told at the desk"


def test_a_visit_that_was_refused_is_one_message_and_what_has_expired_is_told(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    _full(clinic, "mri", 1, 2)
    parts = [clinic.request(2, "blood", clinic.slot("blood")), clinic.request(2, "mri", clinic.slot("mri", 1, 2))]
    pending._ask(clinic.context, visit(parts, new_key(), in_order=False))
    begun = "starts_at = now() - interval '10 min', ends_at = now() + interval '20 min'"
    clinic.run(f"UPDATE slot SET {begun} WHERE slot_id = %s", (clinic.slot("xray"),))
    ended = pending._ask(clinic.context, booking(clinic.request(1, "xray", clinic.slot("xray"))))
    assert ended.outcome == "expired"
    workers.burst()
    texts = {message["To"]: message.get_body(("plain",)).get_content() for message in mail.accepted}
    assert len(mail.accepted) == 2 and "X-ray" in texts["p1@patients.example"]
    assert "Blood draw" in texts["p2@patients.example"] and "MRI" in texts["p2@patients.example"]
    assert clinic.row("SELECT count(*) FROM visit") == (0,) and clinic.sound()


def test_who_was_booked_after_all_is_not_told_of_the_refusal(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    _full(clinic, "blood", 3, 0)
    request = clinic.request(1, "blood", clinic.slot("blood", 3))
    pending._ask(clinic.context, booking(request))
    clinic.run("UPDATE slot SET status = 'free' WHERE status = 'busy-unavailable'")
    document = {**request.document(), "again": True}
    assert kernel.book(clinic.owner, [document])[0].verdict == "booked"
    workers.burst()
    assert ["could not" in message["Subject"] for message in mail.accepted] == [False]
    assert clinic.row("SELECT reason FROM notification WHERE kind = 'refusal'") == ("booked",)
