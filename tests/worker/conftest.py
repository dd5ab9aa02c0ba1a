"""A mail server, patients with addresses, and real workers that log in as a worker does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rq import Worker

from bookcli.core.config import Settings
from bookcli.core.context import Context
from bookcli.core.services import appointments, notifications
from tests.clinic import Clinic
from tests.servers import login_as
from tests.valkeys import Valkey
from tests.worker.mail_server import MailServer
from worker.relay import queue

BOOKCLI = Path(sys.executable).with_name("bookcli")
MAIL_FROM = "Clinic North <appointments@clinic.example>"


@pytest.fixture
def mail() -> Iterator[MailServer]:
    """A mail server that takes everything until it is told otherwise."""
    server = MailServer()
    server.start()
    yield server
    server.stop()


class Workers:
    """Real `bookcli worker run` processes; whatever a test does to them, none outlives it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen([BOOKCLI, "worker", "run", *words], env=self.environment, stderr=subprocess.PIPE)
        self.running.append(process)
        return process

    def burst(self, *words: str) -> str:
        """Sends what is due and ends; what was logged."""
        done = subprocess.run(
            [BOOKCLI, "worker", "run", "--burst", *words],
            env=self.environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stderr

    def await_event(self, process: subprocess.Popen[bytes], event: str) -> None:
        """Returns when the log of a worker has told of an event."""
        assert process.stderr is not None
        os.set_blocking(process.stderr.fileno(), False)
        log = bytearray()

        def told() -> bool:
            log.extend(process.stderr.read() or b"" if process.stderr else b"")
            return f'"event":"{event}"'.encode() in log

        eventually(told)

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """kill -9 for the process and everything it has forked, at one moment."""
        family = descendants(process.pid)
        for pid in family:
            os.kill(pid, signal.SIGSTOP)
        for pid in family:
            os.kill(pid, signal.SIGKILL)
        process.wait()

    def close(self) -> None:
        for process in self.running:
            if process.poll() is None:
                self.kill(process)
            if process.stderr is not None:
                process.stderr.close()


def descendants(pid: int) -> list[int]:
    """A process and all it has forked, directly or not."""
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").glob("*") for child in (task / "children").read_text().split()
    ]
    return [pid, *(found for child in children for found in descendants(child))]


@pytest.fixture
def workers(clinic: Clinic, valkey: Valkey, mail: MailServer) -> Iterator[Workers]:
    """Workers of the clinic's database."""
    clinic.run("UPDATE patient SET email = 'p' || patient_id || '@patients.example'")
    environment = {
        **os.environ,
        "BOOKCLI_DATABASE_URL": login_as(clinic.owner_dsn, "worker"),
        "BOOKCLI_REDIS_URL": valkey.url,
        "BOOKCLI_SMTP_URL": mail.url,
        "BOOKCLI_MAIL_FROM": MAIL_FROM,
    }
    crew = Workers(environment)
    yield crew
    crew.close()


@pytest.fixture
def working(workers: Workers, clinic: Clinic) -> Iterator[Context]:
    """A worker's own context."""
    settings = Settings(
        database_url=workers.environment["BOOKCLI_DATABASE_URL"],
        redis_url=workers.environment["BOOKCLI_REDIS_URL"],
        smtp_url=workers.environment["BOOKCLI_SMTP_URL"],
        mail_from=MAIL_FROM,
    )
    with Context(settings, clinic.context.paths) as context:
        notifications.sign_in_worker(context)
        yield context


def book(clinic: Clinic, count: int, day: int = 1) -> list[str]:
    """Books so many appointments from that day on, for the twenty patients in turn; the references."""
    references = []
    for n in range(count):
        request = clinic.request(n % 20 + 1, "blood", clinic.slot("blood", n // 64 + day, n % 64 // 4))
        outcome = appointments.book(clinic.context, request)
        assert outcome.outcome == "booked", outcome
        references.append(outcome.verdicts[0].reference or "")
    return references


def eventually(true: Callable[[], bool], seconds: float = 60) -> None:
    """Waits until something is so."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come to that"
        time.sleep(0.02)


def again(clinic: Clinic) -> None:
    """What time does: leases end, and what was claimed or put off is due."""
    clinic.run(
        "UPDATE notification SET due_at = now(), leased_until = least(leased_until, now()) WHERE sent_at IS NULL"
    )


def senders(valkey: Valkey) -> list[int]:
    """The processes that send, as RQ knows them."""
    return sorted(worker.pid or 0 for worker in Worker.all(queue=queue(valkey.client)))


def states(clinic: Clinic) -> dict[str, int]:
    """How many messages are in which state."""
    return dict(clinic.rows("SELECT app.message_state(n), count(*)::int FROM app.notification n GROUP BY 1"))
