"""The self-test races on a scratch database, finds nothing on a sound one and something on a broken one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bookcli.core.context import Context
from bookcli.core.db import schema
from bookcli.core.errors import InvalidInput
from bookcli.core.services import selftest

REPOSITORY = Path(__file__).parents[3]


def _databases(owning: Context) -> list[str]:
    rows = owning.connection().execute("SELECT datname FROM pg_database WHERE datname LIKE 'bookcli_check_%'")
    return [name for (name,) in rows]


def test_a_race_on_a_sound_database_breaks_no_promise_and_leaves_nothing(owning: Context) -> None:
    report = selftest.race(owning, processes=4, seconds=1, seed=7)
    assert (report.violations, report.broken, report.seed) == (0, [], 7)
    assert report.attempts > report.processes
    assert report.wins > 0
    assert report.bound == 3 / report.attempts
    assert _databases(owning) == []
    assert owning.connection().execute("SELECT count(*) FROM slot").fetchone() == (0,)


def test_a_race_sees_a_broken_kernel(owning: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = schema.text()
    broken = sound.replace("SET booked = s.booked + d.wanted,", "SET booked = greatest(s.booked, d.wanted),")
    assert broken != sound
    monkeypatch.setattr(schema, "text", lambda: broken)
    report = selftest.race(owning, processes=2, seconds=1)
    assert report.violations > 0
    assert report.bound is None
    assert _databases(owning) == []


@pytest.mark.parametrize(("processes", "seconds"), [(0, 1), (65, 1), (1, 0), (1, 3601)])
def test_a_race_has_bounds(owning: Context, processes: int, seconds: float) -> None:
    with pytest.raises(InvalidInput):
        selftest.race(owning, processes=processes, seconds=seconds)


def test_the_command_prints_figures_as_json(owning: Context) -> None:
    words = ["selftest", "race", "--processes", "2", "--seconds", "0.5", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "bookcli.cli.main", *words], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    answer = json.loads(done.stdout)
    (race,) = answer["races"]
    assert (answer["version"], answer["broken"], race["violations"], race["processes"]) == (1, [], 0, 2)
    assert race["attempts"] > 0
