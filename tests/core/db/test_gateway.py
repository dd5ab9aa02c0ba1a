"""The database is the door: what each kind of machine and each kind of person can do, tried over real connections.

What must stay true: whoever has no live session sees no patient and books nothing, whatever they say to the database.
"""

from __future__ import annotations

import json
import re

import pytest

from bookcli.core.db import engine, kernel
from tests.clinic import Clinic
from tests.core.db.gateway_attempts import (
    ATTEMPTS,
    PEOPLE,
    WITHOUT_SESSION,
    WORKERS_ONLY,
    Attempt,
    outcome,
    reference_of,
)
from tests.servers import MACHINES

pytestmark = pytest.mark.both_servers


def _granted(clinic: Clinic, kind: str, name: str) -> bool:
    return bool(
        clinic.row(
            "SELECT has_function_privilege(%s, oid, 'EXECUTE') FROM pg_proc"
            " WHERE proname = %s AND pronamespace = 'app'::regnamespace",
            (f"tests_{kind}", name),
        )[0]
    )


def _holds(clinic: Clinic, role: str) -> set[str]:
    return {name for (name,) in clinic.rows("SELECT permission FROM role_permission WHERE role = %s", (role,))}


@pytest.mark.parametrize("kind", MACHINES)
def test_each_machine_and_person_can_do_what_the_tables_say_and_nothing_else(
    clinic: Clinic, machines: dict[str, engine.Connection], tokens: dict[str, str], kind: str
) -> None:
    tried = 0
    for name, attempt in ATTEMPTS.items():
        executable = _granted(clinic, kind, name)
        for role in (None, *PEOPLE):
            held = (
                _holds(clinic, role) if role else _holds(clinic, {"worker": "worker", "admin": "owner"}.get(kind, ""))
            )
            wanted = "done" if attempt.permission in held else "forbidden" if role else "not-signed-in"
            got = outcome(machines[kind], attempt, clinic, tokens[role] if role else None)
            assert got == (wanted if executable else "no-execute"), (kind, role, name)
            tried += 1
    assert tried == len(ATTEMPTS) * (len(PEOPLE) + 1)


def test_without_a_session_a_desk_is_refused_by_every_function_that_knows_a_patient(
    clinic: Clinic, machines: dict[str, engine.Connection]
) -> None:
    for token in (None, "", "0" * 64, "' OR true --", "x" * 100_000):
        for name, attempt in ATTEMPTS.items():
            got = outcome(machines["desk"], attempt, clinic, token)
            refused = "not-signed-in" if token is None else "session-expired"
            assert got == ("no-execute" if name in WORKERS_ONLY else refused), name
    assert clinic.row("SELECT count(*) FROM appointment") == (1,)


def test_every_function_that_is_granted_is_in_the_matrix_and_is_safe_to_call(clinic: Clinic) -> None:
    granted = clinic.rows(
        "SELECT DISTINCT p.proname, p.prosecdef, p.proconfig::text, p.prosrc"
        "  FROM pg_proc p, unnest(%s::text[]) AS m (kind)"
        " WHERE p.pronamespace = 'app'::regnamespace"
        "   AND has_function_privilege('bookcli_' || m.kind, p.oid, 'EXECUTE')",
        (list(MACHINES),),
    )
    assert {name for name, *_ in granted} - {"change_password"} == ATTEMPTS.keys() | WITHOUT_SESSION.keys()
    for name, definer, settings, source in granted:
        assert definer and "search_path=app, ext, pg_temp" in settings, name
        if name in ATTEMPTS:
            assert re.search(r"\benter\(token, '" + ATTEMPTS[name].permission + r"'\)", source), name
    # What runs with the owner's rights is for somebody to call; a grant that was forgotten is noticed here.
    definers = "SELECT proname FROM pg_proc WHERE pronamespace = 'app'::regnamespace AND prosecdef"
    assert {name for (name,) in clinic.rows(definers)} - {name for name, *_ in granted} == {"sign_in_here"}
    everybody = "SELECT proname FROM pg_proc WHERE has_function_privilege('public', oid, 'EXECUTE')"
    assert clinic.rows(f"{everybody} AND pronamespace = 'app'::regnamespace") == []


@pytest.mark.parametrize("kind", ["desk", "worker", "auditor"])
def test_what_needs_no_session_tells_nothing_about_a_patient(
    clinic: Clinic, machines: dict[str, engine.Connection], kind: str
) -> None:
    for name, statement in WITHOUT_SESSION.items():
        if _granted(clinic, kind, name):
            said = str(machines[kind].execute(statement.encode()).fetchall())
            assert not re.search(r"P\d|Müller|Ana", said), name


def test_a_worker_needs_no_session_and_sees_no_patient(clinic: Clinic, machines: dict[str, engine.Connection]) -> None:
    worker = machines["worker"]
    assert worker.execute("SELECT app.let_holds_expire()").fetchone() == (0,)
    for name in ("look_at_patient", "find_patients", "agenda", "book", "audit_entries"):
        assert outcome(worker, ATTEMPTS[name], clinic, None) == "no-execute"


def test_somebody_bound_to_a_site_books_changes_and_lists_only_there(
    clinic: Clinic, machines: dict[str, engine.Connection], tokens: dict[str, str]
) -> None:
    clinic.owner.execute("UPDATE staff SET sites = ARRAY[2] WHERE name IN ('a-desk', 'a-manager')")
    desk = machines["desk"]
    desk.token = tokens["desk"]
    elsewhere, here = clinic.slot("blood", 4), clinic.slot("xray", 4)
    documents = [clinic.request(5, "blood", elsewhere).document(), clinic.request(5, "xray", here).document()]
    assert [one.verdict for one in kernel.book(desk, documents)] == ["forbidden", "booked"]
    both = [clinic.request(6, "blood", elsewhere).document(), clinic.request(6, "xray", here).document()]
    assert [one.verdict for one in kernel.book(desk, both, together=True)] == ["forbidden", "visit-refused"]
    reference = reference_of(clinic)
    moved = clinic.request("", "blood", elsewhere, moves=reference).document()
    assert [one.verdict for one in kernel.book(desk, [moved])] == ["forbidden"]
    for name in ("cancel", "confirm", "set_status", "agenda", "affected"):
        assert outcome(desk, ATTEMPTS[name], clinic, tokens["desk"]) == "forbidden", name
    for name in ("close_period", "find_closure", "set_capacity"):
        assert outcome(desk, ATTEMPTS[name], clinic, tokens["manager"]) == "forbidden", name
    assert outcome(desk, ATTEMPTS["history_of"], clinic, tokens["desk"]) == "done", "a patient's record is one record"
    assert kernel.book(clinic.owner, [documents[0]])[0].verdict == "booked", "the refusal was not kept under the key"


BEYOND = {
    "the sites they work at": "SELECT app.change_staff('a-manager', NULL, '{}', token => %s)",
    "somebody who works everywhere": "SELECT app.change_staff('a-auditor', 'manager', token => %s)",
    "their password": "SELECT app.reset_password('a-auditor', sha256('k'), sha256('s'), 2, 65536, 1, %s)",
    "their sessions": "SELECT app.revoke_sessions('a-auditor', NULL, %s)",
    "a new manager of everything": "SELECT app.add_staff('eve', 'Eve', 'manager', '{}', '', '', 2, 65536, 1, %s)",
    "another site": """SELECT app.save_sites('[{"code": "north", "active": false}]', %s)""",
    "a new site": """SELECT app.save_sites('[{"code": "west"}]', %s)""",
    "a test, which is the same at all sites": """SELECT app.save_tests('[{"code": "mri", "active": false}]', %s)""",
    "a resource elsewhere": """SELECT app.save_resources('[{"site": "north", "code": "lab", "name": "X"}]', %s)""",
}
WITHIN = {
    "a clerk of theirs": "SELECT app.add_staff('e', 'E', 'desk', '{south}', sha256('k'), sha256('s'), 2, 65536, 1, %s)",
    "their own people": "SELECT app.change_staff('a-desk', 'manager', '{south}', token => %s)",
    "the sessions of those": "SELECT app.revoke_sessions('a-desk', NULL, %s)",
    "their site": """SELECT verdict FROM app.save_sites('[{"code": "south", "phone": "1"}]', %s)""",
    "its resources": """SELECT verdict FROM app.save_resources('[{"site": "south", "code": "xray-2"}]', %s)""",
}


def test_a_manager_bound_to_a_site_does_not_get_beyond_it(
    clinic: Clinic, machines: dict[str, engine.Connection], tokens: dict[str, str]
) -> None:
    clinic.owner.execute("UPDATE staff SET sites = ARRAY[2] WHERE name IN ('a-desk', 'a-manager')")
    kernel.book(clinic.owner, [clinic.request(2, "xray", clinic.slot("xray")).document()])
    for what, statement in (BEYOND | WITHIN).items():
        wanted = "forbidden" if what in BEYOND else "done"
        assert outcome(machines["desk"], Attempt("", statement), clinic, tokens["manager"]) == wanted, what
    exported = machines["desk"].execute(ATTEMPTS["export_appointments"].statement.encode(), [tokens["manager"]])
    assert exported.fetchall() == [("P2",)]


def test_whoever_is_bound_meanwhile_takes_nothing_back_that_leads_to_another_site(
    clinic: Clinic, machines: dict[str, engine.Connection], tokens: dict[str, str]
) -> None:
    clinic.owner.execute(
        "INSERT INTO app.resource_test SELECT resource_id, test_id FROM resource r, test t"
        " WHERE r.code = 'xray-1' AND t.code = 'blood'"
    )
    desk, north, south = machines["desk"], clinic.slot("blood", 4), clinic.slot("xray", 5)
    desk.token = tokens["manager"]
    (there,) = kernel.book(desk, [clinic.request(3, "blood", north).document()])
    kernel.book(desk, [clinic.request("", "blood", south, moves=there.reference).document()])
    (here,) = kernel.book(desk, [clinic.request(4, "blood", clinic.slot("xray", 6)).document()])
    moves = json.dumps([clinic.request("", "blood", clinic.slot("blood", 7), moves=here.reference).document()])
    close = (
        "SELECT numbers ->> 'closure' FROM app.close_and_move(2, NULL,"
        " (SELECT tstzrange(starts_at, ends_at) FROM app.slot WHERE slot_id = %s), 'x', %s, true, %s) LIMIT 1"
    )
    (closure,) = desk.execute(close, (clinic.slot("xray", 6), moves, desk.token)).fetchone() or (None,)
    undo = Attempt("", "SELECT verdict FROM app.undo(%s, %s)", there.reference)
    reopen = Attempt("", "SELECT verdict FROM app.undo_closing(%s, %s)", int(closure))
    assert [outcome(desk, one, clinic, desk.token) for one in (undo, reopen)] == ["done", "done"]
    clinic.owner.execute("UPDATE staff SET sites = ARRAY[2] WHERE name = 'a-manager'")
    assert [outcome(desk, one, clinic, desk.token) for one in (undo, reopen)] == ["forbidden", "forbidden"]


STATES = {
    "booked": "",
    "arrived": "status = 'arrived'",
    "fulfilled": "status = 'fulfilled'",
    "cancelled": "status = 'cancelled'",
    "released": "status = 'cancelled', reason = 'released'",
    "held by somebody else": "status = 'pending', held_until = now() + interval '1 hour'",
    "held until now": "status = 'pending', held_until = now()",
}
STEPS = ("book", "confirm", "confirm_visit", "release", "renew", "cancel", "set_status", "undo")


def test_whoever_is_told_whose_appointment_it_is_has_changed_it_or_is_known_to_have_looked(
    clinic: Clinic, machines: dict[str, engine.Connection], tokens: dict[str, str]
) -> None:
    clinic.owner.execute("UPDATE app.slot SET capacity = 1 WHERE slot_id = %s", (clinic.slot("blood", 3),))
    kernel.book(clinic.owner, [clinic.request(2, "blood", clinic.slot("blood", 3)).document()])
    refused, repeated = set(), set()
    for state, change in STATES.items():
        for name in STEPS:
            with clinic.owner.transaction(force_rollback=True):
                if change:
                    clinic.owner.execute(f"UPDATE app.appointment SET {change} WHERE patient_id = 1".encode())
                (last,) = clinic.row("SELECT max(audit_id) FROM audit")
                attempt = ATTEMPTS[name]
                every = Attempt(
                    attempt.permission, attempt.statement.replace("SELECT verdict", "SELECT *"), *attempt.values
                )
                said = str(every.run(clinic.owner, clinic, tokens["desk"]))
                noted = {
                    action
                    for (action,) in clinic.rows(
                        "SELECT action FROM audit WHERE audit_id > %s AND patient_id = 1", (last,)
                    )
                }
            if re.search(r"Müller|Ana", said):
                assert noted, (state, name)
                repeated |= {name} if noted == {"look-appointment"} else set()
            else:
                assert noted <= {"expire"}, (state, name)
                refused.add(name)
    assert refused == set(STEPS)
    assert repeated == {"confirm", "confirm_visit", "release", "cancel", "set_status"}


def test_only_who_may_records_the_past(
    clinic: Clinic, tokens: dict[str, str], machines: dict[str, engine.Connection]
) -> None:
    clinic.owner.execute("UPDATE slot SET starts_at = starts_at - interval '30 d', ends_at = ends_at - interval '30 d'")
    document = clinic.request(1, "xray", clinic.slot("xray"), history=True, status="fulfilled").document()
    for role, wanted in (("desk", "forbidden"), ("manager", "booked")):
        machines["desk"].token = tokens[role]
        assert kernel.book(machines["desk"], [document])[0].verdict == wanted
    for status in ("fulfilled", "noshow", "cancelled", "waitlist", "entered-in-error"):
        ahead = clinic.request(2, "blood", clinic.slot("blood", 9), status=status).document()
        assert kernel.book(machines["desk"], [ahead])[0].verdict == "wrong-status", (
            "nobody has come or not, who is to come"
        )
