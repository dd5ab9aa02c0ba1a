"""The waiting list: a place that becomes free is held for the first who waits for it, and they are told."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta

import pytest

from bookcli.core.context import Context
from bookcli.core.errors import InvalidInput, NotFound
from bookcli.core.services import appointments, audit, catalog, notifications, patients, places, waitlist
from tests.clinic import Clinic
from tests.processes import Crowd
from tests.worker.conftest import Workers, states
from tests.worker.mail_server import MailServer


@pytest.fixture
def full(clinic: Clinic) -> Iterator[list[str]]:
    """The MRI of day 3 is booked out by P11 to P20 and more; their references, by slot."""
    clinic.run(
        "UPDATE slot SET status = 'busy-unavailable' WHERE resource_id = (SELECT resource_id FROM resource"
        " WHERE code = 'mri-1') AND slot_id NOT IN (%s, %s)",
        (clinic.slot("mri", 3), clinic.slot("mri", 3, 1)),
    )
    references = []
    for index, patient in enumerate((11, 12)):
        outcome = appointments.book(clinic.context, clinic.request(patient, "mri", clinic.slot("mri", 3, index)))
        references.append(outcome.verdicts[0].reference or "")
    yield references


def _wait(clinic: Clinic, patient: int, **more: str) -> int:
    wish = places.Wish("mri", ["north"], **more)
    return waitlist.add(clinic.context, f"P{patient}", "mri", wish)[1]


def _waiting(clinic: Clinic) -> dict[str, str | None]:
    """Patient number → the reference that is held for them now."""
    return {row["patient"]: row["offered"] for row in waitlist.list_(clinic.context)}


def test_the_first_who_waits_is_offered_what_becomes_free_and_books_it(
    clinic: Clinic, full: list[str], working: Context, workers: Workers, mail: MailServer
) -> None:
    first, second = _wait(clinic, 1), _wait(clinic, 2)
    assert first < second and waitlist.offer(working) == 0
    appointments.cancel(clinic.context, full[0])
    assert waitlist.offer(working) == 1 and waitlist.offer(working) == 0
    held = _waiting(clinic)
    assert held["P1"] is not None and held["P2"] is None
    workers.burst()
    (message,) = [message for message in mail.accepted if "become free" in message["Subject"]]
    text = message.get_body(("plain",)).get_content()
    assert message["To"] == "p1@patients.example" and held["P1"] in text and "NOT booked yet" in text
    assert "MRI" not in message["Subject"] and "No metal." in text
    assert appointments.confirm(clinic.context, held["P1"]).verdict == "booked"
    assert waitlist.offer(working) == 0 and _waiting(clinic) == {"P2": None}, "whoever is booked waits no longer"
    workers.burst()
    assert states(clinic)["sent"] == 4 and clinic.sound()


def test_an_offer_that_is_not_taken_goes_to_the_next_and_comes_no_second_time(
    clinic: Clinic, full: list[str], working: Context, workers: Workers, mail: MailServer
) -> None:
    _wait(clinic, 1)
    _wait(clinic, 2)
    appointments.cancel(clinic.context, full[0])
    assert waitlist.offer(working) == 1
    clinic.run("UPDATE appointment SET held_until = now() WHERE status = 'pending'")
    assert appointments.let_holds_expire(working) == 1
    assert waitlist.offer(working) == 1 and waitlist.offer(working) == 0
    assert _waiting(clinic)["P1"] is None and _waiting(clinic)["P2"] is not None
    workers.burst()
    offers = [message["To"] for message in mail.accepted if "become free" in message["Subject"]]
    assert offers == ["p2@patients.example"], "nobody is offered what is not kept for them any more"
    assert clinic.row("SELECT count(*) FROM notification WHERE reason = 'offer-over'") == (1,) and clinic.sound()


def test_a_place_is_held_as_long_as_the_site_says_and_never_by_two_workers(
    clinic: Clinic, full: list[str], working: Context
) -> None:
    catalog.save_site(clinic.context, {"code": "north", "name": "Clinic North", "offer_minutes": "90"})
    for patient in (1, 2, 3):
        _wait(clinic, patient)
    appointments.cancel(clinic.context, full[0])
    crowd = Crowd()
    try:
        made = crowd.at_once(_offer, working.settings.database_url, [()] * 6)
    finally:
        crowd.close()
    assert sum(made) == 1 and list(_waiting(clinic).values()).count(None) == 2
    (left,) = clinic.row("SELECT held_until - now() FROM appointment WHERE status = 'pending'")
    assert timedelta(minutes=80) < left <= timedelta(minutes=90) and clinic.sound()


def _offer(context: Context) -> int:
    context.settings = dataclasses.replace(context.settings, smtp_url="smtp://mail.example")
    notifications.sign_in_worker(context)
    return waitlist.offer(context)


def test_nobody_is_offered_what_does_not_fit_them(clinic: Clinic, full: list[str], working: Context) -> None:
    _wait(clinic, 1, first_day="+20d")
    _wait(clinic, 12)
    appointments.cancel(clinic.context, full[0])
    assert waitlist.offer(working) == 1, "P12 has another of the same day, and may have both"
    assert _waiting(clinic) == {"P1": None, "P12": _waiting(clinic)["P12"]}
    clash = clinic.slot("blood", 3, 1)
    assert appointments.book(clinic.context, clinic.request(2, "blood", clash)).outcome == "booked"
    _wait(clinic, 2)
    appointments.cancel(clinic.context, full[1])
    for _ in range(3):
        assert waitlist.offer(working) == 0
    refused = clinic.rows("SELECT verdict FROM request WHERE appointment_id IS NULL")
    assert refused == [("patient-overlap",)], "asked once, not at every look"
    assert clinic.sound()


def test_nobody_is_offered_a_place_in_quiet_hours_or_one_that_begins_too_soon(
    clinic: Clinic, full: list[str], working: Context
) -> None:
    _wait(clinic, 1)
    appointments.cancel(clinic.context, full[0])
    clinic.run(
        "UPDATE site SET quiet_from = (now() AT TIME ZONE zone - interval '1 hour')::time,"
        " quiet_until = (now() AT TIME ZONE zone + interval '1 hour')::time"
    )
    assert waitlist.offer(working) == 0
    clinic.run("UPDATE site SET quiet_from = NULL, quiet_until = NULL, offer_minutes = 10080")
    assert waitlist.offer(working) == 0, "it would begin before the answer"
    clinic.run("UPDATE site SET offer_minutes = 60")
    assert waitlist.offer(working) == 1


def test_who_waits_twice_keeps_the_turn_and_who_is_taken_off_is_offered_nothing(
    clinic: Clinic, full: list[str], working: Context
) -> None:
    first = _wait(clinic, 1, first_day="+30d")
    _wait(clinic, 2)
    assert waitlist.add(clinic.context, "P1", "mri", places.Wish("mri", ["north"])) == ("changed", first)
    for _ in range(2):
        waitlist.remove(clinic.context, first)
    appointments.cancel(clinic.context, full[0])
    assert waitlist.offer(working) == 1 and list(_waiting(clinic)) == ["P2"]
    entries = [one.action for one in audit.list_(clinic.context)]
    assert {"wait", "stop-waiting", "look-waitlist", "hold"} <= set(entries)
    clinic.run("UPDATE waiting SET days = daterange('2020-01-01', '2020-01-02') WHERE patient_id = 2")
    clinic.run("UPDATE appointment SET held_until = now() WHERE status = 'pending'")
    assert waitlist.offer(working) == 0 and _waiting(clinic) == {}
    ended = "SELECT patient_id, after ->> 'why', actor FROM audit WHERE action = 'stop-waiting' ORDER BY audit_id"
    assert clinic.rows(ended) == [(1, None, "tests_desk"), (2, "over", "tests_worker")]


def test_what_is_unknown_is_said(clinic: Clinic) -> None:
    for patient, test, site in (("P999", "mri", "north"), ("P1", "nope", "north"), ("P1", "mri", "nowhere")):
        with pytest.raises(NotFound):
            waitlist.add(clinic.context, patient, test, places.Wish(test, [site]))
    with pytest.raises(NotFound):
        waitlist.remove(clinic.context, 99)
    with pytest.raises(InvalidInput):
        waitlist.add(clinic.context, "P1", "mri", places.Wish("mri", ["north"], last_day="+400d"))


def test_no_place_is_held_for_somebody_who_is_never_told(clinic: Clinic, full: list[str], working: Context) -> None:
    for patient in (1, 2, 3, 4):
        _wait(clinic, patient)
    clinic.run("UPDATE patient SET consent = 'declined' WHERE mrn = 'P1'")
    clinic.run("UPDATE patient SET channel = 'none' WHERE mrn = 'P2'")
    clinic.run("UPDATE patient SET email = '', phone = '' WHERE mrn = 'P3'")
    appointments.cancel(clinic.context, full[0])
    assert waitlist.offer(working) == 1
    assert [patient for patient, held in _waiting(clinic).items() if held] == ["P4"]


def test_somebody_at_the_end_of_a_long_list_has_their_turn(clinic: Clinic, full: list[str], working: Context) -> None:
    """Every look takes so long that no call of the database gets through the list."""
    for patient in (1, 2, 3):
        _wait(clinic, patient)
    appointments.cancel(clinic.context, full[0])
    clinic.run("ALTER FUNCTION app.next_offer RENAME TO quick_offer")
    clinic.run(
        "CREATE FUNCTION app.next_offer(w app.waiting) RETURNS TABLE (slot_id integer, version integer) LANGUAGE sql"
        " SET search_path = app, ext AS $$ SELECT q.* FROM (SELECT pg_sleep(2.1) OFFSET 0) s, app.quick_offer(w) q"
        " WHERE w.patient_id = (SELECT patient_id FROM app.patient WHERE mrn = 'P3') $$"
    )
    assert waitlist.offer(working) == 1
    assert [patient for patient, held in _waiting(clinic).items() if held] == ["P3"]


def test_who_waited_under_two_records_keeps_the_earlier_turn(clinic: Clinic, full: list[str], working: Context) -> None:
    early, _, late = (_wait(clinic, patient) for patient in (1, 3, 2))
    blood = waitlist.add(clinic.context, "P1", "blood", places.Wish("blood", ["north"]))[1]
    patients.merge(clinic.context, "P2", "P1")
    first = waitlist.list_(clinic.context, test="mri")[0]
    assert (first["id"], first["patient"]) == (early, "P2")
    assert [row["patient"] for row in waitlist.list_(clinic.context)] == ["P2", "P3", "P2"]
    assert clinic.row("SELECT reason FROM waiting WHERE waiting_id = %s", (late,)) == ("removed",)
    assert clinic.row("SELECT patient_id FROM waiting WHERE waiting_id = %s", (blood,)) == (2,)
    appointments.cancel(clinic.context, full[0])
    assert waitlist.offer(working) == 2, "the MRI, and a blood draw that was free all the time"
    assert [bool(row["offered"]) for row in waitlist.list_(clinic.context)] == [True, False, True]
