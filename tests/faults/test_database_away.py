"""Every way in which a database can be away: what was asked meanwhile is kept, and ends exactly once afterwards.

What must stay true: nothing is said before it is on the disk, nothing is called booked that is not, and nobody waits
longer than the deadline.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bookcli.core.adapters import remembered
from bookcli.core.adapters.spool import ENDED, WAITING, Spool
from bookcli.core.config import Settings, paths
from bookcli.core.context import Context
from bookcli.core.db import engine
from bookcli.core.db import server as database_server
from bookcli.core.errors import Unavailable
from bookcli.core.model.appointments import Outcome
from bookcli.core.model.requests import Place, new_key
from bookcli.core.services import appointments, pending
from tests import clinic as clinics
from tests.cli.commands import process
from tests.clinic import Clinic
from tests.faults import outages
from tests.faults.outages import Outage
from tests.faults.proxy import Loss, Proxy
from tests.processes import REPOSITORY
from tests.servers import NEWEST, Server, engine_connection

DEADLINE = 8.0
START_UP = 20.0
"""Seconds that a busy machine may take to start a process and to end it."""

OUTAGES: dict[str, Outage] = {
    "stopped": outages.stopped,
    "killed": outages.killed,
    "frozen": outages.frozen,
    "out of connections": outages.crowded,
    "read-only": outages.read_only,
    "cut off": outages.cut_off,
    "pool exhausted": outages.pool_exhausted,
    "out of locks": outages.no_locks_left,
    "disk full": outages.disk_full,
    "disk of the WAL full": outages.wal_disk_full,
}


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    """A server that only this file breaks."""
    server = Server(NEWEST)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def server(own_server: Server) -> Server:
    return own_server


@pytest.fixture
def database(own_server: Server) -> str:
    """A database that is not given back: it was in a server that was killed."""
    return own_server.lend(clinics.template(own_server))


@pytest.fixture
def spool(context: Context) -> Spool:
    return Spool(context.paths.spool)


@contextlib.contextmanager
def desk(dsn: str) -> Iterator[Context]:
    """The desk of this test, with a connection of its own."""
    with Context(Settings(database_url=dsn), paths({"BOOKCLI_HOME": os.environ["BOOKCLI_HOME"]})) as context:
        clinics.same_session(context)
        yield context


def book(clinic: Clinic, dsn: str, patient: int, slot: int, key: uuid.UUID | None = None) -> Outcome:
    with desk(dsn) as context:
        return appointments.book(context, clinic.request(patient, "mri", slot, key))


def ends(clinic: Clinic, dsn: str) -> list[tuple[str, str | None]]:
    """What has become of everything that waited, in the order it was asked."""
    with desk(dsn) as context:
        replayed = pending.replay(context)
        assert (replayed.waiting, replayed.problem) == (0, None)
        return [(item.outcome, item.ended.reason if item.ended else None) for item in pending.items(context)]


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_booking_is_kept_while_the_database_is_away_and_booked_once_afterwards(
    server: Server, clinic: Clinic, database: str, spool: Spool, outage: str
) -> None:
    slot = str(clinic.slot("mri"))
    words = ("book", "--patient", "P1", "--test", "mri", "--slot", slot)
    identity = database_server.identity(clinic.context.connection())
    with OUTAGES[outage](server, database) as address:
        _has_been_at(clinic.context, address, identity)
        began = time.monotonic()
        answer = process(*words, BOOKCLI_DATABASE_URL=address)
        took = time.monotonic() - began
        assert (answer.code, answer.out) == (75, "")
        assert answer.err.startswith("PENDING — not booked.")
        assert took < DEADLINE + START_UP
        assert spool.count(WAITING) == 1
    clinic.context.close()
    assert clinic.rows("SELECT 1 FROM appointment") == []
    next_command = process("slots", "--test", "blood", "--first", "1")
    assert next_command.code == 0
    assert "1 request kept while the database was away is now BOOKED: " in next_command.err
    assert clinic.row("SELECT count(*) FROM appointment") == (1,)
    assert (spool.count(WAITING), spool.count(ENDED)) == (0, 0)
    assert process("slots", "--test", "blood", "--first", "1").err == ""
    assert clinic.sound()


@pytest.mark.parametrize("outage", ["frozen", "cut off", "pool exhausted"])
def test_a_day_and_time_cost_no_second_wait_for_a_database_that_says_nothing(
    server: Server, clinic: Clinic, database: str, outage: str
) -> None:
    place = ("--site", "north", "--at", "tomorrow 9:30")
    assert process("book", "--patient", "P1", "--test", "blood", *place).code == 0
    known = remembered.recall(clinic.context.paths.remembered, engine.address(database))
    with OUTAGES[outage](server, database) as address:
        file = clinic.context.paths.remembered
        remembered.remember(file, engine.address(address), database=known.database, zones=known.zones)
        began = time.monotonic()
        with desk(address):
            pass
        answer = process("book", "--patient", "P2", "--test", "mri", *place, BOOKCLI_DATABASE_URL=address)
        assert (answer.code, answer.err.split(".")[0]) == (75, "PENDING — not booked")
        assert time.monotonic() - began < DEADLINE + START_UP
    clinic.context.close()
    assert ends(clinic, database) == [("booked", None)]


def test_a_database_that_refuses_is_answered_at_once(server: Server, clinic: Clinic, database: str) -> None:
    slot = clinic.slot("mri")
    with outages.stopped(server, database), desk(database) as context:
        began = time.monotonic()
        assert appointments.book(context, clinic.request(1, "mri", slot)).outcome == "pending"
        assert time.monotonic() - began < 2


def test_a_visit_waits_as_one_and_is_refused_as_one(server: Server, clinic: Clinic, database: str) -> None:
    first, second = clinic.slot("mri"), clinic.slot("mri", index=4)
    free = clinic.slot("blood", index=8)
    with outages.stopped(server, database), desk(database) as context:
        for patient, mri in ((1, first), (2, first), (3, second)):
            parts = [clinic.request(patient, "blood", free), clinic.request(patient, "mri", mri)]
            assert appointments.visit(context, parts, new_key()).outcome == "pending"
    clinic.context.close()
    assert ends(clinic, database) == [("booked", None), ("refused", "slot-full"), ("booked", None)]
    assert clinic.row("SELECT count(*), count(DISTINCT visit_id) FROM appointment") == (4, 2)
    assert clinic.sound()


def test_a_database_that_freezes_while_it_is_asked_leaves_an_unknown_outcome_that_is_resolved(
    server: Server, clinic: Clinic, database: str, spool: Spool
) -> None:
    request = clinic.request(1, "mri", clinic.slot("mri"))
    with desk(database) as context:
        context.connection()
        with outages.frozen(server, database):
            began = time.monotonic()
            assert appointments.book(context, request).outcome == "unknown"
            assert time.monotonic() - began < DEADLINE + 1
            assert spool.count(WAITING) == 1
            assert pending.items(context)[0].outcome == "unknown"
    clinic.context.close()
    assert ends(clinic, database) == [("booked", None)]
    assert clinic.row("SELECT count(*) FROM appointment") == (1,)
    assert clinic.sound()


def test_a_database_that_is_killed_while_it_is_asked_is_never_told_wrongly(
    server: Server, clinic: Clinic, database: str, spool: Spool
) -> None:
    """The desk's own backend may outlive the postmaster for a moment and book; then it says so, and it is true."""
    request = clinic.request(1, "mri", clinic.slot("mri"))
    with desk(database) as context:
        context.connection()
        with outages.killed(server, database):
            said = appointments.book(context, request).outcome
            assert said in ("booked", "pending", "unknown")
            assert spool.count(WAITING) == (0 if said == "booked" else 1)
    clinic.context.close()
    made = {"booked": (1,), "pending": (0,), "unknown": (0, 1)}
    assert clinic.row("SELECT count(*) FROM appointment")[0] in made[said]
    assert all(end == ("booked", None) for end in ends(clinic, database))
    assert clinic.row("SELECT count(*) FROM appointment") == (1,)
    assert clinic.sound()


@pytest.mark.parametrize("loss", ["question", "answer"])
def test_a_commit_whose_answer_is_lost_every_time_is_kept_and_ends_once(
    clinic: Clinic, database: str, spool: Spool, loss: Loss
) -> None:
    request = clinic.request(1, "mri", clinic.slot("mri"))
    identity = database_server.identity(clinic.context.connection())
    with tempfile.TemporaryDirectory(prefix="bookcli-", dir="/tmp") as directory:
        proxy = Proxy(database, Path(directory), loss, times=10_000)
        try:
            _has_been_at(clinic.context, proxy.dsn, identity)
            with desk(proxy.dsn) as context:
                assert appointments.book(context, request).outcome == "unknown"
        finally:
            proxy.close()
    assert proxy.lost > 1
    assert clinic.row("SELECT count(*) FROM appointment") == (1 if loss == "answer" else 0,)
    # The way to the database is another one now, and it is known to be the same database.
    assert ends(clinic, database) == [("booked", None)]
    assert clinic.row("SELECT count(*) FROM appointment") == (1,)
    assert clinic.sound()


def test_what_waits_is_sent_in_the_order_it_was_asked_and_before_what_is_asked_now(
    server: Server, clinic: Clinic, database: str
) -> None:
    slot, other = clinic.slot("mri"), clinic.slot("mri", index=3)
    with outages.stopped(server, database):
        for patient, where in ((1, slot), (2, slot), (3, other), (4, slot)):
            assert book(clinic, database, patient, where).outcome == "pending"
    clinic.context.close()
    assert book(clinic, database, 5, other).reason == "slot-full"
    assert ends(clinic, database) == [
        ("booked", None), ("refused", "slot-full"), ("booked", None), ("refused", "slot-full"),
    ]  # fmt: skip
    assert clinic.rows("SELECT mrn FROM appointment JOIN patient USING (patient_id) ORDER BY 1") == [("P1",), ("P3",)]


def test_five_hundred_requests_are_kept_and_the_first_of_each_slot_win(
    server: Server, clinic: Clinic, database: str, spool: Spool
) -> None:
    """Five for each of 100 slots with four places; the fifth of each slot is refused."""
    slots = [clinic.slot("blood", 1 + n // 16, n % 16) for n in range(100)]
    keys = [new_key() for _ in range(500)]
    with outages.stopped(server, database), desk(database) as context:
        for n, key in enumerate(keys):
            request = clinic.request(1 + n // 100, "blood", slots[n % 100], key)
            assert appointments.book(context, request).outcome == "pending"
        assert spool.count(WAITING) == 500
    clinic.context.close()
    assert ends(clinic, database) == [("booked", None)] * 400 + [("refused", "slot-full")] * 100
    assert clinic.row("SELECT count(*) FROM appointment") == (400,)
    assert clinic.row("SELECT count(*) FROM request WHERE request_key = ANY (%s)", (keys,)) == (500,)
    assert clinic.sound()


def test_a_request_whose_slot_has_begun_expires_by_the_clock_of_the_database(
    server: Server, clinic: Clinic, database: str
) -> None:
    slot = clinic.slot("mri")
    with outages.stopped(server, database):
        assert book(clinic, database, 1, slot).outcome == "pending"
    clinic.context.close()
    _begin(clinic, slot)
    assert ends(clinic, database) == [("expired", "slot-past")]
    assert clinic.rows("SELECT 1 FROM appointment") == []


def test_a_request_that_was_booked_before_its_slot_began_is_booked_and_not_expired(
    clinic: Clinic, database: str, spool: Spool
) -> None:
    slot = clinic.slot("mri")
    request = clinic.request(1, "mri", slot)
    identity = database_server.identity(clinic.context.connection())
    with tempfile.TemporaryDirectory(prefix="bookcli-", dir="/tmp") as directory:
        proxy = Proxy(database, Path(directory), "answer", times=10_000)
        try:
            _has_been_at(clinic.context, proxy.dsn, identity)
            with desk(proxy.dsn) as context:
                assert appointments.book(context, request).outcome == "unknown"
        finally:
            proxy.close()
    _begin(clinic, slot)
    assert ends(clinic, database) == [("booked", None)]


def test_what_was_asked_of_another_database_is_left_alone(
    server: Server, clinic: Clinic, database: str, own_server: Server
) -> None:
    other = own_server.lend(clinics.template(own_server))
    assert book(clinic, database, 9, clinic.slot("mri", index=9)).outcome == "booked"
    with outages.stopped(server, database):
        assert book(clinic, database, 1, clinic_slot := 1).outcome == "pending"
    clinic.context.close()
    with desk(other) as context:
        assert pending.replay(context).waiting == 1
    with engine_connection(other) as connection:
        assert connection.execute("SELECT count(*) FROM appointment").fetchone() == (0,)
    assert ends(clinic, database) == [("booked", None)]
    assert clinic.row("SELECT count(*) FROM appointment WHERE slot_id = %s", (clinic_slot,)) == (1,)


class Replayer:
    """replay_process.py at work."""

    def __init__(self, dsn: str, without: str = "nothing") -> None:
        words = [dsn, os.environ["BOOKCLI_HOME"], without]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.replay_process", *words],
            cwd=REPOSITORY,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def go_to(self, last: str) -> None:
        while self.line() != last:
            self.go_on()

    def line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert line, "the replayer has ended"
        return line

    def go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def to_the_end(self) -> int:
        """How many requests it has seen end."""
        while not (line := self.line()).isdigit():
            self.go_on()
        self.process.wait(30)
        return int(line)

    def kill(self) -> None:
        with self.process:
            self.process.kill()


@pytest.fixture
def three_waiting(server: Server, clinic: Clinic, database: str, spool: Spool) -> Spool:
    """Three requests for three slots, and one more for the first of them."""
    slots = [clinic.slot("mri", index=index) for index in (0, 2, 4)]
    with outages.stopped(server, database):
        for patient, slot in enumerate([*slots, slots[0]], start=1):
            assert book(clinic, database, patient, slot).outcome == "pending"
    clinic.context.close()
    return spool


@pytest.mark.parametrize("step", ["send", "answered", "written", "removed"])
@pytest.mark.parametrize("turn", [1, 2])
def test_a_replayer_that_is_killed_loses_nothing_and_repeats_nothing(
    three_waiting: Spool, clinic: Clinic, database: str, step: str, turn: int
) -> None:
    replayer = Replayer(database)
    replayer.go_to(step)
    for _ in range(1, turn):
        replayer.go_on()
        replayer.go_to(step)
    replayer.kill()
    assert ends(clinic, database) == [("booked", None)] * 3 + [("refused", "slot-full")]
    assert clinic.row("SELECT count(*) FROM appointment") == (3,)
    told = clinic.rows("SELECT kind, count(*) FROM notification GROUP BY 1 ORDER BY 1")
    assert told == [("confirmation", 3), ("refusal", 1)]
    assert clinic.sound()


def test_without_the_key_a_killed_replayer_does_repeat(three_waiting: Spool, clinic: Clinic, database: str) -> None:
    """The control: what the request key prevents is seen when it is taken away."""
    replayer = Replayer(database, without="key")
    replayer.go_to("answered")
    replayer.kill()
    assert ends(clinic, database)[0] != ("booked", None)


def test_two_replayers_of_one_spool_take_turns(three_waiting: Spool, clinic: Clinic, database: str) -> None:
    first = Replayer(database)
    first.go_to("send")
    assert Replayer(database).to_the_end() == 0
    first.go_on()
    assert first.to_the_end() == 4
    assert clinic.row("SELECT count(*) FROM appointment") == (3,)


def test_two_replayers_without_the_lock_are_harmless_too(three_waiting: Spool, clinic: Clinic, database: str) -> None:
    first, second = Replayer(database, without="lock"), Replayer(database, without="lock")
    for replayer in (first, second):
        replayer.go_to("send")
    for replayer in (first, second):
        replayer.go_on()
    for replayer in (first, second):
        replayer.to_the_end()
    assert ends(clinic, database) == [("booked", None)] * 3 + [("refused", "slot-full")]
    assert clinic.row("SELECT count(*) FROM appointment") == (3,)
    told = clinic.rows("SELECT kind, count(*) FROM notification GROUP BY 1 ORDER BY 1")
    assert told == [("confirmation", 3), ("refusal", 1)]
    assert clinic.sound()


def test_without_the_key_what_was_killed_after_its_commit_is_booked_twice(
    server: Server, clinic: Clinic, database: str
) -> None:
    """The control: a request for the first free place of a day, sent by two that each make a key of their own."""
    place = Place(site="north", day=clinic.day())
    with outages.stopped(server, database), desk(database) as context:
        assert appointments.book(context, clinic.request(1, "blood", place=place)).outcome == "pending"
    clinic.context.close()
    for _ in range(2):
        replayer = Replayer(database, without="key")
        replayer.go_to("answered")
        replayer.kill()
    assert clinic.row("SELECT count(*) FROM appointment") == (2,)


def test_many_desks_that_come_back_at_once_end_everything_once(
    server: Server, clinic: Clinic, database: str, spool: Spool
) -> None:
    slots = [clinic.slot("blood", 1 + n // 16, n % 16) for n in range(40)]
    with outages.stopped(server, database), desk(database) as context:
        for slot in slots:
            assert appointments.book(context, clinic.request(1, "blood", slot)).outcome == "pending"
    clinic.context.close()
    command = [sys.executable, "-m", "bookcli.cli.main", "pending", "replay", "-o", "ids"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    desks = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) for _ in "abcd"]
    ended = [line for running in desks for line in running.communicate(timeout=60)[0].split()]
    assert (len(ended), len(set(ended))) == (40, 40)
    assert clinic.row("SELECT count(*) FROM appointment") == (40,)
    assert spool.count(WAITING) == 0
    assert clinic.sound()


@pytest.mark.parametrize("outage", ["frozen", "cut off"])
def test_ctrl_c_while_waiting_for_the_database_says_the_key_and_keeps_nothing(
    server: Server, clinic: Clinic, database: str, spool: Spool, outage: str
) -> None:
    slot = clinic.slot("mri")
    with OUTAGES[outage](server, database) as address:
        with desk(address):
            pass
        command = [sys.executable, "-m", "bookcli.cli.main", "book", "-v", "--patient", "P1", "--test", "mri"]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "BOOKCLI_DATABASE_URL": address}
        with subprocess.Popen([*command, "--slot", str(slot)], stderr=subprocess.PIPE, env=environment) as running:
            assert running.stderr is not None
            said = running.stderr.readline().decode()
            running.send_signal(signal.SIGINT)
            _, err = running.communicate(timeout=30)
        assert (running.returncode, spool.count(WAITING)) == (130, 0)
        key = said.split()[-1].rstrip(".")
        assert f"--key {key}" in err.decode()
    clinic.context.close()
    assert book(clinic, database, 1, slot, uuid.UUID(key)).outcome == "booked"
    assert clinic.row("SELECT count(*) FROM appointment") == (1,)


@pytest.mark.parametrize("full", ["disk", "quota"])
def test_a_full_disk_at_the_desk_is_told_as_not_kept(
    server: Server, clinic: Clinic, database: str, tmp_path: Path, full: str
) -> None:
    """Where nobody may mount a disk, both are a quota."""
    words = ["book", "--patient", "P1", "--test", "mri", "--slot", str(clinic.slot("mri"))]
    with contextlib.ExitStack() as after:
        disk = outages.small_disk(after, 1) if full == "disk" else None
        home = (disk or tmp_path) / "home"
        (home / "data" / "spool").mkdir(parents=True, mode=0o700)
        with Context(Settings(database_url=database), paths({"BOOKCLI_HOME": str(home)})) as there:
            there.keep(clinic.context.session)
        command = [sys.executable, "-m", "bookcli.cli.main", *words]
        if disk is None:
            command = ["sh", "-c", 'ulimit -f 0 && exec "$@"', "sh", *command]
        else:
            outages.fill(disk)
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "BOOKCLI_HOME": str(home)}
        with outages.stopped(server, database):
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
        assert done.returncode == 75
        assert "NOT kept" in done.stderr and "PENDING" not in done.stderr
        assert list((home / "data" / "spool").iterdir()) == []


def test_a_backend_that_is_killed_restarts_the_whole_server_and_the_request_ends_once(
    server: Server, clinic: Clinic, database: str
) -> None:
    request = clinic.request(1, "mri", clinic.slot("mri"))
    with desk(database) as context:
        os.kill(context.connection().info.backend_pid, signal.SIGKILL)
        said = appointments.book(context, request).outcome
    assert said in ("booked", "pending", "unknown")
    clinic.context.close()
    until = time.monotonic() + 10
    while True:
        with desk(database) as context, contextlib.suppress(Unavailable):
            context.connection()
            break
        assert time.monotonic() < until, "the server has not come back"
        time.sleep(0.05)
    assert all(end == ("booked", None) for end in ends(clinic, database))
    assert clinic.row("SELECT count(*) FROM appointment") == (1,)
    assert clinic.sound()


def test_a_busy_slot_is_no_outage_and_is_not_kept(clinic: Clinic, database: str, spool: Spool) -> None:
    slot = clinic.slot("mri")
    with contextlib.closing(psycopg.connect(database)) as other:
        other.execute("SELECT pg_advisory_xact_lock(1, %s)", (slot,))
        with _without_idle_limit(other), desk(database) as context, pytest.raises(Unavailable) as busy:
            appointments.book(context, clinic.request(1, "mri", slot))
    assert busy.value.code == "busy"
    assert spool.count(WAITING) == 0


@contextlib.contextmanager
def _without_idle_limit(other: psycopg.Connection[tuple[object, ...]]) -> Iterator[None]:
    other.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
    yield


def _begin(clinic: Clinic, slot: int) -> None:
    """Time passes: the slot begins now."""
    clinic.run(
        "UPDATE app.slot SET starts_at = now() - interval '1 minute', ends_at = now() + interval '29 minutes'"
        " WHERE slot_id = %s",
        (slot,),
    )


def _has_been_at(context: Context, address: str, identity: str) -> None:
    """This desk has reached the database at that address before, signed in, and learnt which one it is."""
    with desk(address):
        pass
    remembered.remember(context.paths.remembered, engine.address(address), database=identity)
