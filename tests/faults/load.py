"""Desks that book as long as they are let, each a process of its own with a journal of what it was told.

What must stay true: an answer is in the journal, on disk, before the next question is asked; so whatever breaks, the
journal knows what was promised. Run with -m; the address is BOOKCLI_DATABASE_URL, the arguments are the journal's
path and a seed.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import psycopg

from bookcli.core import clock
from bookcli.core.config import Settings, paths
from bookcli.core.context import Context
from bookcli.core.db import engine, gateway, kernel, schema
from bookcli.core.errors import BookcliError, OutcomeUnknown, Unavailable
from bookcli.core.model.requests import BookingRequest, Place, new_key
from bookcli.core.model.staff import SignedIn
from bookcli.core.services import appointments
from tests.clinic import STAFF, sign_in
from tests.faults.programs import wait_until
from tests.processes import REPOSITORY

CAPACITIES = (1, 5, 50, 500)
"""One resource each: places that are gone at once, and places that last as long as a fault does."""

TIMES, PATIENTS = 400, 400
LONGEST_PAUSE = 0.02


@dataclass(frozen=True)
class Entry:
    """One answer: acknowledged, refused, pending, unknown, away, or failed (a bug). Moments are monotonic seconds.

    What is pending, and mostly what is unknown, is kept in the desk's spool; `away` means that nothing was kept.
    """

    asked: float
    answered: float
    answer: str
    reason: str
    key: str
    reference: str
    patient: str
    slot: int

    @property
    def request(self) -> BookingRequest:
        """What was asked for, with the same key."""
        return BookingRequest(self.patient, "load", Place(slot=self.slot), uuid.UUID(self.key))


class Load:
    """Use with `with`: the desks work inside the block. The journals stay in `directory`.

    With `owner`, the address of who owns the database, they are desks that somebody has signed in; without it they
    must own the database themselves.
    """

    def __init__(
        self, dsn: str, directory: Path, *, processes: int = 4, seed: int = 0, redis_url: str = "", owner: str = ""
    ) -> None:
        self._dsn, self._owner, self.directory, self.seed = dsn, owner, directory, seed
        self._journals = [directory / f"journal-{n}.ndjson" for n in range(processes)]
        self.homes = [directory / f"desk-{n}" for n in range(processes)]
        self._more = {"BOOKCLI_REDIS_URL": redis_url} if redis_url else {}
        self._desks: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Load:
        self.directory.mkdir(parents=True, exist_ok=True)
        for n, (journal, home) in enumerate(zip(self._journals, self.homes, strict=True)):
            environ = {**os.environ, **self._more, "BOOKCLI_DATABASE_URL": self._dsn, "BOOKCLI_HOME": str(home)}
            if self._owner:
                _sign_in_at(home, self._dsn, self._owner)
            words = [sys.executable, "-m", "tests.faults.load", str(journal), f"{self.seed}/{n}"]
            self._desks.append(subprocess.Popen(words, cwd=REPOSITORY, env=environ))
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Sends the desks home, each after its answer; harmless when they have gone."""
        for desk in self._desks:
            desk.terminate()
        try:
            for desk in self._desks:
                desk.wait(40)
        finally:
            for desk in self._desks:
                desk.kill()

    def entries(self) -> list[Entry]:
        """All answers so far, in the order in which they were given."""
        found = [entry for journal in self._journals for entry in read(journal)]
        return sorted(found, key=lambda entry: entry.answered)

    def wait_for_bookings(self, many: int, seconds: float = 60) -> None:
        """Until so many more bookings have been asked for from now on and acknowledged."""
        now = time.monotonic()

        def enough() -> bool:
            assert all(desk.poll() is None for desk in self._desks), "a desk has ended"
            return sum(one.answer == "acknowledged" and one.asked > now for one in self.entries()) >= many

        wait_until(enough, seconds, f"{many} bookings are acknowledged")


def _sign_in_at(home: Path, dsn: str, owner: str) -> None:
    """Leaves a session at a desk, as `bookcli login` does."""
    with contextlib.closing(engine.connect(owner)) as connection:
        token, expires_at = gateway.sign_in_here(connection, STAFF)
    with Context(Settings(database_url=dsn), paths({"BOOKCLI_HOME": str(home)})) as desk:
        desk.keep(SignedIn(token, STAFF, "manager", expires_at))


def read(journal: Path) -> Iterator[Entry]:
    """The entries of a journal; the last line may be half written."""
    with contextlib.suppress(FileNotFoundError):
        for line in journal.read_bytes().splitlines(keepends=True):
            if line.endswith(b"\n"):
                yield Entry(**json.loads(line))


def fill(dsn: str) -> None:
    """Loads the schema into an empty database, and makes what the desks book."""
    connection = engine.connect(dsn)
    try:
        schema.load(connection)
        connection.token, _ = gateway.sign_in_here(connection, STAFF)
        kernel.save(connection, "sites", [{"code": "load", "zone": "UTC"}])
        kernel.save(connection, "tests", [{"code": "load", "duration_minutes": 10}])
        codes = [f"r{capacity}" for capacity in CAPACITIES]
        kernel.save(connection, "resources", [{"site": "load", "code": code, "tests": ["load"]} for code in codes])
        kernel.save(connection, "patients", [{"mrn": f"P{n}", "name": f"Patient {n}"} for n in range(PATIENTS)])
        found = connection.execute("SELECT code, resource_id FROM app.resource").fetchall()
        for code, resource in found:
            kernel.publish(connection, _slots(resource, int(code.removeprefix("r"))))
    finally:
        connection.close()


def _slots(resource: int, capacity: int) -> list[dict[str, Any]]:
    first = clock.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
    starts = [first + timedelta(minutes=10 * n) for n in range(TIMES)]
    return [
        {
            "resource_id": resource,
            "starts_at": start.isoformat(),
            "ends_at": (start + timedelta(minutes=10)).isoformat(),
            "local_start": start.replace(tzinfo=None).isoformat(),
            "capacity": capacity,
        }
        for start in starts
    ]


def ask(context: Context, request: BookingRequest) -> Entry:
    """Asks once, as a desk does, and says what came of it."""
    asked = time.monotonic()
    answer, reason, reference = _answer(context, request)
    slot = request.place.slot or 0
    return Entry(asked, time.monotonic(), answer, reason, str(request.key), reference, request.patient, slot)


def _answer(context: Context, request: BookingRequest) -> tuple[str, str, str]:
    try:
        outcome = appointments.book(context, request)
    except Unavailable as away:
        return "away", away.code, ""
    except OutcomeUnknown as unknown:
        return "unknown", unknown.code, ""
    except (BookcliError, RuntimeError) as bug:
        return "failed", f"{type(bug).__name__} {bug}", ""
    if outcome.outcome == "booked":
        return "acknowledged", "", outcome.verdicts[0].reference or ""
    return outcome.outcome, outcome.reason or "", ""


def work(journal: Path, seed: str, dsn: str) -> None:
    """Books random places for random patients until it is told to end."""
    chance = random.Random(seed)
    told_to_end: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: told_to_end.append(number))
    slots = _published(dsn)
    with Context() as context, journal.open("ab") as written:
        while context.session is None and not told_to_end:
            with contextlib.suppress(Unavailable, OutcomeUnknown):  # the network loses this too
                sign_in(context)
        while not told_to_end:
            place = Place(slot=chance.choice(slots))
            request = BookingRequest(f"P{chance.randrange(PATIENTS)}", "load", place, new_key())
            entry = ask(context, request)
            written.write(json.dumps(asdict(entry)).encode() + b"\n")
            written.flush()
            os.fsync(written.fileno())
            time.sleep(chance.uniform(0, LONGEST_PAUSE))


def _published(dsn: str) -> list[int]:
    """The slots, asked for again when the network has cut the connection."""
    for _ in range(20):
        with (
            contextlib.suppress(psycopg.OperationalError, Unavailable, OutcomeUnknown),
            contextlib.closing(engine.connect(dsn)) as connection,
        ):
            rows = connection.execute("SELECT slot_id FROM app.slot ORDER BY slot_id").fetchall()
            return [number for (number,) in rows]
    raise AssertionError("nobody says which slots there are")


if __name__ == "__main__":
    work(Path(sys.argv[1]), sys.argv[2], os.environ["BOOKCLI_DATABASE_URL"])
