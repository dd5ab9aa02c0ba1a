"""The entry point: help, unknown words, exit codes, streams that go away, bugs."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bookcli import __version__
from bookcli.cli import slots
from bookcli.cli.main import COMMANDS
from tests.cli.commands import Shell, all_commands, process
from tests.clinic import Clinic
from tests.servers import engine_connection


def test_the_version_is_one_line() -> None:
    assert process("--version").out == f"bookcli {__version__}\n"


def test_help_lists_every_command(bookcli: Shell) -> None:
    text = bookcli("--help").out
    assert bookcli().out == bookcli("-h").out == text
    for commands in COMMANDS.values():
        for name, (_, line) in commands.items():
            assert f"  {name:<14}{line}" in text


@pytest.mark.parametrize("words", all_commands(), ids=" ".join)
def test_every_command_explains_itself_with_an_example(bookcli: Shell, words: tuple[str, ...]) -> None:
    answer = bookcli(*words, "-h")
    assert answer.code == 0, answer.err
    assert answer.out == bookcli(*words, "--help").out
    assert "Examples:" in answer.out
    assert f"  bookcli {' '.join(words)}" in answer.out or f"bookcli {' '.join(words)} " in answer.out
    assert "--json" in answer.out


@pytest.mark.parametrize("words", [("patient",), ("site",), ("schedule",), ("db",)])
def test_a_group_lists_its_commands(bookcli: Shell, words: tuple[str, ...]) -> None:
    answer = bookcli(*words)
    assert answer.code in (0, 2)
    assert "list" in answer.out + answer.err or "add" in answer.out or "check" in answer.out


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("slot",), "slots"),
        (("bok", "--json"), "book"),
        (("patient", "finde"), "find"),
        (("slots", "--tst", "mri"), "--test"),
        (("help", "formts"), "formats"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_nearest(bookcli: Shell, words: tuple[str, ...], meant: str) -> None:
    answer = bookcli(*words)
    assert answer.code == 2
    assert meant in answer.err
    assert answer.out == ""


def test_options_in_front_of_the_command_are_explained(bookcli: Shell) -> None:
    answer = bookcli("--json", "slots")
    assert answer.code == 2
    assert answer.error["message"] == "Options come after the command."


def test_topics_of_help(bookcli: Shell) -> None:
    assert "BOOKCLI_DATABASE_URL" in bookcli("help", "environment").out
    assert "75" in bookcli("help", "exit-codes").out
    assert "ndjson" in bookcli("help", "formats").out
    assert "birth_date" in bookcli("help", "import-format").out
    assert bookcli("help", "book").out == bookcli("book", "-h").out
    assert bookcli("help", "patient", "add").out == bookcli("patient", "add", "-h").out


def test_a_reader_that_goes_away_is_not_an_error(clinic: Clinic) -> None:
    command = [sys.executable, "-m", "bookcli.cli.main", "slots", "--test", "blood", "-o", "ids"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen(command, stdout=write, stderr=subprocess.PIPE, env=environment) as running:
        os.close(write)
        _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (141, b"")


def test_a_full_disk_is_one_sentence(clinic: Clinic) -> None:
    command = [sys.executable, "-m", "bookcli.cli.main", "slots", "--test", "blood"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, env=environment, timeout=60)
    assert done.returncode == 75
    assert done.stderr.decode().splitlines()[0] == "The answer could not be written."


def test_a_closed_stdout_is_not_an_error(clinic: Clinic) -> None:
    command = f'exec "{sys.executable}" -m bookcli.cli.main slots --test mri >&-'
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, env=environment, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")


def test_ctrl_c_ends_a_question_with_130(clinic: Clinic, monkeypatch: pytest.MonkeyPatch, bookcli: Shell) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bookcli.core.services.slots.look", interrupted)
    answer = bookcli("slots", "--test", "mri")
    assert (answer.code, answer.err) == (130, "Interrupted.\n")


def test_a_database_that_is_away_is_said_with_75(bookcli: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOKCLI_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing")
    answer = bookcli("slots", "--test", "mri", "--json")
    assert answer.code == 75
    assert answer.out == ""
    assert answer.error["retryable"] is True
    assert answer.error["exit"] == 75


def test_a_bug_is_one_sentence_and_its_trace_is_logged_without_values(
    bookcli: Shell, own_environment: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("Ana Müller")

    monkeypatch.setattr(slots, "views", None)
    monkeypatch.setattr("bookcli.core.services.places.search", broken)
    answer = bookcli("slots", "--test", "mri")
    assert answer.code == 1
    assert "bookcli has a bug: KeyError" in answer.err
    assert "Traceback" not in answer.err
    assert "Müller" not in answer.err
    log = own_environment / "state" / "bookcli.log"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    entry = json.loads(log.read_text())
    assert entry["causes"][0]["error"] == "KeyError"
    assert entry["causes"][0]["frames"][-1]["function"] == "broken"
    assert "Müller" not in log.read_text()
    assert "Traceback" in bookcli("slots", "--test", "mri", "--debug").err


def test_a_command_that_is_not_installed_is_said(bookcli: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMMANDS["Booking"], "slots", ("no_such_module", ""))  # type: ignore[index, arg-type]
    answer = bookcli("slots", "--test", "mri")
    assert (answer.code, answer.err) == (2, "That command is not part of this installation.\n")


def test_a_booking_that_is_interrupted_says_its_key(clinic: Clinic) -> None:
    """The row of the slot is locked by somebody else, so that the command waits for it."""
    slot = clinic.slot("mri")
    with engine_connection(clinic.owner_dsn) as holder, holder.transaction():
        holder.execute("SELECT pg_advisory_xact_lock(1, %s)", (slot,))
        command = [sys.executable, "-m", "bookcli.cli.main", "book", "--patient", "P1", "--test", "mri"]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        with subprocess.Popen([*command, "--slot", str(slot)], stderr=subprocess.PIPE, env=environment) as running:
            waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            until = time.monotonic() + 30
            while not clinic.row(waiting)[0] and time.monotonic() < until:
                time.sleep(0.02)
            running.send_signal(signal.SIGINT)
            _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert b"--key" in err
