"""Who works here and who is signed in, at the command line; the first manager; the user of the embedded servers."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bookcli.cli import diagnostics
from bookcli.core.adapters import embedded, stretching
from bookcli.core.adapters.local_sockets import postgres_dsn, socket_directory
from bookcli.core.config import paths as paths_of
from bookcli.core.context import Context, operating_system_user
from bookcli.core.db import engine
from bookcli.core.services import staff
from tests.cli.commands import Shell, process
from tests.clinic import STAFF, Clinic
from tests.people import CHEAP, FIRST_PASSWORD, PASSWORD, another_desk, hire
from tests.servers import login_as


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """New passwords are stretched as little as a database allows."""
    monkeypatch.setattr(stretching, "WANTED", CHEAP)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """An installation of its own with the embedded servers, stopped afterwards."""
    top = Path(tempfile.mkdtemp(prefix="bookcli-test-", dir="/tmp"))
    top.chmod(0o755)
    paths = paths_of({"BOOKCLI_HOME": str(top / "home")})
    try:
        yield top / "home"
    finally:
        with contextlib.suppress(OSError):
            short = socket_directory(paths)
            embedded.stop(paths)
            shutil.rmtree(short, ignore_errors=True)
        shutil.rmtree(top)


@pytest.fixture
def alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Commands run at the embedded servers; nobody has signed in with a password."""
    monkeypatch.setenv("BOOKCLI_HOME", str(home))
    monkeypatch.setenv("BOOKCLI_DEADLINE", "30")
    return home


def test_people_are_added_listed_changed_disabled_and_enabled(bookcli: Shell, clinic: Clinic) -> None:
    words = ("staff", "add", "a.moreno", "--full-name", "Ana Moreno", "--sites", "north,south")
    assert bookcli(*words, stdin=FIRST_PASSWORD).code == 0
    (ana, _) = bookcli("staff", "list", "--json").json["staff"]
    assert (ana["name"], ana["full_name"], ana["role"], ana["sites"], ana["must_change"]) == (
        "a.moreno", "Ana Moreno", "desk", ["north", "south"], True,
    )  # fmt: skip
    assert not {"salt", "key_hash", "passes"} & set(ana)
    assert "password to be changed" in bookcli("staff", "list", "-o", "table").out
    assert bookcli("staff", "role", "a.moreno", "auditor", "--sites", "all", "-o", "table").out == "Changed a.moreno.\n"
    assert bookcli("staff", "role", "a.moreno", "auditor", "-o", "table").out == "Nothing to change.\n"
    (ana, _) = bookcli("staff", "list", "--json").json["staff"]
    assert (ana["role"], ana["sites"]) == ("auditor", [])
    assert bookcli("staff", "disable", "a.moreno").code == 2, "nobody can be asked"
    assert bookcli("staff", "disable", "a.moreno", "--yes").code == 0
    assert bookcli("login", "a.moreno", stdin=FIRST_PASSWORD).code == 5
    assert bookcli("staff", "enable", "a.moreno").code == 0
    assert bookcli("staff", "reset", "a.moreno", stdin="another slip of paper").code == 0
    assert bookcli("login", "a.moreno", stdin="another slip of paper").code == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("staff", "add", STAFF), 3),
        (("staff", "add", "a b"), 2),
        (("staff", "add", "ben", "--role", "manger"), 2),
        (("staff", "add", "ben", "--sites", "nroth"), 4),
        (("staff", "role", "nobody", "desk"), 4),
        (("staff", "role", STAFF, "desk"), 3),
        (("staff", "disable", STAFF, "--yes"), 3),
        (("staff", "disable", "nobody", "--yes"), 4),
        (("staff", "reset", "nobody"), 4),
        (("session", "revoke"), 2),
        (("session", "revoke", "7", "--of", STAFF), 2),
        (("session", "revoke", "4711"), 4),
        (("session", "revoke", "--of", "nobody"), 4),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_done_changes_nothing(bookcli: Shell, clinic: Clinic, words: tuple[str, ...], code: int) -> None:
    before = clinic.row("SELECT count(*) FROM app.audit")
    assert bookcli(*words, stdin=PASSWORD).code == code
    assert clinic.row("SELECT count(*) FROM app.audit") == before


def test_a_weak_first_password_is_refused(bookcli: Shell, clinic: Clinic) -> None:
    for weak in ("short", "aaaaaaaaaaaaaa", "ben-12345", ""):
        assert bookcli("staff", "add", "ben", stdin=weak).code == 2
    assert clinic.rows("SELECT FROM app.staff WHERE name = 'ben'") == []


def test_disabling_at_a_terminal_defaults_to_no(
    bookcli: Shell, clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    hire(clinic.context, clinic.owner, "ana")
    monkeypatch.setattr(diagnostics, "interactive", lambda: True)
    assert bookcli("staff", "disable", "ana", stdin="\n").err.endswith("Not disabled.\n")
    assert bookcli("staff", "disable", "nobody", stdin="y\n").err.startswith("Nobody has that name.")
    assert bookcli("staff", "disable", "ana", stdin="y\n").code == 0


def test_sessions_are_listed_and_ended(bookcli: Shell, clinic: Clinic) -> None:
    hire(clinic.context, clinic.owner, "ana")
    desk = another_desk(clinic.context)
    staff.sign_in(desk, "ana", PASSWORD)
    listed = bookcli("session", "list", "--json").json["sessions"]
    (mine,) = [one for one in listed if one["own"]]
    (hers,) = [one for one in listed if one["name"] == "ana"]
    assert (mine["name"], mine["own"], hers["name"], hers["own"], hers["machine"]) == (
        STAFF, True, "ana", False, "tests_desk",
    )  # fmt: skip
    assert "this one" in bookcli("session", "list", "-o", "table").out
    assert bookcli("session", "revoke", str(hers["session_id"]), "-o", "table").out == "Ended 1 session.\n"
    assert bookcli("session", "revoke", "--of", "ana").code == 4
    assert bookcli("session", "revoke", "--of", STAFF, "-o", "table").out == f"Ended {len(listed) - 1} sessions.\n"
    assert bookcli("session", "list").code == 5


def test_booking_at_another_site_is_not_allowed(bookcli: Shell, clinic: Clinic) -> None:
    hire(clinic.context, clinic.owner, "ana", sites=["south"])
    bookcli("login", "ana", stdin=PASSWORD)
    words = ("book", "--patient", "P1", "--test", "mri", "--slot", str(clinic.slot("mri")))
    assert bookcli(*words).err.startswith("You may not book that: it is at another site than yours")
    answer = bookcli(*words, "--json")
    assert (answer.code, answer.error["code"], answer.out) == (5, "forbidden", "")


def test_staff_are_completed_by_nobody(clinic: Clinic) -> None:
    hire(clinic.context, clinic.owner, "ana")
    for typed in ("bookcli login a", "bookcli staff disable a", "bookcli session revoke --of a"):
        count = str(len(typed.split()) - 1)
        answer = process(_BOOKCLI_COMPLETE="complete_bash", COMP_WORDS=typed, COMP_CWORD=count)
        assert (answer.code, answer.out.split(), answer.err) == (0, [], "")


def test_the_first_manager_is_made_once(bookcli: Shell, owning: Context, owner: engine.Connection) -> None:
    bookcli("logout")
    answer = bookcli("db", "init")
    assert (answer.code, "bookcli db init --manager NAME" in answer.err) == (0, True)
    assert bookcli("db", "init", "--manager", "boss", stdin="weak").code == 2
    assert bookcli("db", "init", "--manager", "boss", stdin=f"{PASSWORD}\n").code == 0
    again = bookcli("db", "init", "--manager", "rival", stdin=f"{PASSWORD}\n")
    assert (again.code, "nobody was added" in again.err) == (0, True)
    assert owner.execute("SELECT name FROM app.staff WHERE key_hash IS NOT NULL").fetchall() == [("boss",)]
    assert bookcli("login", "rival", stdin=PASSWORD).code == 5
    assert bookcli("login", "boss", stdin=PASSWORD).code == 0
    assert bookcli("staff", "list").code == 0


@pytest.mark.parametrize("kind", ["desk", "worker", "auditor"])
def test_a_desk_cannot_make_the_first_manager(
    bookcli: Shell, database: str, owner: engine.Connection, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("BOOKCLI_DATABASE_URL", login_as(database, kind))
    for words in (("db", "init", "--manager", "me"), ("staff", "add", "me", "--role", "manager")):
        assert bookcli(*words, stdin=PASSWORD).code == 5
    assert owner.execute("SELECT FROM app.staff WHERE name = 'me'").fetchall() == []


def test_a_worker_seals_without_a_session_and_sees_no_patient(
    bookcli: Shell, clinic: Clinic, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bookcli("logout")
    monkeypatch.setenv("BOOKCLI_DATABASE_URL", login_as(database, "worker"))
    assert bookcli("audit", "seal").code == 0
    assert bookcli("verify").code == 0
    assert bookcli("patient", "show", "P1").code == 5


def test_whoever_owns_the_embedded_servers_is_a_manager_without_a_password(bookcli: Shell, alone: Path) -> None:
    user = operating_system_user()
    (person,) = bookcli("whoami", "--json").json["people"]
    assert (person["name"], person["role"]) == (user, "manager")
    assert bookcli("site", "list").code == 0
    assert bookcli("lock").code == 0
    assert bookcli("patient", "show", "P1").code == 5
    assert bookcli("login", "-o", "table").out == f"Signed in as {user} (manager).\n"
    assert bookcli("logout").code == 0
    assert bookcli("whoami", "-o", "ids").out == f"{user}\n", "signing out of one's own servers is signing in again"
    assert "bookcli login" not in bookcli("db", "init").err


def test_somebody_else_can_sign_in_at_the_embedded_servers(bookcli: Shell, alone: Path) -> None:
    assert bookcli("staff", "add", "ana", stdin=FIRST_PASSWORD).code == 0
    assert bookcli("login", "ana", stdin="not the password").code == 5
    assert bookcli("login", "ana", stdin=FIRST_PASSWORD).code == 0
    assert bookcli("passwd", stdin=f"{FIRST_PASSWORD}\n{PASSWORD}\n").code == 0
    assert bookcli("staff", "list").code == 5, "a clerk stays a clerk"
    with psycopg.connect(postgres_dsn(paths_of({"BOOKCLI_HOME": str(alone)}))) as connection:
        connection.execute("UPDATE app.session SET seen_at = now() - interval '1 hour' WHERE ended_at IS NULL")
    answer = bookcli("staff", "list", "--json")
    assert (answer.code, answer.error["code"]) == (5, "session-expired"), "and does not become a manager by waiting"
    assert bookcli("login", stdin=PASSWORD).code == 0
    assert bookcli("logout").code == 0
    assert bookcli("staff", "list").code == 0


def test_an_owner_who_was_disabled_comes_in_only_as_somebody_else(bookcli: Shell, alone: Path) -> None:
    user = operating_system_user()
    assert bookcli("staff", "add", "boss", "--role", "manager", stdin=FIRST_PASSWORD).code == 0
    assert bookcli("login", "boss", stdin=FIRST_PASSWORD).code == 0
    assert bookcli("passwd", stdin=f"{FIRST_PASSWORD}\n{PASSWORD}\n").code == 0
    assert bookcli("staff", "disable", user, "--yes").code == 0
    assert bookcli("logout").code == 0
    assert bookcli("patient", "show", "P1").code == 5
    assert bookcli("whoami").code == 5
    assert bookcli("login", "boss", stdin=PASSWORD).code == 0
    assert bookcli("staff", "enable", user).code == 0
    assert bookcli("logout").code == 0
    assert bookcli("whoami", "-o", "ids").out == f"{user}\n"
