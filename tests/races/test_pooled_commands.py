"""Two hundred `bookcli book` at one moment through a pool of twenty server connections.

What must stay true: each command is a process of its own with an installation of its own, and what it was told, or
what its spool came to say, is all that is counted. They are forked from one that has imported everything, because two
hundred interpreters that start on two processors do not ask at the same moment.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from bookcli.cli.main import main
from bookcli.core.config import Settings, paths
from bookcli.core.context import Context
from bookcli.core.services import pending
from tests.clinic import CAPACITY, Clinic
from tests.pooler import occupied, pooled
from tests.processes import Crowd
from tests.races.conftest import Publish
from tests.races.test_races import _add_patients

DESKS, POOL, SLOTS = 200, 20, 30
PLACES = SLOTS * CAPACITY["lab"]
DEADLINE = 8.0
STARVED = 8.0
"""Seconds that the pool and the database may be without a processor while two hundred commands want one."""
KEPT = {75: "pending", 76: "unknown"}
"""The answers after which the request is kept at the desk and sent again under its key."""


class Told(NamedTuple):
    """How one command ended: its exit code, its JSON, and the seconds it took while it had a processor or waited."""

    code: int
    answer: dict[str, Any]
    seconds: float


def command(context: Context, home: str, words: list[str]) -> Told:
    """Runs a whole command at a desk of its own."""
    installation = paths({"BOOKCLI_HOME": home})
    os.environ.update(BOOKCLI_HOME=home, BOOKCLI_DATABASE_URL=context.dsn)
    session = context.session
    context.close()
    with Context(Settings(database_url=context.dsn), installation) as desk:
        desk.keep(session)
    begun, starved = time.monotonic(), _seconds_without_processor()
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.redirect_stderr(io.StringIO()) as talk:
        code = main(words)
    seconds = time.monotonic() - begun - (_seconds_without_processor() - starved)
    return Told(code, json.loads(said.getvalue() or talk.getvalue().splitlines()[-1]), seconds)


def _seconds_without_processor() -> float:
    """How long this process was ready and had to let others go first (Documentation/scheduler/sched-stats.rst)."""
    return int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9


@pytest.mark.parametrize("taken", [False, True], ids=["free", "taken"])
def test_two_hundred_bookings_through_twenty_connections_all_get_an_honest_answer(
    clinic: Clinic, crowd: Crowd, publish: Publish, tmp_path: Path, taken: bool
) -> None:
    _add_patients(clinic, DESKS)
    slots = [clinic.slot("blood", 1 + n // 10, n % 10) for n in range(SLOTS)]
    homes = [str(tmp_path / f"desk-{n}") for n in range(DESKS)]
    books = [_booking(n, slots[n % SLOTS]) for n in range(DESKS)]
    with pooled(clinic.context.dsn, size=POOL) as address:
        crowd.start(command, address, list(zip(homes, books, strict=True)))
        with occupied(address, POOL) if taken else contextlib.nullcontext():
            crowd.go()
            told = crowd.results()
        waiting = [home for home, one in zip(homes, told, strict=True) if one.code in KEPT]
        replay = ["pending", "replay", "--json"]
        sent = crowd.at_once(command, address, [(home, replay) for home in waiting]) if waiting else []
    ends = Counter(end for home, one in zip(homes, told, strict=True) for end in _ends(home, one))
    slowest = max(one.seconds for one in [*told, *sent])
    publish(attempts=DESKS, violations=abs(ends["booked"] - PLACES), pending=len(waiting), slowest=round(slowest, 1))
    assert {one.code for one in told} <= (set(KEPT) if taken else {0, 3, *KEPT})
    assert {one.code for one in sent} <= {0}
    assert ends == {"booked": PLACES, "refused": DESKS - PLACES}
    assert clinic.rows("SELECT count(*) FROM appointment WHERE active") == [(PLACES,)]
    assert slowest < DEADLINE + STARVED
    assert clinic.sound()


def _booking(patient: int, slot: int) -> list[str]:
    return ["book", "--patient", f"P{patient + 1}", "--test", "blood", "--slot", str(slot), "--json"]


def _ends(home: str, told: Told) -> list[str]:
    """What became of a desk's one request: what it was told, or what its spool says if that was not the end."""
    if told.code not in KEPT:
        return [str(told.answer["outcome"])]
    assert told.answer["outcome"] == KEPT[told.code]
    with Context(Settings(database_url="postgresql:///"), paths({"BOOKCLI_HOME": home})) as desk:
        return [item.outcome for item in pending.items(desk)]
