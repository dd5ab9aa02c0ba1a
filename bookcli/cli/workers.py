"""`bookcli worker`: run, look at, pause and resume the processes that send messages.

What must stay true: front ends do not import each other; the worker is started by its name, as a shell would.
"""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Annotated, Any

import typer

from .command import Desk, new_app
from .output import View

STATE = View("worker", "workers", ("workers", "busy", "queued", "failed_jobs", "paused"))
Processes = Annotated[int, typer.Option("--processes", min=1, max=64, help="How many batches are sent at once.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    worker = new_app("The processes that send messages, expire holds, seal the audit and send what desks have kept.")
    for command in (run, status, pause, resume):
        worker.command(command.__name__)(command)
    app.add_typer(worker, name="worker")


def run(
    desk: Desk,
    processes: Processes = 2,
    burst: Annotated[bool, typer.Option("--burst", help="End when nothing is left to be sent.")] = False,
) -> None:
    """Send messages until told to stop (SIGTERM, Ctrl-C); the message in hand is finished.

    Any number may run, on any machines.

    \b
    Examples:
      bookcli worker run
      bookcli worker run --processes 4
    """
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    _worker("running").run(desk.context, processes=processes, burst=burst)


def status(desk: Desk) -> None:
    """Show how many workers there are and what waits in their queue.

    \b
    Examples:
      bookcli worker status --json
    """
    desk.output.show(STATE, [_worker("control").status(desk.context)])


def pause(desk: Desk) -> None:
    """Let no worker, on any machine, begin another batch.

    \b
    Examples:
      bookcli worker pause
    """
    _worker("control").pause(desk.context)
    desk.talk.note("Paused. Messages wait in the database; bookcli worker resume sends them.")


def resume(desk: Desk) -> None:
    """End a pause.

    \b
    Examples:
      bookcli worker resume
    """
    _worker("control").go_on(desk.context)
    desk.talk.note("The workers go on.")


def _worker(module: str) -> Any:
    return importlib.import_module(f"worker.{module}")
