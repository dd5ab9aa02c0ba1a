"""What a message would say, and whether a way is set up right, seen before a patient gets anything."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.clinic import Clinic
from tests.worker.conftest import BOOKCLI, MAIL_FROM, book
from tests.worker.mail_server import MailServer
from tests.worker.web_server import WebServer


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.stop()


@pytest.fixture
def ways(mail: MailServer, web: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings of all ways but the webhook."""
    monkeypatch.setenv("BOOKCLI_SMTP_URL", mail.url)
    monkeypatch.setenv("BOOKCLI_MAIL_FROM", MAIL_FROM)
    monkeypatch.setenv("BOOKCLI_SMS_URL", f"json://127.0.0.1:{web.port}/to/{{phone}}")


def said(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([BOOKCLI, *words], input=stdin, capture_output=True, text=True, timeout=60, check=False)


def test_a_preview_shows_the_patients_own_way_or_the_one_that_is_asked_for(clinic: Clinic, ways: None) -> None:
    (reference,) = book(clinic, 1)
    clinic.run("UPDATE patient SET channel = 'sms', phone = '+4915112345678', email = 'a@patients.example'")
    shown = said("message", "preview", reference, "-o", "table")
    assert shown.stdout.startswith("SMS to: +4915112345678\n1 text message of up to 160 characters\n"), shown
    (email,) = json.loads(said("message", "preview", reference, "--channel", "email", "--json").stdout)["message"]
    assert email["recipient"] == "a@patients.example" and email["html"].startswith("<!DOCTYPE html>")
    assert "Nothing to eat for 8 hours." in email["html"] and len(email["attachments"]) == 1
    words = ("message", "preview", reference, "--channel", "webhook", "--kind", "reminder", "--json")
    (hook,) = json.loads(said(*words).stdout)["message"]
    assert json.loads(hook["text"])["kind"] == "reminder" and "Ana" not in hook["text"]
    refused = said("message", "preview", reference, "--channel", "pigeon")
    assert refused.returncode == 2 and "email, sms, webhook" in refused.stderr


def test_a_preview_needs_no_sender(clinic: Clinic) -> None:
    (reference,) = book(clinic, 1)
    shown = said("message", "preview", reference, "--channel", "email")
    assert shown.returncode == 0 and "ORGANIZER:mailto:nobody@sender.invalid" in shown.stdout, shown


def test_a_test_message_goes_to_an_address_that_is_never_an_argument(
    clinic: Clinic, ways: None, mail: MailServer, web: WebServer
) -> None:
    done = said("message", "send-test", stdin="me@clinic.example\n")
    assert done.returncode == 0 and "It was taken." in done.stderr, done
    (message,) = mail.accepted
    assert message["To"] == "me@clinic.example" and message.get_body(("html",)) is not None
    assert said("message", "send-test", "--channel", "sms", stdin="+49 30 901820\n").returncode == 0
    (post,) = web.posts
    assert post.path == "/to/+4930901820" and "7F3K-Q2MG" in post.json["message"]
    assert said("message", "send-test", "me@clinic.example").returncode == 2
    assert clinic.row("SELECT count(*) FROM notification") == (0,)


@pytest.mark.parametrize(
    ("words", "stdin", "code", "why"),
    [
        (("--channel", "webhook"), "", 2, "BOOKCLI_WEBHOOK_URL"),
        (("--channel", "sms"), "030 901820\n", 2, "country"),
        (("--channel", "sms"), "\n", 2, "country"),
        ((), "nobody\n", 2, "name@example.org"),
        (("--kind", "love-letter"), "me@clinic.example\n", 2, "confirmation"),
        ((), "refused@clinic.example\n", 3, "smtp-550"),
    ],
)
def test_a_test_message_that_cannot_be_sent_says_why(
    clinic: Clinic, ways: None, mail: MailServer, words: tuple[str, ...], stdin: str, code: int, why: str
) -> None:
    mail.answers = {"refused@clinic.example": "550 unknown"}
    done = said("message", "send-test", *words, stdin=stdin)
    assert done.returncode == code and why in done.stderr and mail.accepted == [], done


def test_a_server_that_is_away_is_75(clinic: Clinic, ways: None, mail: MailServer) -> None:
    mail.stop()
    done = said("message", "send-test", stdin="me@clinic.example\n")
    assert done.returncode == 75 and "smtp-refused" in done.stderr
