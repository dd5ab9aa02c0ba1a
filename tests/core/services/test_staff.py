"""Sessions and who works here, on a real database: what opens one, what ends it, and who may decide about others."""

from __future__ import annotations

import threading
from datetime import timedelta

import psycopg
import pytest

from bookcli.core.adapters import session_file
from bookcli.core.config import Settings
from bookcli.core.context import Context
from bookcli.core.db import engine, gateway
from bookcli.core.errors import NotAllowed, NotFound, Refused, Unavailable
from bookcli.core.services import appointments, patients, staff
from tests.clinic import STAFF, Clinic
from tests.faults.programs import wait_until
from tests.people import PASSWORD, ana, another_desk, cheap, hire, row, said, seen_at, waits_for_a_lock
from tests.servers import login_as

pytestmark = pytest.mark.usefixtures("cheap")
__all__ = ["ana", "cheap"]

SESSIONS = "UPDATE app.session SET {} WHERE staff_id = (SELECT staff_id FROM app.staff WHERE name = 'ana')"


def test_who_signs_in_is_known_and_their_next_command_too(ana: Context) -> None:
    session = ana.session
    assert session is not None
    assert (session.name, session.role, session.must_change) == ("ana", "desk", False)
    later = Context(ana.settings, ana.paths)
    person = staff.whoami(later)
    assert (person.name, person.problem, person.sites) == ("ana", None, ())
    assert set(person.permissions) == {"see-patients", "edit-patients", "book", "expire-holds"}
    assert set(person.permissions) <= set(staff.meanings(later))
    assert seen_at(later) == "seen"


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
    assert seen_at(ana) == answer
    if answer == "session-expired":
        with pytest.raises(NotAllowed, match="ended"):
            staff.whoami(ana)


def test_whoever_works_is_not_idle_but_the_absolute_end_stays(ana: Context, owner: engine.Connection) -> None:
    before = staff.whoami(ana)
    assert before.expires_at - before.started_at == timedelta(hours=12)
    owner.execute(SESSIONS.format("seen_at = now() - interval '29 minutes'").encode())
    assert seen_at(ana) == "seen"
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
    assert (seen_at(ana), seen_at(second)) == ("session-expired", "seen")
    assert staff.revoke(context, name="ana") == 1
    assert seen_at(second) == "session-expired"
    with pytest.raises(NotFound):
        staff.revoke(context, name="ana")


def test_disabling_and_another_role_count_at_the_next_call(ana: Context, context: Context, clinic: Clinic) -> None:
    staff.change(context, "ana", role="auditor")
    assert seen_at(ana) == "forbidden"
    staff.change(context, "ana", role="desk")
    assert seen_at(ana) == "seen"
    assert staff.change(context, "ana", enabled=False)
    assert seen_at(ana) == "session-expired"
    assert not staff.change(context, "ana", enabled=False)
    staff.change(context, "ana", enabled=True)
    assert seen_at(ana) == "session-expired", "what was ended stays so"
    assert staff.sign_in(ana, "ana", PASSWORD)


def test_who_is_bound_to_a_site_books_there_alone(clinic: Clinic, owner: engine.Connection) -> None:
    hire(clinic.context, owner, "ana", sites=["south"])
    ana = another_desk(clinic.context)
    staff.sign_in(ana, "ana", PASSWORD)
    assert staff.whoami(ana).sites == ("south",)
    with pytest.raises(NotAllowed) as refused:
        appointments.book(ana, clinic.request(1, "mri", clinic.slot("mri")))
    assert refused.value.code == "forbidden"
    assert appointments.book(ana, clinic.request(1, "xray", clinic.slot("xray"))).outcome == "booked"
    staff.change(clinic.context, "ana", sites=[])
    assert appointments.book(ana, clinic.request(2, "mri", clinic.slot("mri"))).outcome == "booked"


def test_the_next_at_a_shared_desk_ends_the_session_before(
    ana: Context, context: Context, owner: engine.Connection
) -> None:
    hire(context, owner, "ben")
    old = ana.token
    staff.sign_in(ana, "ben", PASSWORD)
    assert staff.whoami(Context(ana.settings, ana.paths)).name == "ben"
    ended = "SELECT ended_by FROM app.session JOIN app.staff USING (staff_id) WHERE name = 'ana'"
    assert row(owner, ended) == ("switched",)
    ana.connection().token = old
    assert seen_at(ana) == "session-expired"


def test_a_failed_switch_leaves_who_was_there(ana: Context) -> None:
    said(ana, "ben", PASSWORD)
    assert staff.whoami(Context(ana.settings, ana.paths)).name == "ana"


def test_a_locked_desk_opens_nothing_until_somebody_signs_in(ana: Context, context: Context) -> None:
    staff.lock(ana)
    assert seen_at(ana) == "session-locked"
    assert staff.whoami(ana).problem == "session-locked"
    assert [one.locked for one in staff.sessions(context) if one.name == "ana"] == [True]
    with pytest.raises(NotAllowed):
        staff.change_password(ana, PASSWORD, "something else now")
    said(ana, "ana", "not her password")
    assert seen_at(ana) == "session-locked"
    staff.sign_in(ana, "ana", PASSWORD)
    assert seen_at(ana) == "seen"


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
    assert seen_at(later) == "session-expired"


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


def test_two_managers_who_take_each_others_place_wait_for_one_another(
    ana: Context, context: Context, owner: engine.Connection
) -> None:
    hire(context, owner, "ben", "manager")
    ben = another_desk(context, 3)
    staff.sign_in(ben, "ben", PASSWORD)
    verdicts: list[str] = []
    connection = ben.connection()
    other = threading.Thread(target=lambda: verdicts.append(gateway.change(connection, STAFF, role="desk")))
    with context.connection().transaction():
        assert gateway.change(context.connection(), "ben", role="desk") == "changed"
        other.start()
        waits_for_a_lock(context)
    other.join()
    assert verdicts == ["last-manager"]


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
    assert seen_at(desk) == "session-expired"
    desk.connection().token = None
    assert seen_at(desk) == "not-signed-in"


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


def test_two_who_want_to_be_the_first_manager_at_once_are_one(context: Context, database: str) -> None:
    ends: list[str] = []

    def want(name: str) -> None:
        with Context(Settings(database_url=database), another_desk(context, len(name)).paths) as installer:
            try:
                staff.add_first_manager(installer, name, PASSWORD)
                ends.append("made")
            except Refused as refusal:
                ends.append(refusal.code)

    rivals = [threading.Thread(target=want, args=(name,)) for name in ("rival", "usurper")]
    with psycopg.connect(database) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(0, 1)")
        for rival in rivals:
            rival.start()
        wait_until(lambda: _waiting(holder) == len(rivals), 30, "both want to be it")
    for rival in rivals:
        rival.join()
    assert sorted(ends) == ["made", "manager-there"]
    with Context(Settings(database_url=database)) as owning:
        assert sum(one.has_password for one in gateway.staff(owning.connection())) == 1


def _waiting(holder: psycopg.Connection[tuple[object, ...]]) -> object:
    row = holder.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchone()
    return row[0] if row else 0


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


def test_a_session_that_others_can_read_is_not_used(ana: Context) -> None:
    file = session_file.path(ana.paths, ana.settings)
    file.chmod(0o644)
    with pytest.raises(NotAllowed) as refused:
        staff.whoami(Context(ana.settings, ana.paths))
    assert refused.value.code == "session-file-open"
