"""The README is true: its commands run in the order they stand in, and so does its library example."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from bookcli.cli.main import COMMANDS
from bookcli.core.context import Context
from bookcli.core.services import demo
from tests.servers import engine_connection
from tests.valkeys import Valkey

README = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")
BOOKCLI = Path(sys.executable).with_name("bookcli")
PLACEHOLDER = "7F3K-Q2MG"
ASK_FOR_A_PASSWORD = {"db", "login", "staff", "passwd"}
PASSWORDS = "words on a slip of paper\nwords of my own\n"


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def _commands() -> list[list[str]]:
    lines = [line for block in _blocks("console") for line in block.splitlines() if line.startswith("$ bookcli ")]
    return [shlex.split(line.removeprefix("$ bookcli "), comments=True) for line in lines]


def test_the_readme_names_every_command() -> None:
    for commands in COMMANDS.values():
        for name in commands:
            assert re.search(rf"\b{re.escape(name)}\b", README), name


def test_the_commands_of_the_readme_run(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str, valkey: Valkey
) -> None:
    demo.build(context)
    monkeypatch.setenv("BOOKCLI_DATABASE_URL", database)
    reference = PLACEHOLDER
    for words in _commands():
        words = [reference if word == PLACEHOLDER else word for word in words]
        if words[0] == "arrive":
            with engine_connection(database) as owner:  # the day of the appointment has come
                owner.execute("UPDATE slot SET local_start = now()::timestamp WHERE booked > 0")
        if words[:2] == ["db", "init"]:
            context.keep(None)  # whoever sets a database up is nobody yet
        typed = PASSWORDS if words[0] in ASK_FOR_A_PASSWORD else "okafor\n"
        done = subprocess.run([BOOKCLI, *words], cwd=tmp_path, input=typed, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        if words[0] == "hold":
            found = re.search(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}\b", done.stdout)
            assert found, done.stdout
            reference = found.group()
    assert reference != PLACEHOLDER


def test_the_library_example_of_the_readme_runs(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    demo.build(context)
    monkeypatch.setenv("BOOKCLI_DATABASE_URL", database)
    (example,) = _blocks("python")
    done = subprocess.run([sys.executable, "-c", example], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"[0-9A-Z]{4}-[0-9A-Z]{4}\n", done.stdout)
