"""`bookcli import` as real processes: exit codes, what is said where, two at once, and kill -9 in the middle."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.clinic import Clinic

ROWS = 6000


def bookcli(*words: str, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        _program(*words), cwd=cwd, input=stdin, capture_output=True, text=True, timeout=60, env=_environment()
    )


def _program(*words: str) -> list[str]:
    return [sys.executable, "-m", "bookcli.cli.main", *words]


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def many_rows(clinic: Clinic, path: Path, rows: int = ROWS) -> None:
    """Appointments of many patients on all days of the laboratory; far more than fit are refused."""
    lines = [f"M{n},blood,north,{clinic.day(1 + n % 10)},Patient {n}" for n in range(rows)]
    path.write_text("\n".join(["patient,test,site,day,patient_name", *lines, ""]), encoding="utf-8")


def counts(clinic: Clinic) -> tuple[int, ...]:
    changes = "audit WHERE action NOT LIKE 'look-%%'"
    tables = ("appointment", "request", "occupancy", "patient", "notification", changes)
    return tuple(int(clinic.row(f"SELECT count(*) FROM {table}")[0]) for table in tables)


def rows_of(report: Path) -> list[dict[str, str]]:
    with report.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_file_that_is_all_applied_ends_with_0_and_counts_its_rows(clinic: Clinic, tmp_path: Path) -> None:
    (tmp_path / "f.csv").write_text(f"patient,test,site,day\nP1,blood,north,{clinic.day(2)}\n", encoding="utf-8")
    done = bookcli("import", "appointments", "f.csv", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["version"] == 1 and summary["rows"] == 1 and summary["refused"] == 0
    assert summary["verdicts"] == [{"verdict": "booked", "rows": 1, "applied": True}]
    assert "1 rows: 1 booked" in done.stderr and (tmp_path / "f.report.csv").exists()


def test_refused_rows_end_with_6_and_stdin_is_read(clinic: Clinic, tmp_path: Path) -> None:
    rows = f"patient,test,site,day\nP1,blood,north,{clinic.day(2)}\nP99,blood,north,{clinic.day(2)}\n"
    done = bookcli("import", "appointments", "-", cwd=tmp_path, stdin=rows)
    assert done.returncode == 6, done.stderr
    assert done.stdout.splitlines() == ["verdict\trows\tapplied", "booked\t1\tyes", "patient-unknown\t1\tno"]
    assert [row["bookcli_verdict"] for row in rows_of(tmp_path / "import-report.csv")] == ["booked", "patient-unknown"]


def test_a_dry_run_names_the_first_bad_rows_and_writes_a_report_only_when_asked_to(
    clinic: Clinic, tmp_path: Path
) -> None:
    rows = [f"P{n},blood,north,{clinic.day(2)}" for n in (1, *range(90, 102))]
    (tmp_path / "f.csv").write_text("\n".join(["patient,test,site,day", *rows, ""]), encoding="utf-8")
    words = ("import", "appointments", "f.csv", "--dry-run")
    tried = bookcli(*words, cwd=tmp_path)
    assert (tried.returncode, [one.name for one in tmp_path.rglob("*.csv*")]) == (6, ["f.csv"])
    said = tried.stderr.splitlines()
    assert said[-12] == "Dry run, nothing was kept: 13 rows: 12 patient-unknown, 1 booked."
    assert said[-11] == "  Line 3: There is no patient with that number."
    assert "2 more" in said[-1]
    summary = json.loads(bookcli(*words, "--json", "--report", "r.csv", cwd=tmp_path).stdout)
    assert (summary["report"], len(summary["first_refused"])) == ("r.csv", 10)
    assert len(rows_of(tmp_path / "r.csv")) == 13


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["appointments", "nothing.csv"], 4, "There is no file nothing.csv."),
        (["appointments", "."], 2, "is a directory"),
        (["appointments", "f.csv"], 2, "no column patient"),
        (["appointments", "f.csv", "--mapping", "nothing.toml"], 4, "There is no file nothing.toml."),
        (["appointments", "f.csv", "--map", "patent=name"], 2, "There is no field patent."),
        (["appointments", "f.csv", "--set", "patient"], 2, "A constant must be a field and its value."),
        (["sites", "f.csv", "--history"], 2, "are for appointments only."),
        (["sites", "f.csv", "--report", "nowhere/r.csv"], 2, "cannot be written"),
        (["cities", "f.csv"], 2, "cities"),
    ],
)
def test_what_cannot_be_begun_is_said_in_one_sentence(
    clinic: Clinic, tmp_path: Path, words: list[str], code: int, said: str
) -> None:
    (tmp_path / "f.csv").write_text("name,zone\nNew,Europe/Berlin\n", encoding="utf-8")
    before = counts(clinic)
    done = bookcli("import", *words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr and not done.stdout
    assert counts(clinic) == before


def test_two_imports_of_one_file_at_once_apply_it_once(clinic: Clinic, tmp_path: Path) -> None:
    many_rows(clinic, tmp_path / "f.csv", 2500)
    running = [
        subprocess.Popen(
            _program("import", "appointments", "f.csv", "--create-patients", "--report", f"{n}.csv"),
            cwd=tmp_path, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        for n in range(2)
    ]  # fmt: skip
    assert [(process.communicate()[1], process.returncode)[1] for process in running] == [6, 6]
    reports = [
        [(row["bookcli_verdict"], row["bookcli_reference"]) for row in rows_of(tmp_path / f"{n}.csv")] for n in range(2)
    ]
    booked = [reference for verdict, reference in reports[0] if verdict == "booked"]
    assert len(set(booked)) == len(booked) == counts(clinic)[0] == 640
    assert [reference for _, reference in reports[1] if reference] == booked
    assert clinic.sound()


def test_an_import_killed_in_the_middle_goes_on_when_started_again(clinic: Clinic, tmp_path: Path) -> None:
    many_rows(clinic, tmp_path / "f.csv")
    words = ("import", "appointments", "f.csv", "--create-patients")
    killed = subprocess.Popen(_program(*words), cwd=tmp_path, env=_environment(), stderr=subprocess.DEVNULL)
    while not counts(clinic)[0]:
        assert killed.poll() is None
        time.sleep(0.005)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "f.report.csv").exists()
    assert counts(clinic)[0] > 0 and counts(clinic)[1] < ROWS
    assert bookcli(*words, cwd=tmp_path).returncode == 6
    after, report = counts(clinic), rows_of(tmp_path / "f.report.csv")
    assert len(report) == ROWS and not (tmp_path / "f.report.csv.part").exists()
    assert sum(row["bookcli_verdict"] == "booked" for row in report) == after[0] == 640
    assert bookcli(*words, cwd=tmp_path).returncode == 6
    assert counts(clinic) == after and rows_of(tmp_path / "f.report.csv") == report and clinic.sound()


def test_ctrl_c_ends_with_130_and_says_how_far_it_got(clinic: Clinic, tmp_path: Path) -> None:
    many_rows(clinic, tmp_path / "f.csv", 20_000)
    words = _program("import", "appointments", "f.csv", "--create-patients")
    running = subprocess.Popen(words, cwd=tmp_path, env=_environment(), stderr=subprocess.PIPE, text=True)
    while counts(clinic)[1] < 5000:
        assert running.poll() is None
        time.sleep(0.005)
    running.send_signal(signal.SIGINT)
    said = running.communicate()[1]
    assert running.returncode == 130
    assert "Until then" in said and "Interrupted" in said
    assert not (tmp_path / "f.report.csv").exists() and not (tmp_path / "f.report.csv.part").exists()
    assert clinic.sound()


def test_an_export_is_what_an_import_reads(clinic: Clinic, tmp_path: Path) -> None:
    written = bookcli("export", "patients", cwd=tmp_path)
    assert written.returncode == 0 and written.stdout.startswith("mrn,name,birth_date")
    before = counts(clinic)
    done = bookcli("import", "patients", "-", "--json", cwd=tmp_path, stdin=written.stdout)
    assert json.loads(done.stdout)["verdicts"] == [{"verdict": "unchanged", "rows": 20, "applied": True}]
    assert counts(clinic) == before
    assert bookcli("export", "sites", "s.jsonl", cwd=tmp_path).returncode == 0
    assert json.loads((tmp_path / "s.jsonl").read_text(encoding="utf-8").splitlines()[0])["code"] == "north"
