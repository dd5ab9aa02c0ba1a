"""Whoever came in one spring in Vitória is booked again in weeks to come, and gets a reminder when it is time.

The file is that of tests/test_vitoria.py, or one of the same shape; a part of it, moved by whole weeks.
"""

from __future__ import annotations

import csv
import subprocess
from collections import Counter
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from bookcli.core import clock
from bookcli.core.services import schedules
from tests.clinic import Clinic
from tests.test_vitoria import HERE, REAL, make_file, rows_of
from tests.worker.conftest import BOOKCLI, Workers
from tests.worker.mail_server import MailServer

ZONE = ZoneInfo("America/Sao_Paulo")
PART = slice(0, None, 25)
SITES = 6


def moved(tmp_path: Path) -> tuple[Path, list[dict[str, str]]]:
    """A file with some rows of the largest neighbourhoods, the first day of which is some day of the coming week."""
    asked = rows_of(REAL if REAL.is_file() else make_file(tmp_path / "whole.csv"))
    places = {name for name, _ in Counter(row["NEIGHBOURHOOD"] for row in asked).most_common(SITES)}
    part = [row for row in asked if row["NEIGHBOURHOOD"] in places and row["PATIENTID"].endswith(".0")][PART]
    first = min(date.fromisoformat(row["APPOINTMENTDAY"]) for row in part)
    tomorrow = clock.now().astimezone(ZONE).date() + timedelta(days=1)
    weeks = timedelta(weeks=-(-(tomorrow - first).days // 7))
    for row in part:
        row["APPOINTMENTDAY"] = str(date.fromisoformat(row["APPOINTMENTDAY"]) + weeks)
    with (tmp_path / "moved.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(part[0]))
        writer.writeheader()
        writer.writerows(part)
    return tmp_path / "moved.csv", part


def test_reminders_are_as_many_as_are_booked_in_the_window_and_all_are_sent(
    clinic: Clinic, workers: Workers, mail: MailServer, tmp_path: Path
) -> None:
    file, asked = moved(tmp_path)
    mapping = tmp_path / "appointments.toml"
    kept = (HERE / "vitoria" / "appointments.toml").read_text(encoding="utf-8")
    mapping.write_text(kept.replace('status = "fulfilled"\n', ""), encoding="utf-8")
    for kind, form in (("sites", "sites.toml"), ("resources", "resources.toml"), ("schedules", "hours.toml")):
        if kind == "resources":
            run(tmp_path, "import", "tests", str(HERE / "vitoria" / "tests.csv"))
        run(tmp_path, "import", kind, str(file), "--mapping", str(HERE / "vitoria" / form))
    days = sorted(date.fromisoformat(row["APPOINTMENTDAY"]) for row in asked)
    schedules.publish(clinic.context, days[0], days[-1], resource="room")
    report = tmp_path / "report.csv"
    run(
        tmp_path,
        "import",
        "appointments",
        str(file),
        "--mapping",
        str(mapping),
        "--create-patients",
        "--report",
        str(report),
    )
    clinic.run("UPDATE patient SET email = 'p' || patient_id || '@patients.example'")

    # The window ends on a Sunday, when nobody has an appointment, so that it may end at any hour.
    today = datetime.now(ZONE).date()
    window = next(n for n in range(14, 21) if (today + timedelta(days=n)).isoweekday() == 7)
    booked = [row for row in rows_of(report) if row["bookcli_verdict"] == "booked"]
    due = [row for row in booked if date.fromisoformat(row["APPOINTMENTDAY"]) < today + timedelta(days=window)]
    assert len(asked) * 0.9 < len(booked) and 0 < len(due) < len(booked)
    for _ in range(2):
        run(tmp_path, "remind", "--within", f"{window}d")
    made = dict(clinic.rows("SELECT kind, count(*)::int FROM notification GROUP BY kind"))
    assert made == {"confirmation": len(booked), "reminder": len(due)}

    workers.burst()
    assert len(mail.accepted) == len(booked) + len(due) == len(mail.ids)
    reminders = sum(str(message["Subject"]).startswith("Reminder") for message in mail.accepted)
    assert reminders == len(due) and clinic.sound()


def run(directory: Path, *words: str) -> None:
    done = subprocess.run([BOOKCLI, *words], cwd=directory, capture_output=True, text=True, timeout=300)
    assert done.returncode in (0, 6), done.stderr
