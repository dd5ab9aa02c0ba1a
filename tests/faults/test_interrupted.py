"""Ctrl-C at each step of `bookcli book`: whatever has happened by then, the desk can learn it, and it happens once.

What must stay true: the signal comes at a known step, so that none of them is left to chance.
"""

from __future__ import annotations

import os
import subprocess
import sys
import uuid

import pytest

from bookcli.core.adapters.spool import WAITING, Spool
from bookcli.core.config import Settings
from bookcli.core.context import Context
from bookcli.core.services import appointments, pending
from tests.clinic import Clinic, same_session
from tests.processes import REPOSITORY

NOWHERE = "postgresql://desk@127.0.0.1:1/bookcli"
"""Nobody listens there."""


def interrupted(clinic: Clinic, step: str, key: uuid.UUID, address: str) -> subprocess.CompletedProcess[str]:
    """`bookcli book` for the first patient, interrupted at a step."""
    words = ["book", "--patient", "P1", "--test", "mri", "--slot", str(clinic.slot("mri")), "--key", str(key)]
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.interrupted_process", step, *words],
        env={**os.environ, "BOOKCLI_DATABASE_URL": address},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("step", "booked"),
    [
        ("before it connects", 0),
        ("when it has connected", 0),
        ("before it asks", 0),
        ("when it was told", 1),
        ("before it prints", 1),
        ("when it has printed", 1),
    ],
)
def test_ctrl_c_at_each_step_says_the_key_and_the_key_tells_the_rest(clinic: Clinic, step: str, booked: int) -> None:
    key = uuid.uuid4()
    done = interrupted(clinic, step, key, clinic.context.dsn)
    assert (done.returncode, f"--key {key}" in done.stderr) == (130, True), done.stderr
    assert clinic.row("SELECT count(*) FROM appointment") == (booked,)
    assert Spool(clinic.context.paths.spool).count(WAITING) == 0
    again = appointments.book(clinic.context, clinic.request(1, "mri", clinic.slot("mri"), key))
    assert again.outcome == "booked"
    assert clinic.row("SELECT count(*) FROM appointment") == (1,)
    assert clinic.sound()


@pytest.mark.parametrize(
    ("step", "kept"), [("before the request is on the disk", 0), ("when the request is on the disk", 1)]
)
def test_ctrl_c_while_a_request_is_kept_says_the_key_whether_it_is_or_not(clinic: Clinic, step: str, kept: int) -> None:
    key = uuid.uuid4()
    with Context(Settings(database_url=NOWHERE), clinic.context.paths) as there:
        same_session(there)
    done = interrupted(clinic, step, key, NOWHERE)
    assert (done.returncode, f"--key {key}" in done.stderr) == (130, True), done.stderr
    assert "PENDING" not in done.stderr + done.stdout
    with Context(Settings(database_url=NOWHERE), clinic.context.paths) as there:
        assert [item.name.key for item in pending.items(there)] == [key] * kept
