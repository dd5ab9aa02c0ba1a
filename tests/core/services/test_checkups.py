"""`bookcli doctor` beyond this machine: each thing that can be wrong is made wrong, found, and comes with advice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from bookcli.core.context import Context
from bookcli.core.model.findings import Finding
from bookcli.core.services import appointments, checkups, servers
from tests.clinic import Clinic
from tests.pooler import pooled
from tests.valkeys import Valkey

Look = Callable[[Context], dict[str, Finding]]


def look(context: Context) -> dict[str, Finding]:
    """The findings by what was looked at."""
    return {one.check: one for one in servers.doctor(context)}


@pytest.fixture
def restored(clinic: Clinic) -> Iterator[None]:
    """The roles of the server are as they were."""
    yield
    clinic.run("ALTER ROLE tests_desk NOCREATEDB")
    clinic.run("REVOKE bookcli_worker FROM tests_desk")


def test_a_desk_as_it_should_be_is_well_and_everything_was_looked_at(clinic: Clinic, valkey: Valkey) -> None:
    desk = Context(replace(clinic.context.settings, redis_url=valkey.url), clinic.context.paths)
    found = look(desk)
    assert {check: one.found for check, one in found.items() if not one.well} == {}
    wanted = {"settings", "schema", "role", "roles", "clock", "pool", "replication", "queue", "queue policy"}
    wanted |= {"queue persistence", "messages", "waiting requests", "cache", "counters", "server log", "locks"}
    assert wanted <= found.keys()


def test_whoever_owns_the_server_is_no_desk(owning: Context) -> None:
    assert (look(owning)["role"].well, "superuser" in look(owning)["role"].found) == (False, True)


@pytest.mark.parametrize("grant", ["ALTER ROLE tests_desk CREATEDB", "GRANT bookcli_worker TO tests_desk"])
def test_a_desk_that_may_do_more_than_a_desk_is_named(clinic: Clinic, restored: None, grant: str) -> None:
    clinic.run(grant)
    assert (look(clinic.context)["roles"].well, "tests_desk" in look(clinic.context)["roles"].found) == (False, True)


@pytest.mark.unpooled
def test_a_desk_without_a_pool_is_told_so(clinic: Clinic) -> None:
    assert look(clinic.context)["pool"].found.startswith("no pool")


@pytest.mark.unpooled
@pytest.mark.parametrize(("mode", "well"), [("transaction", True), ("session", False)])
def test_the_mode_of_the_pool_is_found_out(clinic: Clinic, mode: str, well: bool) -> None:
    with pooled(clinic.context.dsn, size=4, mode=mode) as address, clinic.desk_at(address) as desk:
        found = look(desk)["pool"]
    assert (found.well, mode in found.found) == (well, True)


@pytest.mark.unpooled
def test_a_pool_without_a_second_connection_is_full(clinic: Clinic) -> None:
    with pooled(clinic.context.dsn, size=1, mode="session") as address, clinic.desk_at(address) as desk:
        assert "full" in look(desk)["pool"].found


def test_a_log_that_quotes_patients_is_found(clinic: Clinic) -> None:
    clinic.run(f"ALTER DATABASE {clinic.owner.info.dbname} SET log_error_verbosity = verbose")
    clinic.run(f"ALTER DATABASE {clinic.owner.info.dbname} SET log_parameter_max_length = 80")
    clinic.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tests_desk'")
    clinic.context.close()
    found = look(clinic.context)["server log"]
    assert not found.well
    assert "log_error_verbosity, log_parameter_max_length let" in found.found


def test_locks_that_anybody_can_keep_are_found(clinic: Clinic) -> None:
    clinic.run("GRANT EXECUTE ON FUNCTION pg_advisory_lock(bigint) TO PUBLIC")
    try:
        assert not look(clinic.context)["locks"].well
    finally:
        clinic.run("REVOKE EXECUTE ON FUNCTION pg_advisory_lock(bigint) FROM PUBLIC")


def test_a_message_that_nobody_sends_is_noticed_after_an_hour(clinic: Clinic) -> None:
    appointments.book(clinic.context, clinic.request(1, "blood", clinic.slot("blood")))
    assert look(clinic.context)["messages"].well
    clinic.run("UPDATE notification SET due_at = due_at - interval '2 hours'")
    found = look(clinic.context)["messages"]
    assert (found.well, found.found) == (False, "the oldest unsent message has waited 2 h 0 min")


@pytest.mark.parametrize(
    ("check", "setting"),
    [
        ("queue policy", ("maxmemory-policy", "allkeys-lru")),
        ("queue persistence", ("appendonly", "no")),
        ("queue", ("replicaof", "127.0.0.1 1")),
    ],
)
def test_a_queue_that_forgets_or_takes_nothing_is_found(
    clinic: Clinic, valkey: Valkey, check: str, setting: tuple[str, str]
) -> None:
    desk = Context(replace(clinic.context.settings, redis_url=valkey.url), clinic.context.paths)
    name, value = setting
    (before,) = valkey.client.config_get(name).values()
    try:
        valkey.client.config_set(name, value) if name != "replicaof" else valkey.client.replicaof(*value.split())
        assert [one.check for one in checkups.queue(desk) if not one.well] == [check]
    finally:
        valkey.client.config_set(name, before) if name != "replicaof" else valkey.client.replicaof("NO", "ONE")


def test_a_queue_that_this_user_may_not_ask_or_that_is_away_is_said_to_be(clinic: Clinic, valkey: Valkey) -> None:
    valkey.client.acl_setuser("shy", enabled=True, nopass=True, commands=["+get"])
    address = valkey.url.replace("unix://", "unix://shy:x@")
    desk = Context(replace(clinic.context.settings, redis_url=address), clinic.context.paths)
    assert [(one.check, one.well) for one in checkups.queue(desk)] == [("queue", True)]
    valkey.client.acl_deluser("shy")
    nowhere = Context(replace(clinic.context.settings, redis_url="unix:///nonexistent"), clinic.context.paths)
    assert [(one.check, one.well) for one in checkups.queue(nowhere)] == [("queue", False)]


def test_a_request_that_waits_too_long_or_is_damaged_is_found(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    with clinic.desk_at("postgresql://nobody@127.0.0.1:1/nothing") as desk:
        appointments.book(desk, clinic.request(1, "blood", clinic.slot("blood")))
    (fresh,) = checkups.kept(clinic.context)
    assert (fresh.well, fresh.found) == (True, "1 wait, the oldest for 0 min")
    monkeypatch.setattr(checkups, "LONGEST_WAITING", timedelta())
    (late,) = checkups.kept(clinic.context)
    assert (late.well, late.advice) == (False, "bookcli pending replay")
    monkeypatch.undo()
    (file,) = clinic.context.paths.spool.glob("*.waiting")
    file.write_text("{")
    (damaged,) = checkups.kept(clinic.context)
    assert (damaged.well, damaged.found) == (False, "no request waits, 1 damaged")


def test_a_session_that_others_can_read_is_found(clinic: Clinic) -> None:
    (file,) = clinic.context.paths.sessions.iterdir()
    file.chmod(0o644)
    assert [one.check for one in checkups.kept(clinic.context) if not one.well] == ["session file"]
