"""CPU time of whole commands against a script that imports the driver, connects and runs one query."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from . import ground
from .ground import Ground

RUNS = 31
_SCRIPT = """import os, psycopg
with psycopg.connect(os.environ["BOOKCLI_DATABASE_URL"], autocommit=True) as connection:
    print(connection.execute("SELECT count(*) FROM app.site").fetchone())
"""


def measure(place: Ground) -> Iterator[str]:
    """One line a command; the runs of all sides alternate."""
    place.create("cold")
    bookcli = str(Path(sys.executable).with_name("bookcli"))
    environment = {
        **os.environ,
        "BOOKCLI_DATABASE_URL": place.desk_dsn("cold"),
        "BOOKCLI_HOME": str(place.paths.data.parent),
    }
    slots = [bookcli, "slots", "--test", "bench", "--site", "bench", "--on", "+21d", "--first", "20", "--json"]
    figures: dict[str, list[float]] = {"script": [], "slots": [], "book": []}
    for run in range(RUNS):
        book = [bookcli, "book", "--patient", f"B{run + 1}", "--test", "bench", "--slot", str(run + 1), "--json"]
        for name, command in (("script", [sys.executable, "-c", _SCRIPT]), ("slots", slots), ("book", book)):
            figures[name].append(cpu_seconds(command, environment))
    script = ground.median(figures["script"])
    for name in ("slots", "book"):
        command_time = ground.median(figures[name])
        yield (
            f"cold bookcli {name}: {1000 * command_time:.0f} ms of CPU, script with psycopg {1000 * script:.0f} ms, "
            f"ratio {command_time / script:.2f}"
        )


def cpu_seconds(command: Sequence[str], environment: dict[str, str]) -> float:
    """What a whole process takes of both processors together."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
