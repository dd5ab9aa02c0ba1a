"""Whatever dies on the way, every message arrives, at most once more than something died, under one Message-ID."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from email.message import EmailMessage

import psycopg
import pytest

from tests.clinic import Clinic
from tests.valkeys import Valkey
from tests.worker.conftest import Workers, again, book, eventually, senders, states
from tests.worker.mail_server import MailServer
from worker.relay import batch, queue


@contextlib.contextmanager
def locked(clinic: Clinic) -> Iterator[psycopg.Connection]:
    """Nobody can take a lease on a message, or mark one, meanwhile."""
    with psycopg.connect(clinic.owner_dsn) as connection:
        connection.execute("SELECT FROM app.notification ORDER BY notification_id FOR UPDATE")
        yield connection
        connection.rollback()


def _waits_for_a_row(clinic: Clinic, function: str) -> bool:
    return clinic.row(
        "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
        " AND datname = current_database()",
        (f"%{function}%",),
    ) == (True,)


def _claimed(clinic: Clinic) -> bool:
    return clinic.row("SELECT count(*) > 0 FROM notification WHERE due_at > now() + interval '5 s'") == (True,)


def _finish(clinic: Clinic, workers: Workers, mail: MailServer, count: int) -> None:
    """After the crash: another worker does the rest."""
    mail.after_dot = lambda _: "250 taken"
    again(clinic)
    workers.burst()
    assert states(clinic) == {"sent": count}
    assert len(mail.ids) == count and max(mail.ids.values()) <= 2
    assert clinic.sound()


def test_killed_after_taking_a_job(clinic: Clinic, workers: Workers, mail: MailServer, valkey: Valkey) -> None:
    book(clinic, 4)
    with locked(clinic) as connection:
        # The claim takes no row that somebody holds: the batch is put into the queue as the relay would.
        ids = [number for (number,) in clinic.rows("SELECT notification_id FROM notification")]
        queue(valkey.client).enqueue_many([batch(ids)])
        process = workers.start("--processes", "1")
        eventually(lambda: _waits_for_a_row(clinic, "lease_notifications"))
        workers.kill(process)
        connection.rollback()
    assert mail.accepted == []
    _finish(clinic, workers, mail, 4)
    assert set(mail.ids.values()) == {1}


def test_killed_with_a_lease_and_before_a_message_is_handed_over(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    book(clinic, 4)
    asked, go_on = threading.Event(), threading.Event()

    def held(_: str) -> None:
        asked.set()
        go_on.wait(60)

    mail.before = held
    process = workers.start("--processes", "1")
    assert asked.wait(60)
    workers.kill(process)
    go_on.set()
    assert states(clinic)["sending"] >= 1 and mail.accepted == []
    _finish(clinic, workers, mail, 4)
    assert set(mail.ids.values()) == {1}


def test_killed_while_the_mail_server_has_the_message_and_has_not_answered(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    book(clinic, 4)
    answer = threading.Event()

    def held(_: EmailMessage) -> str:
        answer.wait(60)
        return "250 taken"

    mail.after_dot = held
    process = workers.start("--processes", "1")
    mail.await_messages(1)
    workers.kill(process)
    answer.set()
    assert states(clinic)["sending"] >= 1
    _finish(clinic, workers, mail, 4)
    assert sorted(mail.ids.values()) == [1, 1, 1, 2]


def test_killed_after_the_answer_and_before_it_is_marked(clinic: Clinic, workers: Workers, mail: MailServer) -> None:
    book(clinic, 4)
    with contextlib.ExitStack() as stack:
        locks: list[psycopg.Connection] = []

        def lock_and_take(_: EmailMessage) -> str:
            if not locks:
                locks.append(stack.enter_context(locked(clinic)))
            return "250 taken"

        mail.after_dot = lock_and_take
        process = workers.start("--processes", "1")
        eventually(lambda: _waits_for_a_row(clinic, "mark_sent"))
        taken = len(mail.accepted)
        workers.kill(process)
        # The server would finish the statement of the dead client when it gets the lock.
        clinic.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = 'tests_worker' AND datname = current_database()"
        )
        locks[0].rollback()
    assert clinic.row("SELECT count(*) FROM notification WHERE sent_at IS NOT NULL") == (0,)
    _finish(clinic, workers, mail, 4)
    assert sum(mail.ids.values()) == 4 + taken, "what was marked together is sent once more, and nothing else is"


def test_a_sender_that_dies_is_not_the_end_of_the_worker(
    clinic: Clinic, workers: Workers, mail: MailServer, valkey: Valkey
) -> None:
    book(clinic, 2)
    first = threading.Event()

    def held(_: EmailMessage) -> str:
        first.wait(60)
        return "250 taken"

    mail.after_dot = held
    process = workers.start("--processes", "1")
    mail.await_messages(1)
    (sender,) = senders(valkey)
    os.kill(sender, signal.SIGKILL)
    mail.after_dot = lambda _: "250 taken"
    first.set()
    again(clinic)
    eventually(lambda: states(clinic) == {"sent": 2})
    assert process.poll() is None and max(mail.ids.values()) <= 2


def test_a_job_that_takes_too_long_is_ended_and_its_process_goes_on(
    clinic: Clinic, workers: Workers, mail: MailServer, valkey: Valkey
) -> None:
    book(clinic, 2)
    mail.after_dot = lambda _: "hang"
    clinic.run("UPDATE notification SET due_at = now() + interval '1 hour'")
    ids = [number for (number,) in clinic.rows("SELECT notification_id FROM notification")]
    jobs = queue(valkey.client)
    jobs.enqueue_many([batch(ids)._replace(timeout=1)])
    workers.start("--processes", "1")
    eventually(lambda: jobs.failed_job_registry.get_job_count(cleanup=False) == 1)
    before = senders(valkey)
    assert len(mail.accepted) == 1 and states(clinic) == {"sending": 2}
    mail.after_dot = lambda _: "250 taken"
    again(clinic)
    eventually(lambda: states(clinic) == {"sent": 2})
    assert senders(valkey) == before and sorted(mail.ids.values()) == [1, 2]


def test_all_of_redis_lost_with_many_in_flight_loses_nothing(
    clinic: Clinic, workers: Workers, mail: MailServer, valkey: Valkey
) -> None:
    book(clinic, 300)
    process = workers.start()
    mail.await_messages(20)
    for _ in range(5):
        valkey.client.flushall()
        clinic.run("UPDATE notification SET due_at = now() WHERE leased_until IS NULL AND sent_at IS NULL")
    eventually(lambda: states(clinic) == {"sent": 300}, 90)
    assert len(mail.ids) == 300 and set(mail.ids.values()) == {1}
    assert process.poll() is None and clinic.sound()


@pytest.mark.soak  # what was claimed and lost is offered again after 30 s
def test_all_of_redis_lost_with_a_thousand_in_flight_is_sent_unaided(
    clinic: Clinic, workers: Workers, mail: MailServer, valkey: Valkey
) -> None:
    book(clinic, 20)
    clinic.run(
        "INSERT INTO notification (appointment_id, kind, moment)"
        " SELECT appointment_id, 'reminder', now() + n * interval '1 s' FROM appointment, generate_series(1, 49) n"
    )
    process = workers.start()
    mail.await_messages(50)
    for _ in range(3):
        valkey.client.flushall()
    eventually(lambda: states(clinic) == {"sent": 1000}, 90)
    assert len(mail.ids) == 1000 and set(mail.ids.values()) == {1}
    assert process.poll() is None and clinic.sound()


def test_a_database_that_is_away_for_a_moment_makes_no_message_go_out_twice(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    book(clinic, 4)
    (name,) = clinic.row("SELECT current_database()")
    with psycopg.connect(clinic.owner_dsn, dbname="postgres", autocommit=True) as other:

        def lets_in(anybody: bool) -> None:
            other.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {anybody}".encode())

        def goes_away(_: EmailMessage) -> str:
            lets_in(False)
            other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE usename = 'tests_worker' AND datname = %s",
                [name],
            )
            return "250 taken"

        mail.after_dot = goes_away
        process = workers.start("--processes", "1")
        try:
            workers.await_event(process, "not-marked")
            mail.after_dot = lambda _: "250 taken"
        finally:
            lets_in(True)
        eventually(lambda: states(clinic) == {"sent": 4})
    assert set(mail.ids.values()) == {1} and process.poll() is None


def test_connections_to_the_database_that_were_ended_are_opened_again(
    clinic: Clinic, workers: Workers, mail: MailServer, valkey: Valkey
) -> None:
    process = workers.start()
    book(clinic, 1)
    mail.await_messages(1)
    eventually(lambda: states(clinic) == {"sent": 1})
    clinic.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE usename = 'tests_worker' AND datname = current_database()"
    )
    book(clinic, 6, day=3)
    eventually(lambda: states(clinic) == {"sent": 7}, 20)  # sooner than what was claimed and lost is offered again
    assert queue(valkey.client).failed_job_registry.get_job_count(cleanup=False) == 0
    assert process.poll() is None and set(mail.ids.values()) == {1}


def test_redis_that_restarts_is_found_again(clinic: Clinic, workers: Workers, mail: MailServer, valkey: Valkey) -> None:
    process = workers.start()
    book(clinic, 2)
    mail.await_messages(2)
    valkey.stop()
    valkey.start()
    book(clinic, 4, day=5)
    mail.await_messages(6)
    assert process.poll() is None


def test_redis_that_is_killed_in_the_middle_of_sending_costs_no_message_and_repeats_none(
    clinic: Clinic, workers: Workers, mail: MailServer, valkey: Valkey
) -> None:
    book(clinic, 60)
    go_on = threading.Event()

    def held(_: EmailMessage) -> str:
        go_on.wait(60)
        return "250 taken"

    mail.after_dot = held
    process = workers.start()
    mail.await_messages(2)
    valkey.stop()
    go_on.set()
    eventually(lambda: states(clinic).get("sent", 0) >= 2)
    valkey.start()
    clinic.run("UPDATE notification SET due_at = now() WHERE leased_until IS NULL AND sent_at IS NULL")
    eventually(lambda: states(clinic) == {"sent": 60}, 90)
    assert len(mail.ids) == 60 and set(mail.ids.values()) == {1}
    assert process.poll() is None and clinic.sound()


@pytest.mark.parametrize("relays", [3])
def test_several_workers_send_each_message_once(
    clinic: Clinic, workers: Workers, mail: MailServer, relays: int
) -> None:
    for _ in range(relays):
        workers.start("--processes", "1")
    book(clinic, 120)
    mail.await_messages(120)
    eventually(lambda: states(clinic) == {"sent": 120})
    assert len(mail.accepted) == 120 and set(mail.ids.values()) == {1} and clinic.sound()
