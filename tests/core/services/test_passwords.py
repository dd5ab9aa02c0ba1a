"""Passwords on a real database: what every answer says and costs, lock-out, first, new and better stretched ones."""

from __future__ import annotations

import re
import threading

import pytest

from bookcli.core.adapters import stretching
from bookcli.core.context import Context
from bookcli.core.db import engine, gateway
from bookcli.core.errors import InvalidInput, NotAllowed
from bookcli.core.model.staff import Stretching
from bookcli.core.services import appointments, staff
from tests.clinic import STAFF, Clinic
from tests.people import FIRST_PASSWORD, PASSWORD, ana, another_desk, cheap, hire, row, said, seen_at, waits_for_a_lock

pytestmark = pytest.mark.usefixtures("cheap")
__all__ = ["ana", "cheap"]


def test_the_database_keeps_only_hashes_and_a_token_has_256_bits(ana: Context, owner: engine.Connection) -> None:
    token = ana.token or ""
    assert re.fullmatch("[0-9a-f]{64}", token)
    kept = owner.execute(
        "SELECT to_jsonb(s)::text || to_jsonb(f)::text FROM app.session s JOIN app.staff f USING (staff_id)"
    )
    audited = owner.execute("SELECT to_jsonb(a)::text FROM app.audit a")
    everything = "".join(row[0] for row in [*kept.fetchall(), *audited.fetchall()])
    assert token not in everything
    assert PASSWORD not in everything
    key = stretching.stretched(PASSWORD, gateway.parameters(ana.connection(), "ana")[0])
    assert key.hex() not in everything, "the key itself opens the door, so only its hash is kept"
    assert row(owner, f"SELECT key_hash = sha256('\\x{key.hex()}') FROM app.staff WHERE name = 'ana'")[0]


def test_wrong_unknown_disabled_and_without_a_password_are_one_answer(
    ana: Context, context: Context, owner: engine.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    hire(context, owner, "gone")
    staff.change(context, "gone", enabled=False)
    costs: list[Stretching] = []
    real = stretching.stretched

    def counted(password: str, how: Stretching) -> bytes:
        costs.append(Stretching(b"", how.passes, how.memory_kib, how.lanes))
        return real(password, how)

    monkeypatch.setattr(stretching, "stretched", counted)
    desk = another_desk(context, 3)
    answers = [
        said(desk, "ana", "not her password"),
        said(desk, "nobody", PASSWORD),
        said(desk, "gone", PASSWORD),
        said(desk, STAFF, PASSWORD),
    ]
    assert len(set(answers)) == 1, answers
    assert answers[0][:2] == ("wrong-credentials", "The name or the password is wrong.")
    assert costs == [costs[0]] * 4
    assert desk.session is None


def test_an_unknown_name_is_stretched_like_a_known_one_and_always_the_same(ana: Context) -> None:
    connection = ana.connection()
    known, unknown, other = (gateway.parameters(connection, name)[0] for name in ("ana", "nobody", "somebody"))
    assert (known.passes, known.memory_kib, known.lanes) == (unknown.passes, unknown.memory_kib, unknown.lanes)
    assert len({known.salt, unknown.salt, other.salt}) == 3
    assert len(known.salt) == len(unknown.salt) == 16
    assert gateway.parameters(connection, "NOBODY")[0] == unknown


def test_a_name_is_locked_after_some_failures_twice_as_long_each_time_until_the_right_password(
    ana: Context, context: Context, owner: engine.Connection
) -> None:
    waits = {}
    for name in ("ana", "nobody"):
        desk, waits[name] = another_desk(context, 3), []
        for failure in range(1, 12):
            answer = said(desk, name, "not the password")
            assert answer[0] == "wrong-credentials"
            if failure >= 5:
                assert said(desk, name, PASSWORD)[:2] == ("sign-in-locked", "Too many wrong passwords for that name.")
                waited = "SELECT round(extract(epoch FROM locked_until - last_at))::int FROM app.sign_in_attempt"
                waits[name].append(row(owner, waited)[0])
                owner.execute("UPDATE app.sign_in_attempt SET locked_until = now() - interval '1 s'")
        if name == "ana":
            assert staff.sign_in(desk, name, PASSWORD).name == "ana"
            assert owner.execute("SELECT FROM app.sign_in_attempt").fetchall() == [], "and the count begins anew"
    assert waits["ana"] == waits["nobody"] == [30, 60, 120, 240, 480, 900, 900]


def test_the_wait_is_said_in_seconds_and_the_same_for_everybody(ana: Context, context: Context) -> None:
    desk = another_desk(context, 3)
    for name in ("ana", "nobody"):
        answers = [said(desk, name, "not the password") for _ in range(7)]
        assert re.fullmatch(r"The next try is possible in (29|30) s\.", answers[4][2])
        assert re.fullmatch(r"Wait (29|30) s, or ask a manager: bookcli staff reset", answers[5][2])
        assert answers[5][3] == ("wait_seconds",)


def test_a_manager_unlocks_a_name_with_a_new_password(ana: Context, context: Context) -> None:
    for _ in range(6):
        said(another_desk(context, 3), "ana", "not the password")
    staff.reset(context, "ana", FIRST_PASSWORD)
    assert seen_at(ana) == "session-expired"
    assert staff.sign_in(ana, "ana", FIRST_PASSWORD).must_change


def test_a_first_password_must_be_changed_before_anything_else(context: Context, clinic: Clinic) -> None:
    staff.add(context, "ana", FIRST_PASSWORD)
    ana = another_desk(context)
    assert staff.sign_in(ana, "ana", FIRST_PASSWORD).must_change
    assert seen_at(ana) == "password-change-needed"
    with pytest.raises(NotAllowed):
        appointments.book(ana, clinic.request(1, "mri", clinic.slot("mri")))
    assert staff.whoami(ana).problem == "password-change-needed"
    with pytest.raises(InvalidInput):
        staff.change_password(ana, FIRST_PASSWORD, FIRST_PASSWORD)
    staff.change_password(ana, FIRST_PASSWORD, PASSWORD)
    assert seen_at(ana) == "seen"


def test_a_new_password_ends_the_other_sessions_and_wants_the_old_one(ana: Context, context: Context) -> None:
    other = another_desk(context, 3)
    staff.sign_in(other, "ana", PASSWORD)
    with pytest.raises(NotAllowed) as refused:
        staff.change_password(ana, "not the old one", "something else now")
    assert refused.value.code == "wrong-credentials"
    with pytest.raises(NotAllowed):
        staff.change_password(ana, "", "something else now")
    assert seen_at(other) == "seen"
    staff.change_password(ana, PASSWORD, "something else now")
    assert (seen_at(ana), seen_at(other)) == ("seen", "session-expired")
    assert said(other, "ana", PASSWORD)[0] == "wrong-credentials"
    assert staff.sign_in(other, "ana", "something else now")


def test_a_stolen_session_cannot_guess_the_password_for_ever(ana: Context) -> None:
    codes = []
    for _ in range(7):
        with pytest.raises(NotAllowed) as refused:
            staff.change_password(ana, "a guess", "something else now")
        codes.append(refused.value.code)
    assert codes == ["wrong-credentials"] * 5 + ["sign-in-locked"] * 2


@pytest.mark.parametrize("raised_by", ["this program", "the database"])
def test_a_password_is_stretched_anew_when_more_is_wanted(
    ana: Context, owner: engine.Connection, monkeypatch: pytest.MonkeyPatch, raised_by: str
) -> None:
    costs = "SELECT passes, memory_kib, must_change FROM app.staff WHERE name = 'ana'"
    assert row(owner, costs) == (2, 19456, False)
    if raised_by == "the database":
        owner.execute("UPDATE app.gateway SET memory_kib = 20480, passes = 3")
    else:
        monkeypatch.setattr(stretching, "WANTED", Stretching(b"", 3, 20480, 1))
    staff.sign_in(ana, "ana", PASSWORD)
    assert row(owner, costs) == (3, 20480, False)
    salt = row(owner, "SELECT salt FROM app.staff WHERE name = 'ana'")
    assert seen_at(ana) == "seen", "the session that was just opened goes on"
    staff.sign_in(ana, "ana", PASSWORD)
    assert row(owner, "SELECT salt FROM app.staff WHERE name = 'ana'") == salt, "once is enough"


def test_the_database_takes_no_password_that_was_stretched_less(ana: Context, owner: engine.Connection) -> None:
    owner.execute("UPDATE app.gateway SET memory_kib = 20480")
    weak = gateway.Password(b"k" * 32, Stretching(b"s" * 16, 2, 19456, 1))
    key = stretching.stretched(PASSWORD, gateway.parameters(ana.connection(), "ana")[0])
    with pytest.raises(InvalidInput):
        gateway.change_password(ana.connection(), key, weak)
    assert staff.sign_in(ana, "ana", PASSWORD)


def test_a_guess_that_waits_for_the_right_password_counts(
    ana: Context, context: Context, owner: engine.Connection
) -> None:
    """Whoever signs in locks the row of failures and takes it away; a wrong password that waited for it counts."""
    said(another_desk(context, 3), "ana", "not her password")
    guess = another_desk(context, 3)
    guessing = threading.Thread(target=gateway.sign_in, args=(guess.connection(), "ana", b"w" * 32, None))
    with owner.transaction():
        owner.execute("SELECT FROM app.sign_in_attempt FOR UPDATE")
        guessing.start()
        waits_for_a_lock(context)
        owner.execute("DELETE FROM app.sign_in_attempt")
    guessing.join()
    assert row(owner, "SELECT failures FROM app.sign_in_attempt") == (1,)


def test_old_failures_are_cleared_away_without_waiting_for_whoever_is_at_them(
    ana: Context, context: Context, owner: engine.Connection
) -> None:
    for name in ("ben", "cem"):
        said(another_desk(context, 3), name, "not the password")
    owner.execute("UPDATE app.sign_in_attempt SET last_at = now() - interval '2 days'")
    with owner.transaction():
        owner.execute("SELECT FROM app.sign_in_attempt LIMIT 1 FOR UPDATE")
        assert staff.sign_in(ana, "ana", PASSWORD)
        assert row(owner, "SELECT count(*) FROM app.sign_in_attempt") == (1,)


def test_a_password_that_cannot_be_stretched_anew_opens_the_door_all_the_same(
    ana: Context, owner: engine.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stretching, "WANTED", Stretching(b"", 2, 2**33, 1))
    staff.sign_in(ana, "ana", PASSWORD)
    assert seen_at(ana) == "seen"
    assert row(owner, "SELECT memory_kib FROM app.staff WHERE name = 'ana'") == (19456,)
