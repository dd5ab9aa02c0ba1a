"""Bookings per second through the core library, 16 processes, against pgbench calling the same kernel function."""

from __future__ import annotations

import itertools
import multiprocessing
import random
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bookcli.core.adapters.local_sockets import ROLE
from bookcli.core.model.requests import BookingRequest, Place
from bookcli.core.services import appointments

from . import ground
from .ground import Ground

CLIENTS = 16
PATIENTS_EACH = 1000
"""More than one client books in one round."""
SCRIPT = """\\set n :n + 1
\\set p :base + :client_id * {stride} + :n
\\set s {slot}
SELECT * FROM {call};
"""
REQUESTS = """jsonb_build_array(jsonb_build_object(
  'key', gen_random_uuid(), 'patient', 'B' || :p, 'test', 'bench', 'slot', :s))"""
AS_A_DESK = f"app.book({REQUESTS}, token => '{{token}}')"
"""What a desk calls."""


def measure(place: Ground, *, seconds: int = 5, rounds: int = 3) -> Iterator[str]:
    """One line for slots spread, one for one hot slot."""
    for name, hot in (("spread over 10,000 slots", False), ("one hot slot", True)):
        place.create("bookings")
        bases = itertools.count(0, CLIENTS * PATIENTS_EACH)
        ours, theirs = [], []
        for _ in range(rounds):
            theirs.append(pgbench(place, "bookings", hot, next(bases), seconds))
            ours.append(_library(place, hot, next(bases), seconds))
        a, b = ground.median(ours), ground.median(theirs)
        yield f"bookings, {name}: library {a:,.0f}/s, pgbench {b:,.0f}/s, ratio {a / b:.2f}"


def pgbench(place: Ground, database: str, hot: bool, base: int, seconds: int, call: str = AS_A_DESK) -> float:
    """Bookings per second of 16 clients of pgbench, each for other patients, at one slot or at all.

    What a desk calls is called as a desk, anything else as whoever owns the server.
    """
    user = ground.DESK if call == AS_A_DESK else ROLE
    slot = str(ground.HOT_SLOT) if hot else f"random(1, {ground.SLOTS})"
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        said = call.replace("{token}", place.context(database).token or "")
        script.write(SCRIPT.format(slot=slot, stride=PATIENTS_EACH, call=said))
        script.flush()
        command = [
            place.programs / "pgbench", "-h", place.socket_directory, "-U", user, "-n", "-c", str(CLIENTS),
            "-j", "2", "-T", str(seconds), "-D", "n=0", "-D", f"base={base}", "-f", script.name, database,
        ]  # fmt: skip
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = re.search(r"tps = ([\d.]+)", printed)
    assert found, printed
    return float(found.group(1))


def _library(place: Ground, hot: bool, base: int, seconds: int) -> float:
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Barrier(CLIENTS)
    with spawn.Pool(CLIENTS, _remember, (ready,)) as pool:
        jobs = [
            (str(place.paths.data.parent), hot, base + client * PATIENTS_EACH, seconds) for client in range(CLIENTS)
        ]
        return sum(pool.map(_book_for, jobs, chunksize=1))


_barrier = None


def _remember(barrier: object) -> None:
    global _barrier
    _barrier = barrier


def _book_for(job: tuple[str, bool, int, int]) -> float:
    home, hot, base, seconds = job
    from bookcli.core import config

    place = Ground(config.paths({"BOOKCLI_HOME": home}), Path())
    chance = random.Random(base)
    with place.context("bookings") as context:
        context.connection()
        _barrier.wait()  # type: ignore[attr-defined]
        begun = time.monotonic()
        for n in itertools.count(1):
            slot = ground.HOT_SLOT if hot else chance.randint(1, ground.SLOTS)
            outcome = appointments.book(context, BookingRequest(f"B{base + n}", "bench", Place(slot=slot)))
            assert outcome.outcome == "booked", outcome.reason
            elapsed = time.monotonic() - begun
            if elapsed > seconds:
                return n / elapsed
    raise AssertionError
