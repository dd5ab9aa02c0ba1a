"""Mail servers as they are: with certificates and passwords, slow, and full of bad moments."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword

from bookcli.core.context import Context
from bookcli.core.model.messages import specimen
from bookcli.core.services import appointments, notifications
from tests.clinic import Clinic
from tests.secure_servers import Authority
from tests.worker.conftest import Workers, again, book, eventually, states
from tests.worker.mail_server import MailServer
from worker.delivery import email

pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH")
USER, PASSWORD = "worker@clinic.example", "p@ss w/rd"
QUOTED = "worker%40clinic.example:p%40ss%20w%2Frd"


class Strict:
    """A mail server with a certificate that lets in who has the password; `tried` are the passwords it was told."""

    def __init__(self, directory: Path, scheme: str) -> None:
        self.authority = Authority(directory)
        shown = self.authority.issue("localhost")
        certificate = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        certificate.load_cert_chain(shown.chain, shown.key)
        self.tried: list[bytes] = []
        security: dict[str, Any] = {"authenticator": self._let_in, "auth_required": True}
        if scheme == "smtps":
            # What is TLS from the first byte needs no STARTTLS before a password.
            security |= {"ssl_context": certificate, "auth_require_tls": False}
        else:
            security |= {"tls_context": certificate, "require_starttls": True}
        self.mail = MailServer(**security)
        self.scheme = scheme

    def _let_in(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        assert isinstance(given, LoginPassword)
        self.tried.append(given.password)
        is_right = (given.login, given.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=is_right, handled=False)

    def settings(self, who: str) -> dict[str, str]:
        """What a worker is told that logs in as `who`, and trusts the authority."""
        address = f"{self.scheme}://{who}@localhost:{self.mail.port}"
        return {"BOOKCLI_SMTP_URL": address, "SSL_CERT_FILE": str(self.authority.file)}


@pytest.fixture(params=["smtps", "smtp"])
def strict(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Strict]:
    """With TLS from the first byte, and with STARTTLS."""
    server = Strict(tmp_path, request.param)
    server.mail.start()
    yield server
    server.mail.stop()


def _reasons(clinic: Clinic) -> list[tuple[Any, ...]]:
    return clinic.rows("SELECT DISTINCT reason, attempts, due_at > now() FROM notification WHERE sent_at IS NULL")


def test_messages_go_out_over_tls_with_a_password_and_on_one_connection(
    clinic: Clinic, workers: Workers, strict: Strict
) -> None:
    book(clinic, 3)
    workers.environment |= strict.settings(QUOTED)
    workers.burst("--processes", "1")
    assert states(clinic) == {"sent": 3} and strict.tried == [PASSWORD.encode()]


def test_a_wrong_password_puts_messages_off_and_gives_none_up(clinic: Clinic, workers: Workers, strict: Strict) -> None:
    book(clinic, 2)
    workers.environment |= strict.settings("worker%40clinic.example:wrong")
    said = workers.burst()
    assert strict.mail.accepted == [] and _reasons(clinic) == [("smtp-login", 0, True)] and "wrong" not in said
    again(clinic)
    workers.environment |= strict.settings(QUOTED)
    workers.burst()
    assert states(clinic) == {"sent": 2}


def test_a_server_that_nobody_vouches_for_gets_neither_message_nor_password(
    clinic: Clinic, workers: Workers, strict: Strict, tmp_path: Path
) -> None:
    book(clinic, 2)
    other = tmp_path / "other"
    other.mkdir()
    workers.environment |= strict.settings(QUOTED) | {"SSL_CERT_FILE": str(Authority(other).file)}
    workers.burst()
    assert strict.mail.accepted == [] and strict.tried == []
    assert _reasons(clinic) == [("smtp-untrusted", 0, True)]


def test_nothing_is_sent_in_the_clear_to_another_machine(clinic: Clinic, workers: Workers, mail: MailServer) -> None:
    book(clinic, 1)
    workers.environment["BOOKCLI_SMTP_URL"] = mail.url.replace("127.0.0.1", "0.0.0.0")
    workers.burst()
    assert mail.accepted == [] and _reasons(clinic) == [("smtp-no-tls", 0, True)]


def test_a_message_at_which_the_server_hangs_does_not_hold_up_the_others(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    book(clinic, 6)
    mail.after_dot = lambda message: "hang" if message["To"] == "p1@patients.example" else "250 taken"
    workers.environment["BOOKCLI_SMTP_SECONDS"] = "1"
    workers.burst("--processes", "1")
    assert states(clinic) == {"sent": 5, "waiting": 1}
    assert _reasons(clinic) == [("smtp-time-out", 1, True)]


@pytest.mark.parametrize("when", ["at the address", "after the final dot"])
def test_a_server_that_answers_byte_by_byte_and_never_ends_is_not_waited_for(
    clinic: Clinic, workers: Workers, mail: MailServer, when: str
) -> None:
    book(clinic, 6)
    if when == "at the address":
        mail.answers = {"p3@patients.example": "drip"}
    else:
        mail.after_dot = lambda message: "drip" if message["To"] == "p3@patients.example" else "250 taken"
    workers.environment["BOOKCLI_SMTP_SECONDS"] = "1"
    said = workers.burst("--processes", "1")
    assert states(clinic) == {"sent": 5, "waiting": 1}
    assert _reasons(clinic) == [("smtp-time-out", 1, True)]
    assert ('"event":"perhaps-sent"' in said) is (when == "after the final dot")


def test_a_server_that_greets_byte_by_byte_costs_no_attempt(clinic: Clinic, workers: Workers) -> None:
    book(clinic, 3)
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_greet_slowly, args=(server,), daemon=True).start()
        port = server.getsockname()[1]
        workers.environment |= {"BOOKCLI_SMTP_URL": f"smtp://127.0.0.1:{port}", "BOOKCLI_SMTP_SECONDS": "1"}
        workers.burst("--processes", "1")
    assert _reasons(clinic) == [("smtp-time-out", 0, True)]


def _greet_slowly(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            client, _ = server.accept()
            with client, contextlib.suppress(OSError):
                while True:
                    client.sendall(b"2")
                    time.sleep(0.1)


def test_a_server_that_never_says_a_word_costs_no_attempt(clinic: Clinic, workers: Workers) -> None:
    book(clinic, 3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        workers.environment |= {"BOOKCLI_SMTP_URL": f"smtp://127.0.0.1:{port}", "BOOKCLI_SMTP_SECONDS": "1"}
        workers.burst("--processes", "1")
    assert _reasons(clinic) == [("smtp-time-out", 0, True)]


def test_a_server_that_breaks_at_every_message_is_left_alone_after_two(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    book(clinic, 20)
    mail.after_dot = lambda _: "drop"
    workers.burst("--processes", "1")
    batches = 2  # in which one sending process is given so many
    assert len(mail.accepted) == 2 * batches and set(mail.ids.values()) == {1}
    counts = "SELECT count(*) FILTER (WHERE attempts = 1), count(*) FILTER (WHERE attempts = 0) FROM notification"
    assert clinic.row(counts) == (2 * batches, 20 - 2 * batches)


def test_a_server_that_ends_a_connection_between_two_messages_gets_another(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    process = workers.start("--processes", "1")
    book(clinic, 1)
    mail.await_messages(1)
    eventually(lambda: states(clinic) == {"sent": 1})
    mail.restart()
    book(clinic, 1, day=3)
    mail.await_messages(2)
    eventually(lambda: states(clinic) == {"sent": 2})
    assert mail.connections == 2 and process.poll() is None
    assert clinic.row("SELECT max(attempts) FROM notification") == (1,)


def test_a_running_worker_keeps_its_connection_from_one_batch_to_the_next(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    workers.start("--processes", "1")
    for day in (1, 2):
        book(clinic, 1, day=day)
        mail.await_messages(day)
    assert mail.connections == 1


def test_a_connection_that_was_not_used_for_long_is_ended(
    working: Context, mail: MailServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = notifications.write(working, [specimen("confirmation", "en")])
    mailer = email.Mailer(mail.url)
    for _ in range(2):
        mailer.send(letter)
        mailer.rest()
    assert mail.connections == 1, "so soon it is kept"
    monkeypatch.setattr(email, "LONGEST_REST", 0)
    mailer.rest()
    mailer.send(letter)
    assert mail.connections == 2 and len(mail.accepted) == 3
    mailer.close()


def test_what_was_refused_leaves_the_connection_to_the_next_message(
    clinic: Clinic, workers: Workers, mail: MailServer
) -> None:
    book(clinic, 6)
    mail.answers = {"p2@patients.example": "550 unknown"}
    mail.after_dot = lambda message: "554 no" if message["To"] == "p3@patients.example" else "250 taken"
    workers.burst("--processes", "1")
    assert states(clinic) == {"sent": 4, "failed": 2} and mail.connections == 1


def test_names_and_words_of_any_script_arrive_as_they_are(clinic: Clinic, workers: Workers, mail: MailServer) -> None:
    clinic.run(
        "UPDATE site SET name = 'Clínica do Coração e dos Pulmões de São Tomé e Príncipe 心臓' WHERE code = 'south'"
    )
    clinic.run("UPDATE patient SET name = 'Þór 山田' WHERE mrn = 'P1'")
    assert appointments.book(clinic.context, clinic.request(1, "xray", clinic.slot("xray"))).outcome == "booked"
    workers.environment["BOOKCLI_MAIL_FROM"] = "Clínica Sul <appointments@clinic.example>"
    workers.burst()
    (message,) = mail.accepted
    assert (message["From"].addresses[0].display_name, message["From"].addresses[0].addr_spec) == (
        "Clínica Sul", "appointments@clinic.example",
    )  # fmt: skip
    assert "Clínica do Coração e dos Pulmões de São Tomé e Príncipe 心臓" in message["Subject"]
    assert "Þór 山田" in message.get_body(("plain",)).get_content()
    assert all(len(line) <= 78 for line in message.as_bytes().splitlines())
