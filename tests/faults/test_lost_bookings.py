"""A desk that dies, or a connection that is cut, at any moment of a booking: the request key tells what happened.

What must stay true: whatever was lost, asking again with the same key books once and every invariant holds.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from bookcli.core.model.requests import BookingRequest, new_key
from bookcli.core.services import appointments
from tests.clinic import Clinic
from tests.faults.proxy import Loss, Proxy
from tests.processes import REPOSITORY
from tests.servers import engine_connection

STEPS = ["connect", "ask", "print"]


class Desk:
    """booking_process.py at work."""

    def __init__(self, clinic: Clinic, key: uuid.UUID) -> None:
        words = [clinic.context.dsn, "P1", "mri", str(clinic.slot("mri")), str(key)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.booking_process", *words],
            cwd=REPOSITORY,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def go_to(self, last: str) -> None:
        """Lets it work until it stands before a step."""
        assert self.process.stdin is not None and self.process.stdout is not None
        for step in STEPS:
            assert self.process.stdout.readline() == f"{step}\n"
            if step == last:
                return
            self.go_on()

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> None:
        with self.process:
            self.process.kill()


def _stored(clinic: Clinic, key: uuid.UUID) -> list[tuple[str]]:
    return clinic.rows("SELECT verdict FROM request WHERE request_key = %s", (key,))


def _request(clinic: Clinic, key: uuid.UUID) -> BookingRequest:
    return clinic.request(1, "mri", clinic.slot("mri"), key)


def _ask_again(clinic: Clinic, key: uuid.UUID) -> None:
    """The same key, by another desk: booked, and once."""
    assert appointments.book(clinic.context, _request(clinic, key)).outcome == "booked"
    assert clinic.row("SELECT count(*) FROM appointment") == (1,)
    assert clinic.row("SELECT count(*) FROM notification") == (1,)
    assert clinic.sound()


@pytest.mark.parametrize(("step", "expected"), [("connect", []), ("ask", []), ("print", [("booked",)])])
def test_a_desk_that_is_killed_leaves_an_answer_or_nothing(
    clinic: Clinic, step: str, expected: list[tuple[str]]
) -> None:
    key = new_key()
    desk = Desk(clinic, key)
    desk.go_to(step)
    desk.kill()
    assert _stored(clinic, key) == expected
    _ask_again(clinic, key)


def test_a_desk_that_is_killed_while_the_database_works_is_booked_and_told_so_when_it_asks_again(
    clinic: Clinic,
) -> None:
    key = new_key()
    desk = Desk(clinic, key)
    desk.go_to("ask")
    with _slot_locked(clinic):
        desk.go_on()
        _wait_for(clinic, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted", 1)
        desk.kill()
        assert _stored(clinic, key) == []
    mine = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
    _wait_for(clinic, mine, 1)
    assert _stored(clinic, key) == [("booked",)]
    _ask_again(clinic, key)


def test_two_desks_with_one_key_are_told_the_same_when_the_first_is_killed(clinic: Clinic) -> None:
    key = new_key()
    desk = Desk(clinic, key)
    desk.go_to("ask")
    with _slot_locked(clinic):
        desk.go_on()
        _wait_for(clinic, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted", 1)
        second = threading.Thread(target=_ask_elsewhere, args=(clinic, key))
        second.start()
        _wait_for(clinic, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted", 2)
        desk.kill()
    second.join()
    _ask_again(clinic, key)


@pytest.mark.parametrize("loss", ["question", "answer"])
def test_a_message_that_is_lost_is_sent_again_with_the_same_key(
    clinic: Clinic, loss: Loss, short_directory: Path
) -> None:
    proxy = Proxy(clinic.context.dsn, short_directory, loss)
    key = new_key()
    try:
        with clinic.desk_at(proxy.dsn) as context:
            outcome = appointments.book(context, _request(clinic, key))
    finally:
        proxy.close()
    assert (outcome.outcome, proxy.lost) == ("booked", 1)
    _ask_again(clinic, key)


def test_a_server_that_panics_after_its_commit_has_not_said_that_nothing_is_booked(
    clinic: Clinic, short_directory: Path
) -> None:
    """The disk of the WAL was full, for one; that the error has a code does not mean that nothing was written."""
    fields = b"SPANIC\0VPANIC\0C53100\0Mcould not write to file\0\0"
    proxy = Proxy(clinic.context.dsn, short_directory, "answer", times=1)
    proxy.last_words = b"E" + (len(fields) + 4).to_bytes(4, "big") + fields
    key = new_key()
    try:
        with clinic.desk_at(proxy.dsn) as context:
            outcome = appointments.book(context, _request(clinic, key))
    finally:
        proxy.close()
    assert (outcome.outcome, proxy.lost) == ("booked", 1)
    _ask_again(clinic, key)


@pytest.fixture
def short_directory() -> Iterator[Path]:
    """A directory whose path leaves room for a socket's name."""
    with tempfile.TemporaryDirectory(prefix="bookcli-", dir="/tmp") as directory:
        yield Path(directory)


def _ask_elsewhere(clinic: Clinic, key: uuid.UUID) -> None:
    with clinic.desk_at(clinic.context.dsn) as context:
        appointments.book(context, _request(clinic, key))


@contextlib.contextmanager
def _slot_locked(clinic: Clinic) -> Iterator[None]:
    """Somebody else holds the slot's lock, so that a booking waits inside the database."""
    slot = clinic.slot("mri")
    with engine_connection(clinic.owner_dsn) as other, other.transaction():
        other.execute("SELECT pg_advisory_xact_lock(1, %s)", (slot,))
        yield


def _wait_for(clinic: Clinic, count: str, wanted: int) -> None:
    until = time.monotonic() + 3
    while clinic.row(count) != (wanted,):
        assert time.monotonic() < until, f"not {wanted} in time: {count}"
        time.sleep(0.005)
