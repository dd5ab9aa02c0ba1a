"""What a desk kept while the database was away is booked by a worker, under the name of whoever asked."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from bookcli.core import clock
from bookcli.core.context import Context
from bookcli.core.db import engine, gateway, kernel, server
from bookcli.core.errors import NotAllowed
from bookcli.core.model.pending import Kept, booking
from bookcli.core.services import audit, notifications, pending, pending_copies
from tests.clinic import Clinic
from tests.servers import login_as
from tests.valkeys import Valkey


@pytest.fixture
def worker(clinic: Clinic, valkey: Valkey, tmp_path: Path) -> Iterator[Context]:
    """A worker with the key of the copies."""
    key = tmp_path / "pending.key"
    key.write_text("ab" * 32)
    key.chmod(0o600)
    settings = dataclasses.replace(
        clinic.context.settings,
        database_url=login_as(clinic.owner_dsn, "worker"),
        redis_url=valkey.url,
        pending_key=str(key),
    )
    with Context(settings, clinic.context.paths) as context:
        notifications.sign_in_worker(context)
        yield context


def copied(clinic: Clinic, worker: Context, asked_by: str, index: int = 0) -> Kept:
    """A request that somebody made at a desk that is switched off by now."""
    request = clinic.request(index + 1, "blood", clinic.slot("blood", 3, index))
    where = engine.address(clinic.context.dsn), server.identity(clinic.context.connection())
    kept = Kept(booking(request), clock.now(), asked_by, "reception", *where)
    pending_copies.add(worker, kept)
    return kept


def test_a_worker_books_under_the_name_of_whoever_asked_and_once(clinic: Clinic, worker: Context) -> None:
    gateway.sign_in_here(clinic.owner, "rosa", "desk")
    kept = copied(clinic, worker, "rosa")
    copied_again = pending_copies.add(worker, kept)
    assert copied_again is None
    assert pending.replay_copies(worker) == 2 and pending.replay_copies(worker) == 0
    assert clinic.row("SELECT count(*) FROM appointment") == (1,)
    (entry,) = [one for one in audit.list_(clinic.context) if one.action == "book"]
    assert (entry.staff, entry.actor) == ("rosa", "tests_worker")
    assert kernel.book(clinic.owner, [kept.asked.requests[0].document()])[0].verdict == "booked"
    assert clinic.sound()


def test_nobody_who_left_or_may_not_book_is_booked_for_and_the_rest_goes_on(clinic: Clinic, worker: Context) -> None:
    for name, role in (("rosa", "desk"), ("left", "desk"), ("auditor", "auditor")):
        gateway.sign_in_here(clinic.owner, name, role)
    clinic.run("UPDATE staff SET disabled_at = now() WHERE name = 'left'")
    for index, name in enumerate(("left", "auditor", "nobody", "", "rosa")):
        copied(clinic, worker, name, index)
    assert pending.replay_copies(worker) == 1
    assert clinic.rows("SELECT DISTINCT staff FROM audit WHERE action = 'book'") == [("rosa",)]


def test_a_worker_cannot_book_by_itself(clinic: Clinic, worker: Context) -> None:
    document = clinic.request(1, "blood", clinic.slot("blood")).document()
    with pytest.raises(NotAllowed):
        kernel.book(worker.connection(), [document])


def test_somebody_bound_to_a_site_is_booked_for_only_there(clinic: Clinic, worker: Context) -> None:
    gateway.sign_in_here(clinic.owner, "rosa", "desk")
    clinic.run("UPDATE staff SET sites = ARRAY(SELECT site_id FROM site WHERE code = 'south') WHERE name = 'rosa'")
    copied(clinic, worker, "rosa")
    pending.replay_copies(worker)
    assert clinic.row("SELECT count(*) FROM appointment") == (0,)
