"""A patient who is in the database is nowhere else: not in logs, arguments, errors or files.

What must stay true: the servers log as much as they can, and what is looked for is shown to be found where it may be.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bookcli.core import config
from bookcli.core.context import Context
from tests import clinic as clinics
from tests.cli.commands import Answer, process
from tests.secure_servers import Clusters, SecurePostgres
from tests.servers import load_schema

NAME, NUMBER, PHONE, NOTE = "Canarina Zeisig", "CANARY-77", "+49301234567", "Kanarienvogel"
CANARIES = ("Canarina", "Zeisig", "canarina", "zeisig", "301234567", NOTE, "1951-02-03", "canarina@example.org")
TALKATIVE = {
    "log_statement": "all",
    "log_min_duration_statement": "0",
    "log_min_messages": "debug1",
    "log_error_verbosity": "verbose",
    "log_min_error_statement": "debug5",
    "log_parameter_max_length": "-1",
    "log_parameter_max_length_on_error": "-1",
    "debug_print_plan": "off",
}
PATIENT = {
    "name": NAME,
    "birth_date": "1951-02-03",
    "phone": PHONE,
    "email": "canarina@example.org",
    "note": NOTE,
    "mrn": NUMBER,
}


@pytest.fixture(scope="module")
def server() -> Iterator[SecurePostgres]:
    """A PostgreSQL as Debian ships it that logs everything, with the clinic in it."""
    clusters = Clusters()
    try:
        with clusters.server(None, **TALKATIVE) as running:
            load_schema(running.dsn())
            clinics.fill(running.dsn())
            yield running
    finally:
        clusters.close()


@pytest.fixture
def desk(server: SecurePostgres, monkeypatch: pytest.MonkeyPatch) -> Context:
    """A desk of it that is signed in; commands are at the same desk."""
    address = server.dsn()
    monkeypatch.setenv("BOOKCLI_DATABASE_URL", address)
    with Context(config.Settings(database_url=address)) as context:
        clinics.sign_in(context)
        context.keep(context.session)
    return context


class Watcher:
    """Reads the arguments and the environment of every process of this machine until it is told to stop."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.005):
            for one in Path("/proc").glob("[0-9]*"):
                for part in ("cmdline", "environ"):
                    try:
                        self.seen.add((one / part).read_text(errors="replace"))
                    except OSError:
                        continue


def _everything_a_desk_does() -> list[Answer]:
    """Commands that work and commands that fail, with the patient in all of them."""
    day = ("--site", "north", "--on", "+2d")
    row = f"{NUMBER},{NAME},x{PHONE}"
    return [
        process("patient", "add", stdin=json.dumps(PATIENT)),
        process("patient", "add", stdin=json.dumps(PATIENT)),
        process("patient", "add", stdin=json.dumps({**PATIENT, "mrn": "X", "birth_date": "Canarina 1951"})),
        process("patient", "add", stdin=json.dumps({**PATIENT, "mrn": "X", "phone": "Zeisig"})),
        process("patient", "add", stdin=json.dumps({**PATIENT, "mrn": "X", "name": NAME * 99})),
        process("patient", "edit", NUMBER, stdin=json.dumps({"note": NOTE + "\x00"})),
        process("patient", "edit", NUMBER, stdin=json.dumps({"email": "canarina@@example.org"})),
        process("patient", "find", "--debug", stdin=f"{NAME}\n"),
        process("book", "--patient", NUMBER, "--test", "mri", *day, "-v", "--debug"),
        process("book", "--patient", NUMBER, "--test", "blood", *day, "--debug"),
        process("book", "--patient", NUMBER, "--test", "nothing", *day, "--debug"),
        process("patient", "history", NUMBER),
        process("agenda", *day),
        process("export", "patients", "-"),
        process("import", "patients", "-", "--report", "report.csv", stdin=f"mrn,name,phone\n{row}\n"),
    ]


def test_a_patient_is_in_no_log_argument_environment_or_error(
    server: SecurePostgres, desk: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Watcher() as watcher:
        said = _everything_a_desk_does()
    codes = [answer.code for answer in said]
    assert codes[0] == 0 and {2, 3, 4} <= set(codes) and 1 not in codes, codes
    assert any(NAME in answer.out for answer in said), "what is looked for is there"
    assert any("book" in seen and NUMBER in seen for seen in watcher.seen), "the watcher sees arguments"
    places = {
        "the server's log": server.said(),
        "arguments and environments": "\n".join(watcher.seen),
        "what was said beside the answers": "\n".join(answer.err for answer in said),
        "files of the desk": "\n".join(path.read_text(errors="replace") for path in _files(desk)),
    }
    assert "app.save_patients" in places["the server's log"], "the log has the statements"
    for place, text in places.items():
        assert [canary for canary in CANARIES if canary in text] == [], place


def _files(desk: Context) -> list[Path]:
    roots = (desk.paths.state, desk.paths.data, desk.paths.config)
    return [path for root in roots for path in root.rglob("*") if path.is_file()]


_BREAKS_A_RULE = "UPDATE app.patient SET sex = 'none of them' WHERE mrn = %s"


def _somebody(server: SecurePostgres, desk: Context, number: str) -> None:
    """Adds somebody who has the canary's name, and breaks a rule of the table with their row, as only the owner can."""
    rows = json.dumps([{"mrn": number, "name": NAME, "note": NOTE}])
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("SELECT * FROM app.save_patients(%s::jsonb, %s)", (rows, desk.token))
        with pytest.raises(psycopg.errors.CheckViolation) as quoted:
            connection.execute(_BREAKS_A_RULE, (number,))
    assert NAME in str(quoted.value), "the server quotes the row to whoever owns it"


def test_an_error_inside_the_database_does_not_quote_the_patient_into_the_log(
    server: SecurePostgres, desk: Context
) -> None:
    """Even when somebody goes past the library and the kernel: the row that breaks a rule stays out of the log."""
    _somebody(server, desk, "CANARY-78")
    assert "violates check constraint" in server.said()
    assert NAME not in server.said() and NOTE not in server.said()


def test_without_the_settings_of_the_schema_the_log_would_quote_the_patient(
    server: SecurePostgres, desk: Context
) -> None:
    """The control: the same error on the same server, with one setting of the database taken back."""
    before = len(server.said())
    with psycopg.connect(server.dsn(), autocommit=True) as owner:
        owner.execute("ALTER DATABASE postgres RESET log_error_verbosity")
    _somebody(server, desk, "CANARY-79")
    assert NAME in server.said()[before:]
