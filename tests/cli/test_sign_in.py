"""Signing in at the command line: piped and at a terminal, what is said, and that no secret is seen anywhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from bookcli.core.adapters import session_file, stretching
from bookcli.core.context import Context
from bookcli.core.db import engine
from bookcli.core.services import staff
from tests.cli.commands import Shell, process
from tests.clinic import STAFF, Clinic
from tests.people import CHEAP, FIRST_PASSWORD, PASSWORD, hire
from tests.servers import Server

REPOSITORY = Path(__file__).parents[2]
NEW = "something else now"


@pytest.fixture(autouse=True)
def ana(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ana, a clerk with PASSWORD, who is not signed in yet: the desk has the manager's session."""
    monkeypatch.setattr(stretching, "WANTED", CHEAP)
    hire(clinic.context, clinic.owner, "ana")


def _token(context: Context) -> str:
    """What the desk's file has as the token now."""
    return str(json.loads(session_file.path(context.paths, context.settings).read_text())["token"])


def _typing(*words: str) -> pexpect.spawn:
    """A command at a terminal of 80 columns."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "TERM": "xterm"}
    command = ["-m", "bookcli.cli.main", *words]
    return pexpect.spawn(sys.executable, command, env=environment, timeout=30, encoding="utf-8", dimensions=(24, 80))


def _ended(terminal: pexpect.spawn) -> int:
    terminal.expect(pexpect.EOF)
    terminal.close()
    return int(terminal.exitstatus if terminal.exitstatus is not None else -1)


def test_a_piped_password_signs_in_and_the_desk_changes_hands(bookcli: Shell) -> None:
    assert bookcli("whoami", "--json").json["people"][0]["name"] == STAFF
    answer = bookcli("login", "Ana", "--json", stdin=f"{PASSWORD}\nand more lines\n")
    (session,) = answer.json["sessions"]
    assert (answer.code, session["name"], session["role"], sorted(session)) == (
        0,
        "ana",
        "desk",
        ["expires_at", "name", "role"],
    )
    (person,) = bookcli("whoami", "--json").json["people"]
    assert (person["name"], person["role"], person["idle_minutes"], person["locked"]) == ("ana", "desk", 30, False)
    assert bookcli("staff", "list").code == 5
    assert bookcli("logout", "-o", "table").out == "Signed out.\n"
    assert bookcli("logout", "-o", "table").out == "Nobody was signed in.\n"


@pytest.mark.parametrize("typed", [PASSWORD, f"{PASSWORD}\n", f"{PASSWORD}\r\n", f"\ufeff{PASSWORD}\n"])
def test_a_password_file_may_come_from_any_editor(bookcli: Shell, typed: str) -> None:
    assert bookcli("login", "ana", stdin=typed).code == 0


def test_every_wrong_sign_in_sounds_the_same_and_ends_with_5(bookcli: Shell) -> None:
    words = "The name or the password is wrong.\n"
    for name in ("ana", "nobody", STAFF):
        answer = bookcli("login", name, stdin="not the password")
        assert (answer.code, answer.out, answer.err) == (5, "", words)
    error = bookcli("login", "nobody", "--json", stdin=PASSWORD).error
    assert error == bookcli("login", STAFF, "--json", stdin=PASSWORD).error
    assert error["exit"] == 5
    assert bookcli("whoami", "-o", "ids").out == f"{STAFF}\n", "and who was there still is"


def test_a_locked_name_is_told_how_long(bookcli: Shell) -> None:
    for _ in range(5):
        bookcli("login", "ana", stdin="not the password")
    answer = bookcli("login", "ana", "--json", stdin=PASSWORD)
    assert (answer.code, answer.error["code"]) == (5, "sign-in-locked")
    assert 0 < answer.error["details"]["wait_seconds"] <= 30


def test_nobody_at_the_desk_is_5_with_what_to_do(bookcli: Shell) -> None:
    bookcli("logout")
    for words in (("whoami",), ("lock",), ("passwd",), ("staff", "list"), ("agenda", "--site", "north")):
        answer = bookcli(*words, "--json", stdin=f"{PASSWORD}\n{NEW}\n")
        assert (answer.code, answer.error["code"], answer.error["hint"]) == (5, "not-signed-in", "bookcli login"), words
    answer = bookcli("login", stdin=PASSWORD)
    assert (answer.code, "bookcli login NAME" in answer.err) == (2, True)


@pytest.mark.parametrize("typed", ["", "\n", "x" * 70_000, b"\xff\xfe"])
def test_what_cannot_be_a_password_is_one_sentence(bookcli: Shell, typed: str | bytes) -> None:
    answer = bookcli("login", "ana", stdin=typed)
    assert answer.code == 2
    assert len(answer.err.splitlines()) <= 2


def test_permissions_are_explained_to_people_and_listed_for_programs(bookcli: Shell) -> None:
    bookcli("login", "ana", stdin=PASSWORD)
    said = bookcli("whoami", "--permissions", "-o", "table").out
    assert said.splitlines()[0] == "ana, desk at all sites."
    assert "book              book, hold, move and cancel" in said
    assert "manage-staff" not in said
    listed = bookcli("whoami", "--json").json["people"][0]["permissions"]
    assert listed == ["book", "edit-patients", "expire-holds", "see-patients"]


def test_a_first_password_blocks_everything_until_it_is_changed(bookcli: Shell, clinic: Clinic) -> None:
    staff.add(clinic.context, "ben", FIRST_PASSWORD)
    answer = bookcli("login", "ben", stdin=FIRST_PASSWORD)
    assert (answer.code, "bookcli passwd" in answer.err) == (0, True)
    refused = bookcli("patient", "show", "P1", "--json")
    assert (refused.code, refused.error["code"], refused.error["hint"]) == (
        5,
        "password-change-needed",
        "bookcli passwd",
    )
    assert "must be changed" in bookcli("whoami", "-o", "table").out
    assert bookcli("passwd", stdin=f"{FIRST_PASSWORD}\n{NEW}\n").code == 0
    assert bookcli("patient", "show", "P1").code == 0


def test_a_locked_desk_shows_nothing_until_its_owner_signs_in(bookcli: Shell) -> None:
    bookcli("login", "ana", stdin=PASSWORD)
    assert bookcli("lock", "-o", "table").out == "Locked. bookcli login unlocks it.\n"
    refused = bookcli("patient", "show", "P1", "--json")
    assert (refused.code, refused.error["code"]) == (5, "session-locked")
    assert "Locked" in bookcli("whoami", "-o", "table").out
    assert bookcli("login", stdin="not the password").code == 5
    assert bookcli("login", stdin=PASSWORD).code == 0, "without a name it is whoever locked it"
    assert bookcli("patient", "show", "P1").code == 0


def test_a_session_file_that_others_can_read_is_refused_by_every_command(bookcli: Shell, context: Context) -> None:
    file = session_file.path(context.paths, context.settings)
    file.chmod(0o640)
    for words in (("whoami",), ("login", "ana"), ("patient", "show", "P1")):
        answer = bookcli(*words, "--json", stdin=PASSWORD)
        assert (answer.code, answer.error["code"]) == (5, "session-file-open"), words
        assert answer.error["hint"] == f"chmod 600 '{file}'"
    file.write_text("garbage")
    file.chmod(0o600)
    assert bookcli("whoami").code == 5
    assert bookcli("login", "ana", stdin=PASSWORD).code == 0


def test_no_token_and_no_password_is_written_anywhere(
    bookcli: Shell, context: Context, own_environment: Path, server: Server
) -> None:
    secrets, written = {PASSWORD, "not the password", NEW}, ""
    for words, typed in (
        (("login", "ana"), PASSWORD),
        (("login", "ana", "-v", "--debug", "--json"), PASSWORD),
        (("login", "ana", "-v", "--debug"), "not the password"),
        (("whoami", "-v", "--debug", "--permissions", "-o", "ndjson"), ""),
        (("whoami", "-v", "--debug", "-o", "table"), ""),
        (("staff", "list", "-v", "--debug", "--json"), ""),
        (("passwd", "-v", "--debug", "--json"), f"{PASSWORD}\n{NEW}\n"),
        (("lock", "-v", "--debug", "-o", "csv"), ""),
        (("patient", "show", "P1", "-v", "--debug"), ""),
        (("login", "-v", "--debug", "-o", "tsv"), NEW),
    ):
        secrets.add(_token(context))
        answer = bookcli(*words, stdin=typed)
        written += answer.out + answer.err
        secrets.add(_token(context))
    assert len(secrets) >= 6
    kept = session_file.path(context.paths, context.settings)
    files = [path for path in own_environment.rglob("*") if path.is_file() and path != kept]
    written += "".join(path.read_text(errors="replace") for path in files)
    written += "".join(path.read_text(errors="replace") for path in (server.paths.postgres / "log").iterdir())
    assert not [secret for secret in secrets if secret in written]


def test_no_token_and_no_password_is_an_argument_of_any_process(context: Context) -> None:
    command = [sys.executable, "-m", "bookcli.cli.main", "login", "ana"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    before, seen = _token(context), set()
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment) as running:
        assert running.stdin is not None
        running.stdin.write(PASSWORD.encode())
        running.stdin.close()
        while running.poll() is None:
            for place in Path("/proc").glob("[0-9]*"):
                try:
                    seen.add((place / "cmdline").read_bytes() + (place / "environ").read_bytes())
                except OSError:
                    continue
    assert running.returncode == 0
    assert any(b"bookcli.cli.main\x00login\x00ana" in words for words in seen), "the command itself was looked at"
    secrets = (PASSWORD.encode(), before.encode(), _token(context).encode())
    assert not [words for words in seen if any(secret in words for secret in secrets)]


def test_a_password_cannot_be_an_argument(bookcli: Shell) -> None:
    for words in (("login", "ana", PASSWORD), ("login", "ana", "--password", PASSWORD), ("passwd", PASSWORD)):
        answer = bookcli(*words, stdin=PASSWORD)
        assert answer.code == 2


def test_at_a_terminal_the_password_is_hidden(context: Context) -> None:
    terminal = _typing("login", "ana")
    terminal.expect("Password of ana:")
    terminal.waitnoecho()
    terminal.sendline(PASSWORD)
    terminal.expect(r"Signed in as ana \(desk\)\.")
    shown = terminal.before
    assert _ended(terminal) == 0
    assert PASSWORD not in shown
    assert staff.whoami(Context(context.settings, context.paths)).name == "ana"


def test_a_new_password_is_asked_for_twice_and_refused_when_both_differ(bookcli: Shell) -> None:
    bookcli("login", "ana", stdin=PASSWORD)
    for again, code in (("something different", 2), (NEW, 0)):
        terminal = _typing("passwd")
        for question, answer in (("until now:", PASSWORD), ("New password:", NEW), ("The same again:", again)):
            terminal.expect(question)
            terminal.waitnoecho()
            terminal.sendline(answer)
        terminal.expect("differ" if code else r"Changed\.")
        assert _ended(terminal) == code
        assert bookcli("login", "ana", stdin=PASSWORD).code == (0 if code else 5)
    assert bookcli("login", "ana", stdin=NEW).code == 0


@pytest.mark.parametrize("words", [("login", "ana"), ("passwd",), ("staff", "add", "ben")], ids=" ".join)
def test_ctrl_c_at_the_question_changes_nothing(
    words: tuple[str, ...], context: Context, owner: engine.Connection
) -> None:
    owner.execute(
        "UPDATE app.staff SET key_hash = x.key_hash, salt = x.salt, passes = 2, memory_kib = 19456, lanes = 1"
        " FROM app.staff x WHERE x.name = 'ana' AND app.staff.name = %s",
        (STAFF,),
    )
    changed = "SELECT count(*), max(audit_id) FROM app.audit"
    before = (owner.execute(changed).fetchone(), _token(context))
    terminal = _typing(*words)
    terminal.expect("assword.*:")
    terminal.waitnoecho()
    terminal.send("half a pass")
    terminal.sendcontrol("c")
    terminal.expect("\r\nInterrupted")
    assert _ended(terminal) == 130
    assert (owner.execute(changed).fetchone(), _token(context)) == before


def test_a_closed_terminal_is_an_end_of_input() -> None:
    terminal = _typing("login", "ana")
    terminal.expect("Password of ana:")
    terminal.waitnoecho()
    terminal.sendeof()
    terminal.expect("cannot be asked for here")
    assert _ended(terminal) == 2


def test_a_terminal_without_questions_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOKCLI_NO_INPUT", "1")
    terminal = _typing("login", "ana")
    terminal.expect("Nobody can be asked here")
    assert _ended(terminal) == 2


def test_a_process_of_its_own_reads_the_password_from_a_file() -> None:
    assert process("login", "ana", stdin=f"{PASSWORD}\n").code == 0
    assert process("whoami", "-o", "ids").out == "ana\n"
