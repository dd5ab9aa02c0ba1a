"""A server that is copied: whom a booking waits for, what the doctor sees of it, and what a wait cut short is.

What must stay true: the primary and its standby are real, and are this module's own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bookcli.core.config import Settings, paths
from bookcli.core.context import Context
from bookcli.core.errors import OutcomeUnknown, Unavailable
from bookcli.core.model.appointments import Outcome
from bookcli.core.model.findings import Finding
from bookcli.core.model.requests import BookingRequest, Place
from bookcli.core.services import appointments, checkups, closings, pending, schedules
from tests.clinic import sign_in
from tests.faults import load
from tests.faults.programs import wait_until
from tests.faults.standbys import Pair

WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    """A primary with a standby, and a clinic to book in."""
    with Pair() as running:
        load.fill(running.dsn)
        running.say("CREATE ROLE desk LOGIN IN ROLE bookcli_desk")
        yield running


def seen(dsn: str) -> dict[str, Finding]:
    """What the doctor finds at the server's address."""
    with Context(Settings(database_url=dsn)) as context:
        return {one.check: one for one in checkups.server(context, context.connection())}


def test_a_wait_for_a_standby_that_is_cut_short_is_unknown_until_a_standby_has_it(pair: Pair, tmp_path: Path) -> None:
    outcomes: list[Outcome] = []
    with Context(Settings(database_url=pair.dsn), paths({"BOOKCLI_HOME": str(tmp_path)})) as desk:
        sign_in(desk)
        (slot,) = pair.say("SELECT max(slot_id) FROM app.slot")
        request = BookingRequest("P1", "load", Place(slot=int(str(slot))))
        pair.wait_for("nobody")
        booking = threading.Thread(target=lambda: outcomes.append(appointments.book(desk, request)))
        booking.start()
        cut_short = 0
        with psycopg.connect(pair.dsn, autocommit=True) as owner:
            while booking.is_alive():
                # What is asked again under the same key is as safe as the booking only when a standby has it.
                cut_short += len(owner.execute(f"SELECT pg_cancel_backend(pid) FROM ({WAITING}) w").fetchall())
                booking.join(0.05)
        assert cut_short > 1
        assert [one.outcome for one in outcomes] == ["unknown"]
        assert [item.outcome for item in pending.items(desk)] == ["unknown"]
        assert pair.say("SELECT count(*) FROM app.appointment WHERE active") == (1,)
        pair.wait_for("*")
        wait_until(lambda: pending.replay(desk).waiting == 0, 30, "the request has ended")
        assert [item.outcome for item in pending.items(desk)] == ["booked"]
        assert pair.say("SELECT count(*) FROM app.appointment WHERE active") == (1,)


def test_whether_it_was_closed_is_not_known_before_a_standby_has_it(pair: Pair, tmp_path: Path) -> None:
    with Context(Settings(database_url=pair.dsn), paths({"BOOKCLI_HOME": str(tmp_path)})) as desk:
        sign_in(desk)
        start, end = desk.connection().execute("SELECT min(starts_at), max(ends_at) FROM app.slot").fetchall()[0]
        wanted = closings.Plan("load", "", (start, end))
        desk.connection().deadline = 1
        pair.wait_for("nobody")
        with pytest.raises(OutcomeUnknown):
            closings.apply(desk, wanted, "holidays", everybody=False)
        assert schedules.closures(desk) == [], "nobody sees it, and it will be there all the same"
        desk.connection().execute("SET lock_timeout = '100ms'")
        with pytest.raises(Unavailable):
            closings.closed(desk, wanted, "holidays", [])
        pair.wait_for("*")
        pair.say("SELECT pg_logical_emit_message(true, 'tests', '')")
        wait_until(lambda: schedules.closures(desk) != [], 30, "the standby has it")
        (made,) = schedules.closures(desk)
        assert closings.closed(desk, wanted, "holidays", []) == made.closure_id
        assert closings.closed(desk, wanted, "holidays", [made.closure_id]) is None
        schedules.reopen(desk, made.closure_id)


def test_the_warning_of_a_wait_that_was_cut_short_arrives_with_the_commit(pair: Pair) -> None:
    """What the product goes by: a control that the server answers success and says it in this way."""
    pair.wait_for("nobody")
    told: list[str | None] = []
    with psycopg.connect(pair.dsn, autocommit=True) as desk, psycopg.connect(pair.dsn, autocommit=True) as owner:
        desk.add_notice_handler(lambda notice: told.append(notice.sqlstate))
        booking = threading.Thread(target=desk.execute, args=("CREATE TABLE IF NOT EXISTS promised ()",))
        booking.start()
        while booking.is_alive():
            owner.execute(f"SELECT pg_cancel_backend(pid) FROM ({WAITING}) w")
            booking.join(0.05)
    assert told == ["01000"]


def test_the_doctor_sees_whom_bookings_wait_for(pair: Pair) -> None:
    pair.wait_for("")
    found = seen(pair.dsn)["replication"]
    assert (found.well, found.found) == (False, "1 standbys, and a booking waits for none of them")
    pair.wait_for("nobody")
    found = seen(pair.dsn)["replication"]
    assert (found.well, found.found) == (False, "1 standbys, but none of those named: bookings wait")
    pair.wait_for("*")
    for dsn in (pair.dsn, pair.login_as("desk")):
        found = seen(dsn)["replication"]
        assert (found.well, found.found) == (True, "1 standbys, synchronous")
    pair.say("ALTER DATABASE postgres SET synchronous_commit = local")
    try:
        assert not seen(pair.login_as("desk"))["replication"].well
    finally:
        pair.say("ALTER DATABASE postgres RESET synchronous_commit")


def test_the_doctor_sees_a_standby_that_is_far_behind_where_it_may(pair: Pair) -> None:
    pair.wait_for("")
    wait_until(lambda: "0 KiB" in seen(pair.dsn)["replication lag"].found, 30, "the standby has everything")
    assert seen(pair.dsn)["replication lag"].well
    pair.stall()
    try:
        text = "repeat('x', 1000000)"
        pair.say(f"SELECT count(pg_logical_emit_message(false, 'tests', {text})) FROM generate_series(1, 100)")
        far = seen(pair.dsn)["replication lag"]
        assert (far.well, int(far.found.split()[0]) > 64 * 1024) == (False, True), far.found
        assert "may not see it" in seen(pair.login_as("desk"))["replication lag"].found
        pair.say("GRANT pg_monitor TO desk")
        assert not seen(pair.login_as("desk"))["replication lag"].well
    finally:
        pair.unstall()
        pair.say("REVOKE pg_monitor FROM desk")


def test_the_doctor_sees_that_nobody_follows_any_more(pair: Pair) -> None:
    pair.wait_for("*")
    pair.stop_standby()
    found = seen(pair.login_as("desk"))["replication"]
    assert (found.well, found.found) == (False, "no standby follows now: bookings wait")
    pair.wait_for("")
    found = seen(pair.dsn)["replication"]
    assert (found.well, found.found) == (True, "a single server, no standby")
