"""What the command line says while the database is away, and how the desk learns what became of it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from bookcli.core.adapters.spool import ENDED, TOLD, WAITING, Spool
from bookcli.core.db import engine
from tests.cli.commands import Answer, Shell, process
from tests.clinic import Clinic


@contextlib.contextmanager
def away() -> Iterator[None]:
    """Nobody listens at the database's address."""

    def refused(*_: object, **__: object) -> None:
        raise psycopg.OperationalError("connection refused: CANARY-SECRET")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine.Connection, "connect", refused)
        yield


@pytest.fixture
def spool(clinic: Clinic) -> Spool:
    return Spool(clinic.context.paths.spool)


@pytest.fixture(autouse=True)
def known(bookcli: Shell, clinic: Clinic) -> None:
    """A desk that has booked before: it knows its database and the time at its site."""
    assert bookcli("book", "--patient", "P20", "--test", "blood", "--site", "north", "--on", "tomorrow").code == 0


def book(bookcli: Shell, patient: int, slot: int, *more: str) -> Answer:
    return bookcli("book", "--patient", f"P{patient}", "--test", "mri", "--slot", str(slot), *more)


def test_pending_is_said_with_what_to_tell_the_patient(bookcli: Shell, clinic: Clinic) -> None:
    slot, key = clinic.slot("mri"), str(uuid.uuid4())
    with away():
        answer = book(bookcli, 1, slot, "--key", key)
    assert (answer.code, answer.out) == (75, "")
    first, second, third = answer.err.splitlines()
    assert first.startswith("PENDING — not booked.")
    assert second.startswith("Tell the patient:")
    assert key in third and "bookcli pending list" in third


def test_pending_in_json_is_one_document_and_one_error(bookcli: Shell, clinic: Clinic) -> None:
    slot = clinic.slot("mri")
    with away():
        answer = book(bookcli, 1, slot, "--json")
    assert answer.code == 75
    assert (answer.json["outcome"], answer.json["reason"], answer.json["appointments"]) == ("pending", None, [])
    assert answer.error["code"] == "pending"
    assert answer.error["details"]["request_key"] == answer.json["request_key"]
    # Given again without its key it would be a second booking.
    assert answer.error["retryable"] is False


def test_the_next_command_sends_what_waits_and_tells_it_once(bookcli: Shell, clinic: Clinic, spool: Spool) -> None:
    slot = clinic.slot("mri")
    with away():
        assert book(bookcli, 1, slot).code == 75
    answer = bookcli("slots", "--test", "mri", "--first", "1", "-o", "ids")
    reference = clinic.row("SELECT app.reference_of(appointment_id) FROM appointment WHERE slot_id = %s", (slot,))
    assert answer.code == 0
    assert answer.err.startswith("1 request kept while the database was away is now BOOKED: ")
    assert reference[0] in answer.err
    assert answer.err.rstrip().endswith("; bookcli pending list")
    assert bookcli("slots", "--test", "mri", "--first", "1").err == ""
    assert spool.count(TOLD) == 1


def test_several_ends_are_one_line(bookcli: Shell, clinic: Clinic) -> None:
    slots = [clinic.slot("mri"), clinic.slot("mri"), clinic.slot("mri", index=2)]
    with away():
        for patient, slot in enumerate(slots, start=1):
            assert book(bookcli, patient, slot).code == 75
    line = bookcli("site", "list").err.strip()
    assert line.startswith("3 requests kept while the database was away are now 2 BOOKED: ")
    assert "1 REFUSED (slot-full)" in line
    assert len(line.splitlines()) == 1


def test_a_quiet_command_does_not_count_as_telling(bookcli: Shell, clinic: Clinic, spool: Spool) -> None:
    slot = clinic.slot("mri")
    with away():
        book(bookcli, 1, slot)
    assert bookcli("site", "list", "-q").err == ""
    assert spool.count(ENDED) == 1
    assert "BOOKED" in bookcli("site", "list").err


def test_a_command_that_does_not_reach_the_database_sends_nothing(bookcli: Shell, clinic: Clinic, spool: Spool) -> None:
    slot = clinic.slot("mri")
    with away():
        book(bookcli, 1, slot)
    assert bookcli("pending", "list", "-o", "ids").code == 0
    assert bookcli("help", "formats").code == 0
    assert spool.count(WAITING) == 1


def test_a_refused_command_tells_too(bookcli: Shell, clinic: Clinic) -> None:
    slot = clinic.slot("mri")
    with away():
        book(bookcli, 1, slot)
    answer = book(bookcli, 2, slot, "--json")
    assert answer.code == 3
    assert answer.err.startswith("1 request kept while the database was away is now BOOKED")
    assert answer.error["code"] == "slot-full"


def test_a_day_and_time_are_understood_while_the_database_is_away(bookcli: Shell, clinic: Clinic) -> None:
    with away():
        words = ("book", "--patient", "P1", "--test", "mri", "--site", "north", "--at", "tomorrow 9:30")
        assert bookcli(*words).code == 75
        unknown = bookcli("book", "--patient", "P1", "--test", "xray", "--site", "south", "--on", "tomorrow")
    assert unknown.code == 75
    assert "nothing was kept" in unknown.err and "PENDING" not in unknown.err
    listed = bookcli("pending", "list", "--json").json["pending"]
    assert [one["place"] for one in listed] == [f"north {clinic.day()}T09:30:00+01:00"]


def test_a_visit_with_its_slots_waits_and_one_without_is_not_kept(bookcli: Shell, clinic: Clinic, spool: Spool) -> None:
    mri, blood = clinic.slot("mri", index=3), clinic.slot("blood", index=8)
    with away():
        kept = bookcli("visit", "--patient", "P1", "--take", f"mri={mri}", "--take", f"blood={blood}")
        not_kept = bookcli("visit", "--patient", "P1", "--tests", "mri+blood", "--site", "north", "--on", "tomorrow")
    assert (kept.code, not_kept.code) == (75, 75)
    assert "PENDING — not booked" in kept.err
    assert "Nothing was kept" in not_kept.err
    assert spool.count(WAITING) == 1


@pytest.mark.parametrize(
    "words",
    [
        ("hold", "--patient", "P1", "--test", "mri", "--slot", "1"),
        ("reschedule", "7F3K-Q2MG", "--slot", "1"),
        ("cancel", "7F3K-Q2MG", "--yes"),
        ("confirm", "7F3K-Q2MG"),
        ("arrive", "7F3K-Q2MG"),
    ],
)
def test_what_cannot_wait_says_that_nothing_was_kept(bookcli: Shell, spool: Spool, words: tuple[str, ...]) -> None:
    with away():
        answer = bookcli(*words)
    assert answer.code == 75
    assert "PENDING" not in answer.err
    assert "Nothing was kept" in answer.err
    assert spool.count(WAITING) == 0


def test_the_list_shows_waiting_and_ended_and_asks_nothing_of_the_database(bookcli: Shell, clinic: Clinic) -> None:
    first, second = clinic.slot("mri"), clinic.slot("mri", index=2)
    with away():
        book(bookcli, 1, first)
    bookcli("site", "list", "-q")
    with away():
        book(bookcli, 2, second)
        table = bookcli("pending", "list", "-o", "table").out
        listed = bookcli("pending", "list", "--json").json["pending"]
    assert [line.split()[1] for line in table.splitlines()] == ["Outcome", "BOOKED", "WAITING"]
    assert [(one["outcome"], one["patient"], one["tests"]) for one in listed] == [
        ("booked", "P1", ["mri"]), ("waiting", "P2", ["mri"]),
    ]  # fmt: skip
    # Whoever has seen the list has been told.
    assert bookcli("pending", "list", "-o", "ids").err == ""


def test_one_request_is_shown_and_dropped_by_the_beginning_of_its_key(bookcli: Shell, clinic: Clinic) -> None:
    slot, key = clinic.slot("mri"), str(uuid.uuid4())
    with away():
        book(bookcli, 1, slot, "--key", key)
    shown = bookcli("pending", "show", key[:8], "-o", "table").out
    assert f"key: {key}" in shown and "patient: P1" in shown
    assert bookcli("pending", "drop", key[:8]).code == 2
    assert bookcli("pending", "drop", key[:8], "--yes").code == 0
    assert bookcli("pending", "show", key[:8]).code == 4
    assert bookcli("pending", "drop", key[:3], "--yes").code == 4
    assert bookcli("pending", "replay").err == "Nothing waits.\n"
    assert clinic.row("SELECT count(*) FROM appointment WHERE slot_id = %s", (slot,)) == (0,)


def test_replay_says_what_still_waits_and_why(bookcli: Shell, clinic: Clinic) -> None:
    slot = clinic.slot("mri")
    with away():
        book(bookcli, 1, slot)
        answer = bookcli("pending", "replay")
    assert (answer.code, answer.err.splitlines()[:2]) == (75, ["1 still wait.", "The database does not answer."])
    done = bookcli("pending", "replay", "--json")
    assert (done.code, [one["outcome"] for one in done.json["pending"]]) == (0, ["booked"])


def test_the_same_key_given_again_says_pending_again_and_then_booked(bookcli: Shell, clinic: Clinic) -> None:
    slot, key = clinic.slot("mri"), str(uuid.uuid4())
    with away():
        assert [book(bookcli, 1, slot, "--key", key).code for _ in "ab"] == [75, 75]
    assert book(bookcli, 1, slot, "--key", key).code == 0
    assert clinic.row("SELECT count(*) FROM appointment WHERE slot_id = %s", (slot,)) == (1,)


def test_an_open_spool_is_said_and_nothing_is_kept(bookcli: Shell, clinic: Clinic, spool: Spool) -> None:
    slot = clinic.slot("mri")
    spool.directory.mkdir(parents=True)
    spool.directory.chmod(0o755)
    with away():
        answer = book(bookcli, 1, slot)
    assert answer.code == 75
    assert "NOT kept" in answer.err and "chmod 700" in answer.err
    assert "PENDING" not in answer.err


def test_nothing_of_the_patient_or_the_password_is_said(bookcli: Shell, clinic: Clinic) -> None:
    with away():
        answer = bookcli("book", "--patient", "CANARY-1", "--test", "mri", "--slot", "1", "--debug", "-v")
        assert answer.code == 75
    after = bookcli("site", "list", "-v")
    assert "REFUSED (patient-unknown)" in after.err
    assert "CANARY" not in answer.err.replace("connection refused", "") + after.err


def test_a_desk_with_nothing_waiting_imports_nothing_for_it(clinic: Clinic, spool: Spool) -> None:
    spool.directory.mkdir(parents=True, mode=0o700)
    code = (
        "import sys\nfrom bookcli.cli.main import main\nmain(['site', 'list', '-q'])\n"
        "print('bookcli.cli.pending' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "False"


def test_a_process_of_its_own_keeps_and_another_one_sends(clinic: Clinic, database: str) -> None:
    slot = clinic.slot("mri")
    words = ("book", "--patient", "P1", "--test", "mri", "--slot", str(slot), "--json")
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    clinic.desk_at(nowhere).close()
    answer = process(*words, BOOKCLI_DATABASE_URL=nowhere)
    assert (answer.code, json.loads(answer.out)["outcome"]) == (75, "pending")
    # It was asked of the database at another address, whose identity this desk never learnt.
    assert process("pending", "replay", "-o", "ids").out == ""
    assert process("pending", "replay", "--anywhere", "-o", "ids").out.strip() == json.loads(answer.out)["request_key"]
