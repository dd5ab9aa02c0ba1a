"""Told to stop, a worker finishes the message in hand and leaves the rest as it was; paused, it begins nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from email.message import EmailMessage

from tests.clinic import Clinic
from tests.worker.conftest import BOOKCLI, Workers, book, eventually, states
from tests.worker.mail_server import MailServer


def test_on_sigterm_the_message_in_hand_is_finished_and_the_rest_is_given_back(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    book(clinic, 12)
    go_on = threading.Event()

    def held(_: EmailMessage) -> str:
        go_on.wait(60)
        return "250 taken"

    mail.after_dot = held
    process = workers.start("--processes", "1")
    mail.await_messages(1)
    process.send_signal(signal.SIGTERM)
    threading.Timer(1, go_on.set).start()
    assert process.wait(30) == 0
    assert len(mail.accepted) == 1 and states(clinic) == {"sent": 1, "waiting": 11}
    assert clinic.row("SELECT max(attempts) FROM notification WHERE sent_at IS NULL") == (0,)
    clinic.run("UPDATE notification SET due_at = now()")
    workers.burst()
    assert states(clinic) == {"sent": 12} and set(mail.ids.values()) == {1}


def _say(workers: Workers, *words: str) -> str:
    done = subprocess.run([BOOKCLI, "worker", *words], env=workers.environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_paused_worker_sends_nothing_until_it_is_resumed(clinic: Clinic, workers: Workers, mail: MailServer) -> None:
    workers.start()
    eventually(lambda: json.loads(_say(workers, "status", "--json"))["worker"][0]["workers"] == 2)
    _say(workers, "pause")
    assert json.loads(_say(workers, "status", "--json"))["worker"][0]["paused"] is True
    book(clinic, 2)
    assert states(clinic) == {"waiting": 2}
    _say(workers, "resume")
    mail.await_messages(2)


def test_without_a_mail_server_it_does_not_even_begin(clinic: Clinic, workers: Workers) -> None:
    environment = {**workers.environment, "BOOKCLI_SMTP_URL": ""}
    words = [sys.executable, "-m", "worker", "run"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, cwd=BOOKCLI.parents[2], check=False)
    assert done.returncode == 2 and "BOOKCLI_SMTP_URL" in done.stderr
