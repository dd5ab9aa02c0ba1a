"""What a desk may ask while the database is away, what is kept of it, and what becomes of it afterwards."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from bookcli.core import clock
from bookcli.core.adapters.spool import ENDED, WAITING, Spool
from bookcli.core.config import Settings
from bookcli.core.context import Context
from bookcli.core.db import kernel
from bookcli.core.errors import BookcliError, InvalidInput, NotAllowed, NotFound, Refused, Unavailable
from bookcli.core.model.pending import Kept, booking
from bookcli.core.model.requests import BookingRequest, Place, new_key
from bookcli.core.services import appointments, pending, places
from tests.clinic import Clinic, same_session

NOWHERE = "postgresql://desk:CANARY-SECRET@127.0.0.1:1/bookcli"


@pytest.fixture
def away(context: Context) -> Iterator[Context]:
    """The same desk while nobody listens at its database's address."""
    with Context(Settings(database_url=NOWHERE, desk="reception"), context.paths) as unreachable:
        same_session(unreachable)
        yield unreachable


@pytest.fixture
def spool(context: Context) -> Spool:
    return Spool(context.paths.spool)


def _ends(context: Context) -> list[tuple[str, str | None]]:
    pending.replay(context, anywhere=True)
    return [(item.outcome, item.ended.reason if item.ended else None) for item in pending.items(context)]


def test_everything_that_is_needed_to_ask_again_is_kept_and_nothing_else(
    clinic: Clinic, away: Context, spool: Spool
) -> None:
    request = clinic.request(1, "mri", clinic.slot("mri"), note="Brings an interpreter")
    assert appointments.book(away, request).outcome == "pending"
    document = spool.read(spool.names(WAITING)[0])
    assert document.keys() == {
        "version", "kind", "key", "requests", "in_order",
        "asked_at", "asked_by", "desk", "address", "database", "unknown",
    }  # fmt: skip
    assert document["requests"] == [request.document()]
    assert (document["asked_by"], document["desk"], document["address"]) == (
        "tests",
        "reception",
        "127.0.0.1:1/bookcli",
    )
    assert "CANARY-SECRET" not in json.dumps(document)
    assert Kept.of(document).asked == booking(request)


def test_the_same_key_again_waits_once_and_another_request_under_it_is_refused(
    clinic: Clinic, away: Context, spool: Spool
) -> None:
    request = clinic.request(1, "mri", clinic.slot("mri"))
    assert [appointments.book(away, request).outcome for _ in range(3)] == ["pending"] * 3
    assert spool.count(WAITING) == 1
    with pytest.raises(Refused) as refusal:
        appointments.book(away, replace(request, test="blood"))
    assert refusal.value.code == "key-reused"


HOPELESS = {
    "patient": ({"patient": "P 1"}, NotFound),
    "no patient": ({"patient": ""}, NotFound),
    "a zero byte": ({"patient": "P\x001"}, BookcliError),
    "half a character": ({"patient": "P\ud800"}, BookcliError),
    "test": ({"test": "MRI scan"}, NotFound),
    "test in bytes that are none": ({"test": "m\udcff"}, BookcliError),
    "slot": ({"place": Place(slot=2**31)}, NotFound),
    "no slot": ({"place": Place(slot=0)}, NotFound),
    "site": ({"place": Place(site="a'; --", day=datetime(2030, 1, 1, tzinfo=UTC).date())}, NotFound),
    "no day": ({"place": Place(site="north")}, InvalidInput),
    "note": ({"note": "x" * 2001}, InvalidInput),
    "escape in the note": ({"note": "\x1b[31m"}, InvalidInput),
    "a note nobody typed": ({"note": "x" * 50_000_000}, InvalidInput),
}


@pytest.mark.parametrize("what", HOPELESS)
def test_what_could_never_be_booked_is_refused_at_once_and_never_kept(
    away: Context, spool: Spool, clinic: Clinic, what: str
) -> None:
    change, kind = HOPELESS[what]
    with pytest.raises(kind) as refusal:
        appointments.book(away, replace(clinic.request(1, "mri", 1), **change))
    assert not isinstance(refusal.value, Unavailable)
    assert spool.count(WAITING) == 0


def test_a_hold_a_move_and_a_cancellation_are_not_kept_and_say_so(clinic: Clinic, away: Context, spool: Spool) -> None:
    reference = appointments.book(clinic.context, clinic.request(1, "mri", clinic.slot("mri"))).verdicts[0].reference
    assert reference is not None
    for ask in (
        lambda: appointments.hold(away, clinic.request(2, "mri", clinic.slot("mri", index=1))),
        lambda: appointments.reschedule(away, reference, BookingRequest(place=Place(slot=clinic.slot("mri", index=2)))),
        lambda: appointments.cancel(away, reference),
        lambda: appointments.confirm(away, reference),
        lambda: appointments.set_status(away, reference, "arrived"),
    ):
        with pytest.raises(Unavailable) as refusal:
            ask()
        assert refusal.value.hint.startswith("Nothing was kept:")
    assert spool.count(WAITING) == 0


def test_what_is_not_there_is_refused_when_it_is_sent(clinic: Clinic, away: Context) -> None:
    slot = clinic.slot("mri")
    for request in (
        clinic.request("NOBODY", "mri", slot),
        clinic.request(1, "nothing", slot),
        clinic.request(1, "mri", 999_999),
        clinic.request(1, "xray", slot),
        clinic.request(1, "mri", slot),
    ):
        assert appointments.book(away, request).outcome == "pending"
    assert _ends(clinic.context) == [
        ("refused", "patient-unknown"), ("refused", "test-unknown"), ("refused", "slot-unknown"),
        ("refused", "not-offered"), ("booked", None),
    ]  # fmt: skip


def test_what_waits_is_replayed_once_and_its_end_stays_until_it_was_told(
    clinic: Clinic, away: Context, spool: Spool
) -> None:
    appointments.book(away, clinic.request(1, "mri", clinic.slot("mri")))
    first, second = (pending.replay(clinic.context, anywhere=True) for _ in "ab")
    assert (len(first.ended), len(second.ended)) == (1, 0)
    for _ in range(2):
        assert [item.outcome for item in pending.untold(clinic.context)] == ["booked"]
    pending.mark_told(clinic.context, pending.untold(clinic.context))
    assert pending.untold(clinic.context) == []
    (item,) = pending.items(clinic.context)
    assert item.ended is not None
    assert item.ended.references == (clinic.row("SELECT app.reference_of(appointment_id) FROM appointment")[0],)


def test_what_was_cancelled_meanwhile_is_not_told_as_booked(clinic: Clinic, away: Context) -> None:
    request = clinic.request(1, "mri", clinic.slot("mri"))
    appointments.book(away, request)
    reference = kernel.book(clinic.context.connection(), [request.document()])[0].reference
    assert reference is not None
    appointments.cancel(clinic.context, reference)
    assert _ends(clinic.context) == [("refused", "cancelled")]


def test_nobody_who_may_not_book_loses_what_waits(
    clinic: Clinic, away: Context, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    appointments.book(away, clinic.request(1, "mri", clinic.slot("mri")))

    def not_allowed(*_: object, **__: object) -> None:
        raise NotAllowed("Nobody is signed in.")

    monkeypatch.setattr("bookcli.core.db.kernel.book", not_allowed)
    replayed = pending.replay(clinic.context, anywhere=True)
    assert (replayed.waiting, type(replayed.problem)) == (1, NotAllowed)
    assert spool.count(ENDED) == 0


def test_one_that_the_database_chokes_on_does_not_stop_those_behind_it(
    clinic: Clinic, away: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison = clinic.request(1, "mri", clinic.slot("mri"))
    for request in (poison, clinic.request(2, "mri", clinic.slot("mri", index=1))):
        appointments.book(away, request)
    honest = kernel.book

    def choking(connection: object, requests: list[dict[str, object]], **more: bool) -> object:
        if requests[0]["key"] == str(poison.key):
            raise RuntimeError("unexpected database error, SQLSTATE XX000")
        return honest(connection, requests, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("bookcli.core.db.kernel.book", choking)
    replayed = pending.replay(clinic.context, anywhere=True)
    assert ([item.outcome for item in replayed.ended], replayed.waiting) == (["booked"], 1)
    assert isinstance(replayed.problem, RuntimeError)
    # And a booking of today is not stopped by it either.
    assert appointments.book(clinic.context, clinic.request(3, "blood", clinic.slot("blood"))).outcome == "booked"
    monkeypatch.undo()


def test_a_damaged_file_is_shown_left_alone_and_can_be_dropped(clinic: Clinic, away: Context, spool: Spool) -> None:
    for patient in (1, 2):
        appointments.book(away, clinic.request(patient, "mri", clinic.slot("mri", index=patient)))
    damaged = spool.names(WAITING)[0]
    (spool.directory / damaged.file).write_bytes(b"{")
    assert _ends(clinic.context) == [("damaged", None), ("booked", None)]
    pending.drop(clinic.context, pending.find(clinic.context, str(damaged.key)[:8]))
    assert _ends(clinic.context) == [("booked", None)]


def test_what_is_dropped_is_never_sent(clinic: Clinic, away: Context) -> None:
    request = clinic.request(1, "mri", clinic.slot("mri"))
    appointments.book(away, request)
    pending.drop(away, pending.find(away, str(request.key)))
    assert _ends(clinic.context) == []
    assert clinic.rows("SELECT 1 FROM request") == []
    with pytest.raises(NotFound):
        pending.find(away, str(request.key))


def test_what_waits_at_a_directory_that_others_can_enter_stops_no_booking(clinic: Clinic, away: Context) -> None:
    appointments.book(away, clinic.request(1, "mri", clinic.slot("mri")))
    clinic.context.paths.spool.chmod(0o755)
    assert appointments.book(clinic.context, clinic.request(2, "blood", clinic.slot("blood"))).outcome == "booked"
    with pytest.raises(Unavailable) as refusal:
        appointments.book(away, clinic.request(3, "mri", clinic.slot("mri", index=5)))
    assert refusal.value.code == "not-kept"
    assert "NOT kept" in refusal.value.message


def test_a_time_at_a_site_is_understood_while_the_database_is_away_once_it_was_known(
    clinic: Clinic, away: Context
) -> None:
    with pytest.raises(Unavailable) as refusal:
        places.place(away, site="north", at="tomorrow 9:30")
    assert "nothing was kept" in refusal.value.hint
    there = places.place(clinic.context, site="north", at="tomorrow 9:30")
    with Context(clinic.context.settings, clinic.context.paths) as same:
        same.away(Unavailable("away", code="database-away"))
        place = places.place(same, site="north", at="tomorrow 9:30")
        assert place == there
        assert appointments.book(same, clinic.request(1, "mri", place=place)).outcome == "pending"
    assert _ends(clinic.context) == [("booked", None)]


def test_the_clock_of_the_desk_decides_nothing(clinic: Clinic, away: Context) -> None:
    slots = [clinic.slot("mri", index=index) for index in range(3)]
    usual = clock.now()
    try:
        for patient, days in enumerate((0, 900, -900)):
            clock.set_source(lambda days=days: usual + timedelta(days=days))  # type: ignore[misc]
            assert appointments.book(away, clinic.request(patient + 1, "mri", slots[patient])).outcome == "pending"
        assert _ends(clinic.context) == [("booked", None)] * 3
    finally:
        clock.set_source(None)
    assert clinic.rows("SELECT slot_id FROM appointment ORDER BY appointment_id") == [(slot,) for slot in slots]


def test_no_patient_is_in_a_message_or_a_name(clinic: Clinic, away: Context, spool: Spool) -> None:
    spool.directory.parent.mkdir(parents=True)
    spool.directory.mkdir(mode=0o755)
    spool.directory.chmod(0o755)
    with pytest.raises(Unavailable) as refusal:
        appointments.book(away, clinic.request("CANARY-1", "mri", 1, uuid.uuid4()))
    said = refusal.value
    assert "CANARY" not in f"{said.message}{said.hint}{said.details}{said!r}{said.__cause__!r}{said.__context__!r}"
    spool.directory.chmod(0o700)
    appointments.book(away, clinic.request("CANARY-1", "mri", 1, new_key()))
    assert not [path for path in away.paths.data.rglob("*") if "CANARY" in path.name]
