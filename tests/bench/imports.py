"""Imported appointments per second, all rules on, against COPY of the resulting rows into the same indexed tables."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg

from . import ground
from .ground import Ground

ROWS = 40_000
TABLES = ("appointment", "occupancy", "request", "notification", "audit")
_COLUMNS = (
    "SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute "
    "WHERE attrelid = ('app.' || %s)::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = ''"
)


def measure(place: Ground, *, rounds: int = 3) -> Iterator[str]:
    """One line; the time of the import is that of the whole command, start-up included."""
    imported, copied = [], []
    with tempfile.TemporaryDirectory() as directory:
        source = _source(Path(directory))
        for _ in range(rounds):
            place.create("imported")
            imported.append(ROWS / _import(place, source))
            place.create("copied")
            copied.append(ROWS / _copy(place, Path(directory)))
    a, b = ground.median(imported), ground.median(copied)
    yield f"import, all rules on: {a:,.0f} rows/s, COPY into the same tables {b:,.0f} rows/s, ratio {a / b:.2f}"


def _source(directory: Path) -> Path:
    source = directory / "appointments.csv"
    with source.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["patient", "test", "slot"])
        writer.writerows((f"B{n * 7 + 1}", "bench", 1 + n * 37 % ground.SLOTS) for n in range(ROWS))
    return source


def _import(place: Ground, source: Path) -> float:
    bookcli = str(Path(sys.executable).with_name("bookcli"))
    home = str(place.paths.data.parent)
    environment = {**os.environ, "BOOKCLI_DATABASE_URL": place.desk_dsn("imported"), "BOOKCLI_HOME": home}
    command = [bookcli, "import", "appointments", str(source), "--report", str(source.with_suffix(".report")), "-q"]
    begun = time.monotonic()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    elapsed = time.monotonic() - begun
    with psycopg.connect(place.dsn("imported")) as connection:
        assert connection.execute("SELECT count(*) FROM app.appointment").fetchone() == (ROWS,)
    return elapsed


def _copy(place: Ground, directory: Path) -> float:
    elapsed = 0.0
    with _open(place, "imported") as source, _open(place, "copied") as target:
        target.execute("SET statement_timeout = 0")
        for table in TABLES:
            found = source.execute(_COLUMNS, (table,)).fetchone()
            assert found
            # Both databases begin with the audit of the sign-in they were made with.
            there = target.execute("SELECT coalesce(max(audit_id), 0) FROM app.audit").fetchone() or (0,)
            new = f"WHERE audit_id > {there[0]}" if table == "audit" else ""
            chosen = f"COPY (SELECT {found[0]} FROM app.{table} {new}) TO STDOUT"
            kept = directory / table
            with kept.open("wb") as stream, source.cursor().copy(chosen) as rows:
                for row in rows:
                    stream.write(row)
            begun = time.monotonic()
            with kept.open("rb") as stream, target.cursor().copy(f"COPY app.{table} ({found[0]}) FROM STDIN") as copy:
                while block := stream.read(1 << 20):
                    copy.write(block)
            elapsed += time.monotonic() - begun
    return elapsed


def _open(place: Ground, database: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(place.dsn(database), autocommit=True)
