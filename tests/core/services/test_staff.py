"""Signing in and out and who works here, on a real database: every answer, every end of a session, every rule."""

from __future__ import annotations

import re
import threading
import time
from datetime import timedelta
from typing import Any

import pytest

from bookcli.core.adapters import session_file, stretching
from bookcli.core.config import Settings
from bookcli.core.context import Context
from bookcli.core.db import engine, gateway
from bookcli.core.errors import InvalidInput, NotAllowed, NotFound, Refused, Unavailable
from bookcli.core.model.staff import Stretching
from bookcli.core.services import appointments, patients, staff
from tests.clinic import STAFF, Clinic
from tests.people import FIRST_PASSWORD, PASSWORD, another_desk, cheap, hire, said
from tests.servers import login_as

pytestmark = pytest.mark.usefixtures("cheap")
__all__ = ["cheap"]

SESSIONS = "UPDATE app.session SET {} WHERE staff_id = (SELECT staff_id FROM app.staff WHERE name = 'ana')"


@pytest.fixture
def ana(context: Context, owner: engine.Connection) -> Context:
    """The desk where Ana, a clerk, is signed in."""
    hire(context, owner, "ana")
    desk = another_desk(context)
    staff.sign_in(desk, "ana", PASSWORD)
    return desk


def _code(desk: Context) -> str:
    """How a look at a patient is answered at a desk: `seen`, or the code of the refusal."""
    try:
        patients.get(desk, "P1")
    except NotAllowed as refused:
        return refused.code
    except NotFound:
        return "seen"
    return "seen"


def _row(owner: engine.Connection, statement: str) -> tuple[Any, ...]:
    (row,) = owner.execute(statement.encode()).fetchall()
    return row


def test_who_signs_in_is_known_and_their_next_command_too(ana: Context) -> None:
    session = ana.session
    assert session is not None
    assert (session.name, session.role, session.must_change) == ("ana", "desk", False)
    later = Context(ana.settings, ana.paths)
    person = staff.whoami(later)
    assert (person.name, person.problem, person.sites) == ("ana", None, ())
    assert set(person.permissions) == {"see-patients", "edit-patients", "book", "expire-holds"}
    assert set(person.permissions) <= set(staff.meanings(later))
    assert _code(later) == "seen"


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
    assert _row(owner, f"SELECT key_hash = sha256('\\x{key.hex()}') FROM app.staff WHERE name = 'ana'")[0]


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
                waits[name].append(_row(owner, waited)[0])
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
    assert _code(ana) == "session-expired"
    assert staff.sign_in(ana, "ana", FIRST_PASSWORD).must_change


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        ("seen_at = now() - interval '29 minutes'", "seen"),
        ("seen_at = now() - interval '31 minutes'", "session-expired"),
        ("expires_at = now() + interval '5 s'", "seen"),
        ("expires_at = now()", "session-expired"),
        ("ended_at = now()", "session-expired"),
        ("locked_at = now()", "session-locked"),
    ],
)
def test_a_session_ends_when_it_was_idle_and_when_its_day_is_over(
    ana: Context, owner: engine.Connection, change: str, answer: str
) -> None:
    owner.execute(SESSIONS.format(change).encode())
    assert _code(ana) == answer
    if answer == "session-expired":
        with pytest.raises(NotAllowed, match="ended"):
            staff.whoami(ana)


def test_whoever_works_is_not_idle_but_the_absolute_end_stays(ana: Context, owner: engine.Connection) -> None:
    before = staff.whoami(ana)
    assert before.expires_at - before.started_at == timedelta(hours=12)
    owner.execute(SESSIONS.format("seen_at = now() - interval '29 minutes'").encode())
    assert _code(ana) == "seen"
    after = staff.whoami(ana)
    assert after.seen_at >= before.seen_at
    assert after.expires_at == before.expires_at


def test_the_rules_are_the_row_of_the_gateway(ana: Context, context: Context, owner: engine.Connection) -> None:
    owner.execute(
        "UPDATE app.gateway SET idle = '2 minutes', longest = '1 hour', free_failures = 2, first_wait = '7 s'"
    )
    staff.sign_in(ana, "ana", PASSWORD)
    person = staff.whoami(ana)
    assert (person.idle_seconds, person.expires_at - person.started_at) == (120, timedelta(hours=1))
    answers = [said(another_desk(context, 3), "ana", "not the password") for _ in range(3)]
    assert [answer[0] for answer in answers] == ["wrong-credentials", "wrong-credentials", "sign-in-locked"]


def test_revoking_ends_one_session_or_all_of_a_name(ana: Context, context: Context) -> None:
    second = another_desk(context, 3)
    staff.sign_in(second, "ana", PASSWORD)
    listed = {one.session_id: one for one in staff.sessions(context)}
    assert {one.name for one in listed.values()} == {STAFF, "ana"}
    (first, *_) = [number for number, one in listed.items() if one.name == "ana"]
    assert staff.revoke(context, session=first) == 1
    assert (_code(ana), _code(second)) == ("session-expired", "seen")
    assert staff.revoke(context, name="ana") == 1
    assert _code(second) == "session-expired"
    with pytest.raises(NotFound):
        staff.revoke(context, name="ana")


def test_disabling_and_another_role_count_at_the_next_call(ana: Context, context: Context, clinic: Clinic) -> None:
    staff.change(context, "ana", role="auditor")
    assert _code(ana) == "forbidden"
    staff.change(context, "ana", role="desk")
    assert _code(ana) == "seen"
    assert staff.change(context, "ana", enabled=False)
    assert _code(ana) == "session-expired"
    assert not staff.change(context, "ana", enabled=False)
    staff.change(context, "ana", enabled=True)
    assert _code(ana) == "session-expired", "what was ended stays so"
    assert staff.sign_in(ana, "ana", PASSWORD)


def test_who_is_bound_to_a_site_books_there_alone(clinic: Clinic, owner: engine.Connection) -> None:
    hire(clinic.context, owner, "ana", sites=["south"])
    ana = another_desk(clinic.context)
    staff.sign_in(ana, "ana", PASSWORD)
    assert staff.whoami(ana).sites == ("south",)
    refused = appointments.book(ana, clinic.request(1, "mri", clinic.slot("mri")))
    assert (refused.outcome, refused.reason) == ("refused", "forbidden")
    assert appointments.book(ana, clinic.request(1, "xray", clinic.slot("xray"))).outcome == "booked"
    staff.change(clinic.context, "ana", sites=[])
    assert appointments.book(ana, clinic.request(2, "mri", clinic.slot("mri"))).outcome == "booked"


def test_a_first_password_must_be_changed_before_anything_else(context: Context, clinic: Clinic) -> None:
    staff.add(context, "ana", FIRST_PASSWORD)
    ana = another_desk(context)
    assert staff.sign_in(ana, "ana", FIRST_PASSWORD).must_change
    assert _code(ana) == "password-change-needed"
    with pytest.raises(NotAllowed):
        appointments.book(ana, clinic.request(1, "mri", clinic.slot("mri")))
    assert staff.whoami(ana).problem == "password-change-needed"
    with pytest.raises(InvalidInput):
        staff.change_password(ana, FIRST_PASSWORD, FIRST_PASSWORD)
    staff.change_password(ana, FIRST_PASSWORD, PASSWORD)
    assert _code(ana) == "seen"


def test_a_new_password_ends_the_other_sessions_and_wants_the_old_one(ana: Context, context: Context) -> None:
    other = another_desk(context, 3)
    staff.sign_in(other, "ana", PASSWORD)
    with pytest.raises(NotAllowed) as refused:
        staff.change_password(ana, "not the old one", "something else now")
    assert refused.value.code == "wrong-credentials"
    with pytest.raises(NotAllowed):
        staff.change_password(ana, "", "something else now")
    assert _code(other) == "seen"
    staff.change_password(ana, PASSWORD, "something else now")
    assert (_code(ana), _code(other)) == ("seen", "session-expired")
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
    assert _row(owner, costs) == (2, 19456, False)
    if raised_by == "the database":
        owner.execute("UPDATE app.gateway SET memory_kib = 20480, passes = 3")
    else:
        monkeypatch.setattr(stretching, "WANTED", Stretching(b"", 3, 20480, 1))
    staff.sign_in(ana, "ana", PASSWORD)
    assert _row(owner, costs) == (3, 20480, False)
    salt = _row(owner, "SELECT salt FROM app.staff WHERE name = 'ana'")
    assert _code(ana) == "seen", "the session that was just opened goes on"
    staff.sign_in(ana, "ana", PASSWORD)
    assert _row(owner, "SELECT salt FROM app.staff WHERE name = 'ana'") == salt, "once is enough"


def test_the_database_takes_no_password_that_was_stretched_less(ana: Context, owner: engine.Connection) -> None:
    owner.execute("UPDATE app.gateway SET memory_kib = 20480")
    weak = gateway.Password(b"k" * 32, Stretching(b"s" * 16, 2, 19456, 1))
    key = stretching.stretched(PASSWORD, gateway.parameters(ana.connection(), "ana")[0])
    with pytest.raises(InvalidInput):
        gateway.change_password(ana.connection(), key, weak)
    assert staff.sign_in(ana, "ana", PASSWORD)


def test_the_next_at_a_shared_desk_ends_the_session_before(
    ana: Context, context: Context, owner: engine.Connection
) -> None:
    hire(context, owner, "ben")
    old = ana.token
    staff.sign_in(ana, "ben", PASSWORD)
    assert staff.whoami(Context(ana.settings, ana.paths)).name == "ben"
    ended = "SELECT ended_by FROM app.session JOIN app.staff USING (staff_id) WHERE name = 'ana'"
    assert _row(owner, ended) == ("switched",)
    ana.connection().token = old
    assert _code(ana) == "session-expired"


def test_a_failed_switch_leaves_who_was_there(ana: Context) -> None:
    said(ana, "ben", PASSWORD)
    assert staff.whoami(Context(ana.settings, ana.paths)).name == "ana"


def test_a_locked_desk_opens_nothing_until_somebody_signs_in(ana: Context, context: Context) -> None:
    staff.lock(ana)
    assert _code(ana) == "session-locked"
    assert staff.whoami(ana).problem == "session-locked"
    assert [one.locked for one in staff.sessions(context) if one.name == "ana"] == [True]
    with pytest.raises(NotAllowed):
        staff.change_password(ana, PASSWORD, "something else now")
    said(ana, "ana", "not her password")
    assert _code(ana) == "session-locked"
    staff.sign_in(ana, "ana", PASSWORD)
    assert _code(ana) == "seen"


def test_who_signs_out_is_nobody_and_the_token_is_worth_nothing(ana: Context) -> None:
    old = ana.token
    assert staff.sign_out(ana)
    assert not staff.sign_out(ana)
    later = Context(ana.settings, ana.paths)
    assert later.session is None
    for use in (staff.whoami, staff.lock, staff.sessions):
        with pytest.raises(NotAllowed) as refused:
            use(later)
        assert refused.value.code == "not-signed-in"
    later.connection().token = old
    assert _code(later) == "session-expired"


def test_signing_out_works_while_the_database_is_away(ana: Context) -> None:
    away = Context(Settings(database_url="postgresql://nobody@127.0.0.1:1/nothing"), ana.paths)
    away.keep(ana.session)
    with pytest.raises(Unavailable) as told:
        staff.sign_out(away)
    assert told.value.code == "session-forgotten"
    assert Context(away.settings, ana.paths).session is None


def test_a_session_that_cannot_be_kept_is_ended(ana: Context, owner: engine.Connection) -> None:
    staff.sign_out(ana)
    ana.paths.sessions.rmdir()
    ana.paths.sessions.write_text("a file where a directory should be")
    with pytest.raises(Unavailable):
        staff.sign_in(ana, "ana", PASSWORD)
    ana.paths.sessions.unlink()
    assert owner.execute("SELECT FROM app.session WHERE ended_at IS NULL AND staff_id <> 1").fetchall() == []


def test_the_last_manager_stays_one(context: Context, owner: engine.Connection) -> None:
    for change in ({"role": "desk"}, {"enabled": False}):
        with pytest.raises(Refused) as refused:
            staff.change(context, STAFF, **change)  # type: ignore[arg-type]
        assert refused.value.code == "last-manager"
    hire(context, owner, "ben", "manager")
    assert staff.change(context, STAFF, role="desk")
    with pytest.raises(NotAllowed):
        staff.change(context, "ben", role="desk")


def test_who_is_added_is_listed_and_what_is_wrong_is_said(context: Context, clinic: Clinic) -> None:
    staff.add(context, "Ana", PASSWORD, full_name="Ana Moreno", role="auditor", sites=["north"])
    (ana,) = [one for one in staff.staff(context) if one.name == "ana"]
    assert (ana.full_name, ana.role, ana.sites, ana.must_change) == ("Ana Moreno", "auditor", ("north",), True)
    assert staff.member(context, "ANA") == ana
    with pytest.raises(Refused, match="already"):
        staff.add(context, "ANA", PASSWORD)
    with pytest.raises(Refused, match="already"):
        staff.check_new(context, "ana")
    for try_it in (staff.check_new, lambda *_, **more: staff.add(context, "ben", PASSWORD, **more)):
        with pytest.raises(NotFound, match="nroth"):
            try_it(context, "ben", sites=["nroth"])
    for try_it in (staff.member, lambda *of: staff.reset(*of, PASSWORD), lambda *of: staff.change(*of, enabled=True)):
        with pytest.raises(NotFound):
            try_it(context, "nobody")


def test_only_a_manager_manages(ana: Context) -> None:
    for refused in (
        lambda: staff.add(ana, "ben", PASSWORD),
        lambda: staff.change(ana, "ana", role="manager"),
        lambda: staff.reset(ana, STAFF, PASSWORD),
        lambda: staff.revoke(ana, name=STAFF),
        lambda: staff.staff(ana),
        lambda: staff.sessions(ana),
    ):
        with pytest.raises(NotAllowed) as problem:
            refused()
        assert problem.value.code == "forbidden"


def test_a_forged_token_is_nobodys(context: Context) -> None:
    desk = another_desk(context)
    desk.connection().token = "0" * 64
    assert _code(desk) == "session-expired"
    desk.connection().token = None
    assert _code(desk) == "not-signed-in"


@pytest.mark.parametrize("kind", ["desk", "worker", "auditor"])
def test_nobody_but_the_owner_makes_the_first_manager(context: Context, database: str, kind: str) -> None:
    for attempt in (lambda desk: staff.add(desk, "me", PASSWORD, role="manager"), staff.is_empty):
        desk = Context(Settings(database_url=login_as(database, kind)), another_desk(context).paths)
        with pytest.raises(NotAllowed):
            attempt(desk)
        with pytest.raises(NotAllowed):
            gateway.sign_in_here(desk.connection(), "me")


def test_an_administrator_makes_the_first_manager_and_sees_no_patient(context: Context, database: str) -> None:
    admin = Context(Settings(database_url=login_as(database, "admin")), another_desk(context).paths)
    assert staff.is_empty(admin)
    staff.add(admin, "boss", PASSWORD, role="manager")
    assert not staff.is_empty(admin)
    with pytest.raises(NotAllowed):
        patients.get(admin, "P1")
    desk = another_desk(context, 3)
    assert not staff.sign_in(desk, "boss", PASSWORD).must_change, "the first manager chose the password"


def test_who_signed_in_where_is_audited_and_a_mistyped_name_is_not(
    ana: Context, context: Context, owner: engine.Connection
) -> None:
    said(another_desk(context, 3), "mysecretpassword", PASSWORD)
    said(another_desk(context, 3), "ana", "not her password")
    staff.lock(ana)
    staff.sign_in(ana, "ana", PASSWORD)
    rows = owner.execute("SELECT action, staff, actor, to_jsonb(a)::text FROM app.audit a ORDER BY audit_id").fetchall()
    told = [(action, name) for action, name, _, _ in rows if name != STAFF]
    assert told == [
        ("sign-in", "ana"),
        ("sign-in-refused", ""),
        ("sign-in-refused", "ana"),
        ("lock", "ana"),
        ("sign-out", "ana"),
        ("sign-in", "ana"),
    ]
    assert {actor for action, _, actor, _ in rows if action == "lock"} == {"tests_desk"}
    assert not any("mysecretpassword" in text for *_, text in rows)


def test_a_guess_that_waits_for_the_right_password_counts(
    ana: Context, context: Context, owner: engine.Connection
) -> None:
    """The right password takes the row of failures away while a wrong one waits for it."""
    said(another_desk(context, 3), "ana", "not her password")
    guess = another_desk(context, 3)
    key = stretching.stretched(PASSWORD, gateway.parameters(owner, "ana")[0])
    guessing = threading.Thread(target=gateway.sign_in, args=(guess.connection(), "ana", b"w" * 32, None))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    with context.fresh_connection() as right, right.transaction():
        assert gateway.sign_in(right, "ana", key, None).verdict == "signed-in"
        guessing.start()
        until = time.monotonic() + 4
        while not _row(owner, waiting)[0] and time.monotonic() < until:
            time.sleep(0.02)
    guessing.join()
    assert _row(owner, "SELECT failures FROM app.sign_in_attempt") == (1,)


def test_a_session_that_others_can_read_is_not_used(ana: Context) -> None:
    file = session_file.path(ana.paths, ana.settings)
    file.chmod(0o644)
    with pytest.raises(NotAllowed) as refused:
        staff.whoami(Context(ana.settings, ana.paths))
    assert refused.value.code == "session-file-open"
