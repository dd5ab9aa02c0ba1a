"""Whoever can write to Redis can queue what they like; only our jobs run, and nothing else that a job carries."""

from __future__ import annotations

import json
import logging
import subprocess
import zlib
from pathlib import Path

import pytest
from rq import Queue, Repeat, Retry, Worker
from rq.job import Callback
from rq.serializers import JSONSerializer

from tests.clinic import Clinic
from tests.valkeys import Valkey
from tests.worker.conftest import BOOKCLI, Workers, book, eventually, senders
from tests.worker.mail_server import MailServer
from worker import QUEUE
from worker.relay import queue
from worker.safe_job import JobRefused, SafeJob


def _plain(valkey: Valkey) -> Queue:
    """The queue as somebody sees it who does not have our job class."""
    return Queue(QUEUE, connection=valkey.client, serializer=JSONSerializer)


EVIL = {
    "os.system": ["touch {}"],
    "subprocess.check_output": ["touch {}"],
    "builtins.exec": ["open('{}', 'w')"],
    "worker.jobs._own_context": [],
    "worker.jobs.log.warning": ["{}"],
    "pathlib.Path.touch": ["{}"],
}


def test_evil_jobs_placed_in_redis_do_not_run(
    clinic: Clinic, workers: Workers, mail: MailServer, valkey: Valkey, tmp_path: Path
) -> None:
    victim = tmp_path / "evil"
    evil = _plain(valkey)
    for function, arguments in EVIL.items():
        evil.enqueue(function, args=[one.format(victim) for one in arguments])
    for named in ("on_success", "on_failure", "on_stopped"):
        evil.enqueue("worker.jobs.send", args=[[1]], **{named: Callback("os.mkdir")})
    evil.enqueue("worker.jobs.send", args=[f"touch {victim}"])
    evil.enqueue("worker.jobs.send", args=[[f"touch {victim}"]])
    refused = len(EVIL) + 5
    book(clinic, 1)
    workers.burst()
    assert not victim.exists()
    assert len(mail.accepted) == 1, "what is ours is sent all the same"
    assert queue(valkey.client).failed_job_registry.get_job_count(cleanup=False) == refused


def test_a_running_worker_outlives_evil_jobs_and_runs_none(
    clinic: Clinic, workers: Workers, mail: MailServer, valkey: Valkey, tmp_path: Path
) -> None:
    victim = tmp_path / "evil"
    workers.start("--processes", "1")
    eventually(lambda: len(senders(valkey)) == 1)
    before = senders(valkey)
    evil = _plain(valkey)
    for function, arguments in EVIL.items():
        evil.enqueue(function, args=[one.format(victim) for one in arguments], job_timeout=-1, retry=Retry(max=2))
    hooked = evil.enqueue("worker.jobs.send", args=[[1]], on_failure=Callback("os.mkdir"), repeat=Repeat(times=2))
    valkey.client.hset(hooked.key, "webhooks", json.dumps([{"url": "http://127.0.0.1:9/", "job_status": "failed"}]))
    evil.enqueue(
        "worker.jobs.send", args=[[1]], on_success=Callback("os.mkdir"), meta={"evil": True}, depends_on=hooked
    )
    book(clinic, 2)
    mail.await_messages(2)
    eventually(lambda: evil.count == 0)
    assert not victim.exists() and senders(valkey) == before, "no process had to be started again"


def test_a_job_that_makes_no_sense_at_all_does_not_stop_the_worker(
    clinic: Clinic, workers: Workers, mail: MailServer, valkey: Valkey
) -> None:
    for number, content in enumerate(
        (b"no zlib", b"", zlib.compress(b"{"), zlib.compress(b"cos\nsystem\n(S'id'\ntR."))
    ):
        job = _plain(valkey).enqueue("worker.jobs.send", args=[[1]], job_id=f"odd-{number}")
        valkey.client.hset(job.key, "data", content)
    process = workers.start("--processes", "1")
    book(clinic, 2)
    mail.await_messages(2)
    assert process.poll() is None


def test_rq_info_shows_the_queue_and_who_works_on_it(
    clinic: Clinic, workers: Workers, mail: MailServer, valkey: Valkey
) -> None:
    workers.start("--processes", "2")
    book(clinic, 1)
    mail.await_messages(1)
    eventually(lambda: len(senders(valkey)) == 2)
    words = [BOOKCLI.with_name("rq"), "info", "--url", valkey.url, "--raw"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    said = done.stdout.splitlines()
    assert done.returncode == 0 and any(line.startswith("queue bookcli ") for line in said), done
    assert sum(line.startswith("worker ") and " bookcli. jobs: " in line for line in said) == 2, said


def test_the_same_jobs_do_run_without_our_class(valkey: Valkey, tmp_path: Path) -> None:
    victim = tmp_path / "evil"
    _plain(valkey).enqueue("os.system", args=[f"touch {victim}"])
    logging.disable(logging.CRITICAL)
    try:
        Worker([_plain(valkey)], connection=valkey.client, serializer=JSONSerializer).work(burst=True)
    finally:
        logging.disable(logging.NOTSET)
    assert victim.exists()


@pytest.mark.parametrize("function", EVIL)
def test_the_class_names_no_function_but_ours(valkey: Valkey, function: str) -> None:
    job = SafeJob.create(function, args=[[1]], connection=valkey.client, serializer=JSONSerializer)
    job.save()
    found = SafeJob.fetch(job.id, connection=valkey.client, serializer=JSONSerializer)
    with pytest.raises(JobRefused):
        _ = found.func


def test_webhooks_are_taken_away_and_the_job_is_refused(valkey: Valkey) -> None:
    job = SafeJob.create("worker.jobs.send", args=[[1]], connection=valkey.client, serializer=JSONSerializer)
    job.save()
    hook = {"url": "http://127.0.0.1:9/", "job_status": "finished"}
    valkey.client.hset(job.key, "webhooks", json.dumps([hook]))
    found = SafeJob.fetch(job.id, connection=valkey.client, serializer=JSONSerializer)
    if not found.refused:
        pytest.fail("a webhook that RQ understands was kept")
    assert found.webhooks == []


def test_redis_holds_numbers_and_no_patient(clinic: Clinic, workers: Workers, mail: MailServer, valkey: Valkey) -> None:
    clinic.run("UPDATE patient SET name = 'Canary Mustermann', phone = '0301234567'")
    book(clinic, 3)
    mail.answers = {"p1@patients.example": "550 Canary Mustermann p1@patients.example is unknown"}
    said = workers.burst()
    kept = b""
    for key in valkey.client.scan_iter("rq:*"):
        kept += key + (valkey.client.dump(key) or b"")
    for word in ("Canary", "Mustermann", "patients.example", "0301234567"):
        assert word.encode() not in kept and word not in said
