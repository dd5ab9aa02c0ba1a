"""What a worker writes is a line of JSON for each event, and no patient is in it whatever happens."""

from __future__ import annotations

import json
import logging
import signal
from collections.abc import Iterator

import pytest
from rq import Queue
from rq.serializers import JSONSerializer

from tests.clinic import Clinic
from tests.valkeys import Valkey
from tests.worker.conftest import Workers, book, eventually, states
from tests.worker.mail_server import MailServer
from worker import QUEUE, logs

NAME, NOTE, PHONE = 'Canarina "%s {Zeisig}', "Kanarienvogel\nlevel: error", "+49301234567"
CANARIES = ("anarin", "eisig", "anarienvogel", "301234567", "p1@", "patients.example")


@pytest.fixture
def own_loggers() -> Iterator[None]:
    """The loggers of this process, put back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_worker_writes_json_and_no_patient_whatever_happens(
    clinic: Clinic, workers: Workers, mail: MailServer, valkey: Valkey
) -> None:
    clinic.run("UPDATE patient SET name = %s, note = %s, phone = %s", (NAME, NOTE, PHONE))
    clinic.run("UPDATE patient SET email = 'p1@canarina zeisig' WHERE mrn = 'P1'")
    mail.answers = {
        "p2@patients.example": "550 no such user Canarina Zeisig",
        "p3@patients.example": "451 p3@patients.example later",
    }
    book(clinic, 5)
    Queue(QUEUE, connection=valkey.client, serializer=JSONSerializer).enqueue("os.system", args=["Canarina Zeisig"])
    process = workers.start("--log-format", "json")
    eventually(lambda: states(clinic) == {"sent": 2, "failed": 2, "waiting": 1})
    eventually(lambda: Queue(QUEUE, connection=valkey.client).failed_job_registry.get_job_count(cleanup=False) == 1)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    text = said.decode()
    assert not [word for word in CANARIES if word in text]
    lines = [json.loads(line) for line in text.splitlines()]
    assert all(line.keys() >= {"time", "level", "event", "version", "host", "pid"} for line in lines)
    events = {line["event"] for line in lines}
    assert {"running", "not-sent", "stopped"} <= events
    refused = {(line["message"], line["code"]) for line in lines if line["event"] == "not-sent"}
    assert {code for _, code in refused} == {"bad-address", "smtp-550", "smtp-451"}


def test_text_is_for_people(workers: Workers) -> None:
    said = workers.burst("--log-format", "text")
    assert "INFO running with 2 sending processes" in said


@pytest.mark.parametrize("form", logs.FORMS)
def test_values_and_tracebacks_of_other_libraries_are_not_written(
    own_loggers: None, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    logs.begin(form)
    foreign = logging.getLogger("rq.worker")
    foreign.error("job %s failed (%s)", "1", NAME)
    try:
        raise ValueError(NAME)
    except ValueError:
        foreign.exception("broken for %s", NAME)
        logging.getLogger("bookcli.worker").exception("ours broke")
    said = capsys.readouterr().err
    assert "job … failed (…)" in said
    assert "ValueError" in said and "ours broke" in said
    assert not [word for word in CANARIES if word in said]
    assert len(said.splitlines()) == 3


def test_without_a_choice_what_is_no_terminal_gets_json(own_loggers: None, capsys: pytest.CaptureFixture[str]) -> None:
    logs.begin()
    logging.getLogger("bookcli.worker").info("%(n)d of them", {"event": "some", "n": 3})
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["n"], line["level"]) == ("some", 3, "info")
