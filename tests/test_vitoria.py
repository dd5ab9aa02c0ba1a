"""The appointments of one spring in Vitória, Brazil, imported by the documented commands: every row gets a verdict.

The file itself is not part of the project (its licence is non-commercial). Where it is not beside the project, one of
the same shape is made.
"""

from __future__ import annotations

import csv
import os
import random
import subprocess
import sys
from collections import Counter
from datetime import date, timedelta
from pathlib import Path

import pytest

from bookcli.core.context import Context
from bookcli.core.db import engine, kernel

HERE = Path(__file__).parent
REAL = HERE.parents[1] / "shared" / "data" / "vitoria-appointments-2016.csv"
PLACES_A_DAY = 36
COLUMNS = ("PATIENTID", "APPOINTMENTID", "GENDER", "SCHEDULEDDAY", "APPOINTMENTDAY", "AGE", "NEIGHBOURHOOD", "NO_SHOW")
NEIGHBOURHOODS = ["CARATOÍRA", "SÃO JOSÉ", "JOANA D´ARC", "MARUÍPE", *(f"BAIRRO {n}" for n in range(74))]


@pytest.fixture
def appointments_file(tmp_path: Path) -> Path:
    if REAL.is_file():
        return REAL
    return make_file(tmp_path / "vitoria.csv")


def make_file(path: Path) -> Path:
    """11,053 rows over 78 neighbourhoods: one id is no whole number, one clinic has more on some days than fit."""
    chance = random.Random(2016)
    days = [date(2016, 4, 29) + timedelta(days=n) for n in range(41)]
    days = [day for day in days if day.weekday() < 5 or day == date(2016, 5, 14)]
    weekdays = [day for day in days if day.weekday() < 5]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(COLUMNS)
        for n in range(11_053):
            patient = f"{chance.randrange(10**8, 10**15)}.0" if n != 5000 else "39217.84439"
            busy = n % 300 == 0
            place = NEIGHBOURHOODS[0] if busy else chance.choice(NEIGHBOURHOODS)
            day = weekdays[3] if busy else days[11] if n % 3000 == 1 else chance.choice(weekdays)
            moment = f"{day - timedelta(days=n % 20)} 08:{n % 60:02}:00"
            writer.writerow((patient, 5_600_000 + n, "FM"[n % 3 == 0], moment, day, n % 90, place, ""))
    return path


PROGRAM = [sys.executable, "-m", "bookcli.cli.main"]


def run(words: list[str], directory: Path) -> int:
    environment = {**os.environ, "BOOKCLI": " ".join(PROGRAM), "PYTHONPATH": str(HERE.parent)}
    done = subprocess.run(words, env=environment, cwd=directory, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 6), done.stderr
    return done.returncode


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def counts(owner: engine.Connection) -> tuple[int, ...]:
    changes = "audit WHERE action NOT LIKE 'look-%'"
    tables = ("site", "resource", "schedule", "slot", "patient", "appointment", "request", "occupancy", changes)
    found = [owner.execute(f"SELECT count(*) FROM app.{table}".encode()).fetchone() for table in tables]
    return tuple(row[0] for row in found if row)


def test_every_row_of_vitoria_gets_a_verdict_and_whoever_fits_is_booked(
    context: Context, owner: engine.Connection, appointments_file: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report.csv"
    file, directory = str(appointments_file), HERE / "vitoria"
    assert run(["sh", str(directory / "prepare.sh"), file, str(report)], tmp_path) == 6
    asked, answered = rows_of(appointments_file), rows_of(report)
    verdicts = Counter(row["bookcli_verdict"] for row in answered)
    assert len(answered) == len(asked) == 11_053
    assert set(verdicts) == {"booked", "slot-full", "not-an-integer"} and verdicts["not-an-integer"] == 1
    assert verdicts["slot-full"] == _too_many(asked)
    assert all(row["bookcli_reason"] for row in answered if row["bookcli_verdict"] != "booked")

    before = counts(owner)
    assert before[0] == 78 and before[5] == verdicts["booked"] == len(
        {row["bookcli_reference"] for row in answered} - {""}
    )
    assert [rule for rule, violations in kernel.verify(context.connection()) if violations] == []
    assert owner.execute("SELECT count(*) FROM app.notification").fetchone() == (0,)

    options = ["--mapping", str(directory / "appointments.toml"), "--history", "--create-patients"]
    again = tmp_path / "again.csv"
    assert run([*PROGRAM, "import", "appointments", file, *options, "--report", str(again)], tmp_path) == 6
    assert counts(owner) == before and rows_of(again) == answered


def _too_many(asked: list[dict[str, str]]) -> int:
    """How many rows with a usable number want more than a clinic's places on one day."""
    days = Counter((row["NEIGHBOURHOOD"], row["APPOINTMENTDAY"]) for row in asked if row["PATIENTID"].endswith(".0"))
    return sum(max(wanted - PLACES_A_DAY, 0) for wanted in days.values())


def test_a_file_of_the_same_shape_can_be_made(tmp_path: Path) -> None:
    asked = rows_of(make_file(tmp_path / "made.csv"))
    assert len(asked) == 11_053 and len({row["NEIGHBOURHOOD"] for row in asked}) == 78 and _too_many(asked) > 0
