"""Copies of pending requests in Redis: a worker sends them for a desk that is gone, and nobody can read them there."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from bookcli.core.adapters import embedded
from bookcli.core.adapters.local_sockets import valkey_url
from bookcli.core.adapters.pending_stream import STREAM, PendingStream, read_key
from bookcli.core.config import Settings, paths
from bookcli.core.context import Context
from bookcli.core.errors import InvalidInput, Unavailable
from bookcli.core.services import appointments, pending
from tests.clinic import Clinic

REQUEST = {"key": str(uuid.uuid4()), "patient": "CANARY-1"}


@pytest.fixture(scope="module")
def valkey() -> Iterator[str]:
    """The address of a Valkey of this file's own."""
    home = Path(tempfile.mkdtemp(prefix="bookcli-valkey-", dir="/tmp"))
    home.chmod(0o755)
    own = paths({"BOOKCLI_HOME": str(home)})
    try:
        embedded.ensure_valkey(own, Settings(deadline="60"))
        yield valkey_url(own)
    finally:
        embedded.stop(own)
        shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def url(valkey: str) -> str:
    redis.Redis.from_url(valkey).flushall()
    return valkey


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "pending.key"
    file.write_text(secrets.token_hex(32) + "\n")
    file.chmod(0o600)
    return file


@pytest.fixture
def stream(url: str, key_file: Path) -> Iterator[PendingStream]:
    opened = PendingStream(url, read_key(key_file))
    yield opened
    opened.close()


def test_copies_come_back_in_order_and_are_forgotten(stream: PendingStream) -> None:
    for n in range(5):
        stream.add({**REQUEST, "n": n})
    copies = stream.copies()
    assert [copy.document["n"] for copy in copies] == list(range(5))
    stream.forget(copies[0].entry, copies[2].entry)
    assert [copy.document["n"] for copy in stream.copies()] == [1, 3, 4]
    stream.forget_request(uuid.UUID(REQUEST["key"]))
    assert stream.copies() == []


def test_nothing_of_a_request_can_be_read_in_redis(stream: PendingStream, url: str) -> None:
    stream.add(REQUEST)
    stream.add(REQUEST)
    client = redis.Redis.from_url(url)
    entries = client.xrange(STREAM)
    assert b"CANARY" not in repr(entries).encode() and REQUEST["key"] not in repr(entries)
    assert entries[0][1] != entries[1][1]
    assert client.keys() == [STREAM.encode()]


def test_what_was_changed_or_sealed_by_somebody_else_is_left_alone(stream: PendingStream, url: str) -> None:
    stream.add(REQUEST)
    client = redis.Redis.from_url(url)
    ((_, fields),) = client.xrange(STREAM)
    sealed = bytearray(fields[b"sealed"])
    sealed[-1] ^= 1
    client.delete(STREAM)
    client.xadd(STREAM, {"sealed": bytes(sealed)})
    client.xadd(STREAM, {"else": b"1"})
    other = PendingStream(url, secrets.token_bytes(32))
    other.add(REQUEST)
    other.close()
    assert stream.copies() == []
    assert client.xlen(STREAM) == 3


@pytest.mark.parametrize("text", ["", "00" * 31, "zz" * 32])
def test_a_file_without_a_key_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "key").write_text(text)
    with pytest.raises(InvalidInput):
        read_key(tmp_path / "key")
    with pytest.raises(InvalidInput):
        read_key(tmp_path / "none")


def test_a_key_that_others_can_read_is_refused(key_file: Path) -> None:
    key_file.chmod(0o640)
    with pytest.raises(InvalidInput) as refusal:
        read_key(key_file)
    assert refusal.value.code == "pending-key-open"


def test_redis_that_is_away_is_said_at_once(key_file: Path) -> None:
    stream = PendingStream("redis://127.0.0.1:1", read_key(key_file))
    with pytest.raises(Unavailable):
        stream.add(REQUEST)


@pytest.fixture
def away(clinic: Clinic, url: str, key_file: Path) -> Iterator[Context]:
    """A desk that has learnt its database and makes copies, while the database is away."""
    settings = replace(clinic.context.settings, redis_url=url, pending_key=str(key_file))
    assert appointments.book(clinic.context, clinic.request(20, "blood", clinic.slot("blood"))).outcome == "booked"
    with Context(settings, clinic.context.paths) as context:
        context.away(Unavailable("away", code="database-away"))
        yield context


@pytest.fixture
def worker(away: Context, tmp_path: Path) -> Iterator[Context]:
    """A worker on another machine, with no spool."""
    with Context(away.settings, paths({"BOOKCLI_HOME": str(tmp_path / "worker")})) as context:
        context.keep(away.session, on_disk=False)
        yield context


def test_a_worker_sends_for_a_desk_that_is_gone_and_the_desk_learns_it_later(
    clinic: Clinic, away: Context, worker: Context
) -> None:
    for patient, index in ((1, 0), (2, 0), (3, 1)):
        request = clinic.request(patient, "mri", clinic.slot("mri", index=index))
        assert appointments.book(away, request).outcome == "pending"
        away.away(Unavailable("away", code="database-away"))
    assert pending.replay_copies(worker) == 3
    assert pending.replay_copies(worker) == 0
    assert clinic.row("SELECT count(*) FROM appointment") == (3,)
    assert [item.outcome for item in pending.replay(clinic.context).ended] == ["booked", "refused", "booked"]
    assert clinic.row("SELECT count(*) FROM appointment") == (3,)
    assert clinic.sound()


def test_what_was_dropped_at_the_desk_is_sent_by_nobody(clinic: Clinic, away: Context, worker: Context) -> None:
    request = clinic.request(1, "mri", clinic.slot("mri"))
    assert appointments.book(away, request).outcome == "pending"
    pending.drop(away, pending.find(away, str(request.key)))
    assert pending.replay_copies(worker) == 0
    assert clinic.rows("SELECT 1 FROM request WHERE request_key = %s", (request.key,)) == []


def test_a_desk_without_redis_keeps_its_request_all_the_same(clinic: Clinic, away: Context) -> None:
    settings = replace(away.settings, redis_url="redis://127.0.0.1:1")
    with Context(settings, away.paths) as lonely:
        lonely.away(Unavailable("away", code="database-away"))
        assert appointments.book(lonely, clinic.request(1, "mri", clinic.slot("mri"))).outcome == "pending"
    assert [item.outcome for item in pending.replay(clinic.context).ended] == ["booked"]
