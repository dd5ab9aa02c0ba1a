"""Whose turn a message is, the database says: a worker whose own clock is wrong sends nothing early, late or again."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import UTC
from email.message import EmailMessage
from email.utils import parsedate_to_datetime

import pytest

from bookcli.core import clock
from tests.clinic import Clinic
from tests.worker.conftest import BOOKCLI, Workers, book, eventually, states
from tests.worker.mail_server import MailServer

WRONG = """
import datetime, sys, time, types
shift = float(sys.argv.pop(1))
real_time, real_now = time.time, datetime.datetime.now

class Shifted(datetime.datetime):
    @classmethod
    def now(cls, zone=None):
        return real_now(zone) + datetime.timedelta(seconds=shift)

time.time = lambda: real_time() + shift
from bookcli.core import clock
clock.set_source(lambda: Shifted.now(datetime.UTC))
import rq.utils
rq.utils.datetime = types.SimpleNamespace(**{**vars(datetime), "datetime": Shifted})
from bookcli.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
"""All that reads a clock in a worker: ours, RQ's and the standard library's. libfaketime stops Python's sleep."""


def _start(workers: Workers, shift: int, *words: str) -> subprocess.Popen[bytes]:
    """bookcli with a clock that is wrong by so many seconds."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRONG, str(shift), *words],
        env=workers.environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=BOOKCLI.parents[2],
    )  # fmt: skip
    workers.running.append(process)
    return process


@pytest.mark.parametrize("shift", [300, -300])
def test_a_worker_whose_clock_is_wrong_sends_nothing_that_another_is_sending(
    clinic: Clinic, workers: Workers, mail: MailServer, shift: int
) -> None:
    book(clinic, 6)
    go_on = threading.Event()

    def first_is_held(message: EmailMessage) -> str:
        if message["Message-ID"] == mail.accepted[0]["Message-ID"]:
            go_on.wait(60)
        return "250 taken"

    mail.after_dot = first_is_held
    workers.start("--processes", "1")
    mail.await_messages(1)
    leased = clinic.row("SELECT count(*) FROM notification WHERE leased_until > now()")[0]
    clinic.run("UPDATE notification SET due_at = now() WHERE sent_at IS NULL")
    other = _start(workers, shift, "worker", "run", "--burst")
    assert other.wait(60) == 0
    assert len(mail.accepted) == 1 + 6 - leased, "all but what the first holds, for less than its clock is wrong"
    go_on.set()
    eventually(lambda: states(clinic) == {"sent": 6})
    assert len(mail.accepted) == 6 and set(mail.ids.values()) == {1}


@pytest.mark.parametrize("shift", [300, -300])
def test_what_is_put_off_is_put_off_by_the_right_clock(
    clinic: Clinic, workers: Workers, mail: MailServer, shift: int
) -> None:
    book(clinic, 2)
    mail.answers = {"p1@patients.example": "451 later"}
    for _ in range(2):
        assert _start(workers, shift, "worker", "run", "--burst").wait(60) == 0
    assert states(clinic) == {"sent": 1, "waiting": 1}
    (sent,) = mail.accepted
    said = parsedate_to_datetime(sent["Date"]).replace(tzinfo=UTC)
    assert abs((said - clock.now()).total_seconds() - shift) < 120, "the clock is wrong"
    put_off = (
        "SELECT attempts, extract(epoch FROM due_at - now()) BETWEEN 0 AND 60 FROM notification WHERE sent_at IS NULL"
    )
    assert clinic.row(put_off) == (1, True)


def test_two_relays_and_crons_with_clocks_ten_minutes_apart_send_one_reminder_each(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    book(clinic, 30)
    running = [_start(workers, shift, "worker", "run", "--processes", "1") for shift in (300, -300)]
    for _ in range(2):
        crons = [_start(workers, shift, "remind", "--within", "30d", "-q") for shift in (300, -300)]
        assert [cron.wait(60) for cron in crons] == [0, 0]
    eventually(lambda: states(clinic) == {"sent": 60})
    reminders = [message for message in mail.accepted if "Reminder" in message["Subject"]]
    assert len(reminders) == 30 and len(mail.ids) == 60 and set(mail.ids.values()) == {1}
    assert all(process.poll() is None for process in running) and clinic.sound()
