"""Who is told by which way: text messages through a real gateway, webhooks to a real server, and what is in the way."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import hmac
import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bookcli.core import clock
from bookcli.core.context import Context
from bookcli.core.errors import InvalidInput
from bookcli.core.model.messages import Letter
from bookcli.core.model.requests import new_key
from bookcli.core.services import appointments, notifications, places, waitlist
from tests.clinic import Clinic
from tests.worker.conftest import Workers, book, states
from tests.worker.mail_server import MailServer
from tests.worker.web_server import DRIP, Post, WebServer
from worker.delivery import sms, webhook
from worker.delivery.problems import NotSent, ServerAway
from worker.delivery.sms import Texter

KEY = bytes(range(32))
HOSTILE = 'Eve <b onload="x()"> Bcc: all@clinic.example {{ 7 * 7 }} {phone} %2B49 [b]'


@pytest.fixture
def web() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.stop()


@pytest.fixture
def texting(workers: Workers, clinic: Clinic, web: WebServer) -> Workers:
    """Workers that have a gateway too; patients P1 to P20 have numbers."""
    workers.environment["BOOKCLI_SMS_URL"] = f"json://127.0.0.1:{web.port}/to/{{phone}}"
    clinic.run("UPDATE patient SET phone = '+49151200000' || lpad(patient_id::text, 2, '0')")
    return workers


@pytest.fixture
def hooked(workers: Workers, web: WebServer, tmp_path: Path) -> Workers:
    """Workers that have a webhook too."""
    secret = tmp_path / "webhook.key"
    secret.write_text("whsec_" + base64.b64encode(KEY).decode() + "\n")
    secret.chmod(0o600)
    workers.environment["BOOKCLI_WEBHOOK_URL"] = f"http://127.0.0.1:{web.port}/hook?a=1"
    workers.environment["BOOKCLI_WEBHOOK_SECRET"] = str(secret)
    return workers


def reasons(clinic: Clinic) -> dict[str, tuple[str, str | None, str]]:
    """Patient number → (state, channel, reason) of their message."""
    found = clinic.rows(
        "SELECT mrn, app.message_state(n), n.channel, n.reason FROM app.notification n"
        " JOIN app.appointment USING (appointment_id) JOIN app.patient p USING (patient_id)"
        " WHERE n.recipient = 'patient'"
    )
    return {mrn: (state, channel, reason) for mrn, state, channel, reason in found}


def genuine(post: Post) -> bool:
    """What the documentation tells a receiver to check."""
    signed = f"{post.headers['webhook-id']}.{post.headers['webhook-timestamp']}.".encode() + post.body
    mine = "v1," + base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    fresh = abs(clock.now().timestamp() - int(post.headers["webhook-timestamp"])) < 300
    return fresh and hmac.compare_digest(mine, post.headers["webhook-signature"])


def test_everybody_is_told_as_they_prefer_or_as_they_can_be_reached_or_not_at_all(
    clinic: Clinic, texting: Workers, mail: MailServer, web: WebServer
) -> None:
    book(clinic, 8)
    for number, what in enumerate(
        (
            "channel = ''",
            "channel = 'sms'",
            "channel = 'sms', phone = ''",
            "channel = 'email', email = ''",
            "channel = 'none'",
            "consent = 'declined'",
            "email = '', phone = '030 123456'",
            "channel = 'sms', consent = 'given'",
        ),
        start=1,
    ):
        clinic.run(f"UPDATE patient SET {what} WHERE mrn = 'P{number}'")
    texting.burst()
    assert reasons(clinic) == {
        "P1": ("sent", "email", ""),
        "P2": ("sent", "sms", ""),
        "P3": ("sent", "email", ""),
        "P4": ("sent", "sms", ""),
        "P5": ("cancelled", None, "not-wanted"),
        "P6": ("cancelled", None, "declined"),
        "P7": ("cancelled", None, "no-address"),
        "P8": ("sent", "sms", ""),
    }
    assert sorted(post.path for post in web.posts) == [f"/to/+491512000000{n}" for n in (2, 4, 8)]
    assert sorted(message["To"] for message in mail.accepted) == ["p1@patients.example", "p3@patients.example"]
    (seen,) = [row for row in notifications.list_(clinic.context) if row["reason"] == "declined"]
    assert seen["state"] == "cancelled", "the desk sees why"
    assert clinic.sound()


def test_a_text_message_is_short_and_names_neither_the_patient_nor_the_test(
    clinic: Clinic, texting: Workers, web: WebServer
) -> None:
    clinic.run("UPDATE patient SET channel = 'sms'")
    (reference,) = book(clinic, 1)
    texting.burst()
    (post,) = web.posts
    text = post.json["message"]
    assert reference in text and "08:00" in text and "+49 30 901820" in text and len(text) <= 160
    assert "Ana" not in text and "Blood" not in text and "eat" not in text and post.json["title"] == ""
    clinic.run("UPDATE site SET names_test = true")
    notifications.retry(clinic.context, 1)
    texting.burst()
    assert "Blood draw" in web.posts[1].json["message"] and "Nothing to eat" in web.posts[1].json["message"]


def test_one_number_that_the_gateway_refuses_does_not_stop_the_rest(
    clinic: Clinic, texting: Workers, web: WebServer
) -> None:
    clinic.run("UPDATE patient SET channel = 'sms', email = ''")
    book(clinic, 4)
    clinic.run("UPDATE patient SET phone = '+49' WHERE mrn = 'P3'")
    web.answer = lambda post: {"1": 400, "2": 500}.get(post.path[-1], 200)
    said = texting.burst("--processes", "1")
    assert reasons(clinic) == {
        "P1": ("failed", "sms", "sms-400"),
        "P2": ("waiting", "sms", "sms-500"),
        "P3": ("failed", "sms", "bad-number"),
        "P4": ("sent", "sms", ""),
    }
    assert "+49" not in said and "message" in said, "a number is never in a log"
    assert clinic.row("SELECT due_at > now() + interval '10 s' FROM notification WHERE reason = 'sms-500'") == (True,)


def test_who_cannot_be_reached_one_way_for_good_is_told_once_by_the_other(
    clinic: Clinic, texting: Workers, mail: MailServer, web: WebServer
) -> None:
    references = book(clinic, 5)
    clinic.run("UPDATE patient SET phone = '' WHERE mrn = 'P2'")
    clinic.run("UPDATE patient SET channel = 'sms' WHERE mrn IN ('P3', 'P5')")
    mail.answers = {f"p{n}@patients.example": "550 unknown" for n in (1, 2, 4)}
    web.answer = lambda post: 0 if post.path.endswith("5") else 400 if post.path[-1] in "34" else 200
    texting.burst("--processes", "1")
    assert reasons(clinic) == {
        "P1": ("sent", "sms", ""),
        "P2": ("failed", "email", "smtp-550"),
        "P3": ("sent", "email", ""),
        "P4": ("failed", "sms", "sms-400"),
        "P5": ("waiting", "sms", "sms-cut-off"),
    }
    assert [message["To"] for message in mail.accepted] == ["p3@patients.example"]
    assert sorted(post.path[-1] for post in web.posts) == ["1", "3", "4", "5"]
    shown = {row["reference"]: (row["bounced"], row["attempts"]) for row in notifications.list_(clinic.context)}
    assert [shown[one] for one in references] == [("email", 2), (None, 1), ("sms", 2), ("email", 2), (None, 1)]
    why = "SELECT after ->> 'why' FROM audit WHERE action = 'send-failed' AND patient_id = 1"
    assert clinic.row(why) == ("smtp-550",) and clinic.sound()
    mail.answers = {}
    notifications.retry(clinic.context, clinic.row("SELECT min(notification_id) FROM notification")[0])
    texting.burst("--processes", "1")
    assert reasons(clinic)["P1"] == ("sent", "email", ""), "somebody has seen to the address"


def test_a_refusal_that_is_noted_again_because_its_answer_was_lost_leaves_the_other_way(
    clinic: Clinic, working: Context
) -> None:
    book(clinic, 1)
    clinic.run("UPDATE patient SET phone = '+4915120000001' WHERE mrn = 'P1'")
    settings = dataclasses.replace(working.settings, sms_url="json://127.0.0.1:1/to/{phone}")
    with Context(settings, working.paths) as worker:
        notifications.sign_in_worker(worker)
        ids = notifications.claim(worker, 10)
        ((first,),) = notifications.lease(worker, ids, 60)
        assert first.channel == "email"
        for _ in range(2):
            notifications.mark_refused(worker, [first], "smtp-550")
        assert reasons(clinic)["P1"] == ("waiting", "email", "smtp-550")
        ((second,),) = notifications.lease(worker, ids, 60)
        assert (second.channel, second.attempts) == ("sms", 1)
        notifications.mark_refused(worker, [first], "smtp-550")
        assert reasons(clinic)["P1"] == ("sending", "sms", "smtp-550"), "another worker has it by now"
        for _ in range(2):
            notifications.mark_failed(worker, [second], "sms-away", retry_after=0)
        ((third,),) = notifications.lease(worker, ids, 60)
        notifications.mark_failed(worker, [second], "sms-away", retry_after=0)
        assert notifications.lease(worker, ids, 60) == [], "nobody sends it beside them"
        notifications.mark_failed(worker, [third], "sms-away", retry_after=0)
    assert clinic.row("SELECT attempts, reason FROM notification") == (1, "sms-away")


def test_the_other_way_begins_with_a_count_and_a_pause_of_its_own(clinic: Clinic, working: Context) -> None:
    book(clinic, 1)
    clinic.run("UPDATE patient SET phone = '+4915120000001' WHERE mrn = 'P1'")
    settings = dataclasses.replace(working.settings, sms_url="json://127.0.0.1:1/to/{phone}")
    told: list[tuple[str, int]] = []
    with Context(settings, working.paths) as worker:
        notifications.sign_in_worker(worker)

        def fails(code: str) -> bool:
            """Whether there was one more attempt, which then failed for the moment."""
            for message in notifications.lease(worker, [1], 60):
                told.append((message[0].channel, message[0].attempts))
                notifications.mark_failed(worker, message, code)
            return clinic.row("SELECT failed_at IS NULL FROM notification") == (True,)

        assert fails("smtp-451") and fails("smtp-451")
        notifications.mark_refused(worker, notifications.lease(worker, [1], 60)[0], "smtp-550")
        assert fails("sms-500")
        assert clinic.row("SELECT due_at < now() + interval '1 minute' FROM notification") == (True,)
        while fails("sms-500"):
            pass
    assert told == [("email", 1), ("email", 2)] + [("sms", n) for n in range(1, 11)]


def test_where_the_webhook_is_the_only_way_who_waits_is_offered_places_through_it(
    clinic: Clinic, hooked: Workers, working: Context, web: WebServer
) -> None:
    for patient in (1, 2, 3):
        waitlist.add(clinic.context, f"P{patient}", "mri", places.Wish("mri", ["north"]))
    clinic.run("UPDATE patient SET consent = 'declined' WHERE mrn = 'P1'")
    clinic.run("UPDATE patient SET channel = 'none' WHERE mrn = 'P2'")
    clinic.run("UPDATE patient SET email = '' WHERE mrn = 'P3'")
    with_mail = dataclasses.replace(working.settings, webhook_url=hooked.environment["BOOKCLI_WEBHOOK_URL"])
    without = dataclasses.replace(with_mail, smtp_url="")
    for settings, offers in ((with_mail, 0), (without, 1)):
        with Context(settings, working.paths) as desk:
            notifications.sign_in_worker(desk)
            assert waitlist.offer(desk) == offers, "the other system tells patients only where nobody else does"
    del hooked.environment["BOOKCLI_SMTP_URL"]
    hooked.burst()
    (post,) = web.posts
    assert post.json["kind"] == "offer" and post.json["appointments"][0]["held_until"] and genuine(post)
    held = "SELECT app.reference_of(appointment_id) FROM appointment WHERE status = 'pending'"
    assert clinic.row(held) == (post.json["appointments"][0]["reference"],)


def test_a_gateway_that_is_away_costs_no_attempt_and_stops_no_mail(
    clinic: Clinic, texting: Workers, mail: MailServer, web: WebServer
) -> None:
    book(clinic, 4)
    clinic.run("UPDATE patient SET channel = 'sms' WHERE mrn IN ('P1', 'P3')")
    web.stop()
    texting.burst("--processes", "1")
    assert {one: found[0] for one, found in reasons(clinic).items()} == {
        "P1": "waiting", "P2": "sent", "P3": "waiting", "P4": "sent",
    }  # fmt: skip
    assert clinic.rows("SELECT DISTINCT attempts, reason FROM notification WHERE sent_at IS NULL") == [(0, "sms-away")]


def test_an_account_that_is_locked_costs_no_attempt_and_a_cut_off_costs_one(
    clinic: Clinic, texting: Workers, web: WebServer
) -> None:
    clinic.run("UPDATE patient SET channel = 'sms'")
    book(clinic, 1)
    for status, wanted in ((401, (0, "sms-401")), (0, (1, "sms-cut-off"))):
        web.answer = lambda _, status=status: status  # type: ignore[misc]
        clinic.run("UPDATE notification SET due_at = now()")
        texting.burst()
        assert clinic.row("SELECT attempts, reason FROM notification") == wanted


def test_a_text_that_may_have_arrived_is_sent_once_more_and_then_left_to_the_desk(
    clinic: Clinic, texting: Workers, mail: MailServer, web: WebServer
) -> None:
    clinic.run("UPDATE patient SET channel = 'sms' WHERE mrn = 'P1'")
    mail.answers = {"p2@patients.example": "550 unknown"}
    book(clinic, 2)
    web.answer = lambda _: 0
    for _ in range(4):
        clinic.run("UPDATE notification SET due_at = now()")
        texting.burst()
    assert sorted(post.path[-1] for post in web.posts) == ["1", "1", "2", "2"]
    assert set(reasons(clinic).values()) == {("failed", "sms", "sms-cut-off")}


def test_a_redirection_is_no_text_that_was_sent_and_is_not_followed(
    clinic: Clinic, texting: Workers, web: WebServer
) -> None:
    clinic.run("UPDATE patient SET channel = 'sms'")
    book(clinic, 1)
    web.answer = lambda _: 307
    texting.burst()
    assert len(web.posts) == 1 and reasons(clinic)["P1"] == ("waiting", "sms", "sms-307")


def test_a_gateway_in_the_clear_on_another_machine_is_refused() -> None:
    with pytest.raises(InvalidInput, match="without encryption"):
        Texter("json://gateway.example/{phone}")
    Texter("jsons://gateway.example/{phone}")


@pytest.mark.parametrize(
    ("status", "code", "problem"), [(401, 20003, ServerAway), (429, 20429, ServerAway), (400, 21211, NotSent)]
)
def test_a_code_of_the_gateways_own_is_read_with_the_status_beside_it(
    web: WebServer, monkeypatch: pytest.MonkeyPatch, status: int, code: int, problem: type[Exception]
) -> None:
    gateway = Texter("twilio://AC" + "a" * 32 + ":" + "b" * 32 + "@+4915112345678/{phone}")
    from apprise.plugins.twilio import NotifyTwilio

    monkeypatch.setattr(NotifyTwilio, "notify_sms_url", f"http://127.0.0.1:{web.port}/{{sid}}")
    web.answer = lambda _: status
    web.body = json.dumps({"code": code, "message": "No.", "status": status}).encode()
    with pytest.raises(problem) as caught:
        gateway.send(Letter("sms", (1,), "<1@x>", "+4915112345679", "Hello"))
    assert getattr(caught.value, "code", "") == f"sms-{status}"
    assert len(web.posts) == 1 and getattr(caught.value, "permanent", False) == (status == 400)


def test_the_clinics_other_systems_are_told_once_signed_and_without_the_patient(
    clinic: Clinic, hooked: Workers, mail: MailServer, web: WebServer
) -> None:
    first, second = book(clinic, 2)
    clinic.run("UPDATE patient SET consent = 'declined' WHERE mrn = 'P2'")
    for _ in range(2):
        hooked.burst()
    assert len(mail.accepted) == 1 and len(web.posts) == 2 and all(genuine(post) for post in web.posts)
    post = next(post for post in web.posts if first in post.body.decode())
    assert post.path == "/hook?a=1" and post.headers["content-type"] == "application/json"
    told = post.json
    assert told["id"] == post.headers["webhook-id"] and told["kind"] == "confirmation"
    assert told["site"] == {
        "code": "north", "name": "Clinic North", "zone": "Europe/Berlin", "phone": "+49 30 901820",
    }  # fmt: skip
    (one,) = told["appointments"]
    assert one.keys() == {"reference", "start", "end", "version"} and "T08:00:00+0" in one["start"]
    assert not any(word in post.body.decode() for word in ("Ana", "Müller", "P1", "blood", "Blood", "patients.example"))
    assert {row["channel"] for row in notifications.list_(clinic.context, reference=second)} == {None, "webhook"}
    assert states(clinic) == {"sent": 3, "cancelled": 1} and clinic.sound()


def test_a_webhook_is_told_the_test_where_the_site_allows_it_and_of_a_visit_at_once(
    clinic: Clinic, hooked: Workers, web: WebServer
) -> None:
    clinic.run("UPDATE site SET names_test = true")
    asked = [clinic.request(2, "blood", clinic.slot("blood")), clinic.request(2, "mri", clinic.slot("mri", 1, 2))]
    assert appointments.visit(clinic.context, asked, new_key()).outcome == "booked"
    hooked.burst()
    (post,) = web.posts
    assert [one["test"] for one in post.json["appointments"]] == ["blood", "mri"] and genuine(post)


@pytest.mark.parametrize(
    "answers",
    [
        {
            500: ("waiting", 1, "webhook-500"),
            302: ("waiting", 1, "webhook-302"),
            422: ("failed", 1, "webhook-422"),
            0: ("waiting", 1, "webhook-away"),
        },
        {503: ("waiting", 0, "webhook-503")},
    ],
    ids=["messages", "all"],
)
def test_a_webhook_that_does_not_take_it_is_told_again_under_the_same_id(
    clinic: Clinic, hooked: Workers, web: WebServer, answers: dict[int, tuple[str, int, str]]
) -> None:
    """Whether one message or all of them are refused."""
    book(clinic, len(answers))
    statuses = list(answers)
    web.answer = lambda _: statuses[len(web.posts) - 1]
    hooked.burst()
    marks = "SELECT app.message_state(n), attempts, reason FROM app.notification n WHERE recipient = 'webhook'"
    assert sorted(clinic.rows(marks)) == sorted(answers.values()) and reasons(clinic)["P1"][0] == "sent"
    refused = [post.headers["webhook-id"] for post in web.posts]
    web.answer = lambda _: 204
    clinic.run("UPDATE notification SET due_at = now(), failed_at = NULL")
    hooked.burst()
    told = [post.headers["webhook-id"] for post in web.posts[len(answers) :]]
    assert sorted(told) == sorted(refused) == sorted(set(told))
    assert states(clinic) == {"sent": 2 * len(answers)}


def test_a_webhook_that_is_gone_is_not_waited_for(clinic: Clinic, hooked: Workers, web: WebServer) -> None:
    book(clinic, 1)
    web.answer = lambda _: 503
    hooked.burst()
    for name in ("BOOKCLI_WEBHOOK_URL", "BOOKCLI_WEBHOOK_SECRET"):
        del hooked.environment[name]
    clinic.run("UPDATE notification SET due_at = now()")
    hooked.burst()
    assert clinic.row("SELECT reason FROM notification WHERE recipient = 'webhook'") == ("no-webhook",)


def test_a_gateway_or_a_webhook_that_answers_byte_by_byte_is_not_waited_for(
    web: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "SECONDS", 1)
    monkeypatch.setattr(sms, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(sms, "ANSWER_SECONDS", 0.5)
    web.answer = lambda _: DRIP
    ways = {
        "webhook": webhook.Webhook(f"http://127.0.0.1:{web.port}/hook", KEY),
        "sms": Texter(f"json://127.0.0.1:{web.port}/to/{{phone}}"),
    }
    for channel, code in (("webhook", "webhook-time-out"), ("sms", "sms-time-out")):
        with pytest.raises(ServerAway) as away:
            ways[channel].send(Letter(channel, (1,), "<1@x>", "+4915112345679", "{}"))
        assert (away.value.code, away.value.tried) == (code, True)
    web.answer = lambda _: 200
    for channel, way in ways.items():
        way.send(Letter(channel, (1,), "<1@x>", "+4915112345679", "{}"))
    assert len(web.posts) == 4


def test_a_proxy_that_opens_the_way_byte_by_byte_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sms, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(sms, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as proxy, ThreadPoolExecutor() as pool:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        left = pool.submit(was_left, proxy)
        with pytest.raises(ServerAway) as away:
            Texter("jsons://gateway.example/{phone}").send(Letter("sms", (1,), "<1@x>", "+4915112345679", "Hello"))
        assert left.result()
    assert away.value.code == "sms-time-out"


def was_left(server: socket.socket) -> bool:
    """Answers byte by byte; whether the other side hangs up before the last of 60."""
    one, _ = server.accept()
    with one, contextlib.suppress(OSError):
        one.recv(65536)
        one.sendall(b"HTTP/1.1 200 OK\r\nServer: ")
        for _ in range(60):
            time.sleep(0.1)
            one.sendall(b"s")
        return False
    return True


def test_names_go_out_as_they_are_and_are_never_obeyed(
    clinic: Clinic, texting: Workers, hooked: Workers, mail: MailServer, web: WebServer
) -> None:
    book(clinic, 2)
    clinic.run("UPDATE patient SET name = %s", (HOSTILE,))
    clinic.run("UPDATE site SET name = %s, names_test = true WHERE code = 'north'", (HOSTILE,))
    clinic.run("UPDATE test SET name = %s", (HOSTILE,))
    clinic.run("UPDATE patient SET channel = 'sms' WHERE mrn = 'P2'")
    texting.burst()
    (message,) = mail.accepted
    assert HOSTILE in message["Subject"] and message["Bcc"] is None and message["To"] == "p1@patients.example"
    assert HOSTILE in message.get_body(("plain",)).get_content()
    html = message.get_body(("html",)).get_content()
    assert "<b onload" not in html and "&lt;b onload=&#34;x()&#34;&gt;" in html and "{{ 7 * 7 }}" in html
    (text,) = [post for post in web.posts if post.path.startswith("/to/")]
    assert HOSTILE in text.json["message"] and text.path == "/to/+4915120000002"
    (told, *_) = [post for post in web.posts if post.path.startswith("/hook")]
    assert told.json["site"]["name"] == HOSTILE and genuine(told)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BOOKCLI_SMS_URL", "json://127.0.0.1/to/nobody"),
        ("BOOKCLI_SMS_URL", "nothing://{phone}"),
        ("BOOKCLI_WEBHOOK_URL", "http://systems.clinic.example/"),
        ("BOOKCLI_WEBHOOK_URL", "ftp://127.0.0.1/"),
        ("BOOKCLI_WEBHOOK_SECRET", "/dev/null"),
        ("BOOKCLI_WEBHOOK_SECRET", ""),
    ],
)
def test_a_way_that_is_set_up_wrongly_is_said_when_a_worker_starts(hooked: Workers, name: str, value: str) -> None:
    hooked.environment[name] = value
    process = hooked.start()
    assert process.wait(60) == 2 and process.stderr is not None
    assert b"bug" not in process.stderr.read()


def test_a_key_that_others_can_read_is_refused(hooked: Workers) -> None:
    Path(hooked.environment["BOOKCLI_WEBHOOK_SECRET"]).chmod(0o644)
    process = hooked.start()
    assert process.wait(60) == 2 and process.stderr is not None and b"chmod 600" in process.stderr.read()
