"""`bookcli worker`: run, look at, pause and resume the processes that send messages.

What must stay true: front ends do not import each other; the worker is started by its name, as a shell would.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from ..core.errors import InvalidInput
from .command import Desk, new_app
from .output import View

STATE = View(
    "worker",
    "workers",
    ("workers", "busy", "queued", "failed_jobs", "paused", "due", "oldest_seconds", "put_off", "alive", "tasks"),
)
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
    metrics_port: Annotated[
        int | None, typer.Option("--metrics-port", min=1, max=65535, help="Serve numbers for Prometheus there.")
    ] = None,
    metrics_address: Annotated[
        str, typer.Option("--metrics-address", metavar="ADDRESS", help="For others than this machine: 0.0.0.0.")
    ] = "127.0.0.1",
    log_format: Annotated[
        str, typer.Option("--log-format", help="text or json; without, text on a terminal and json elsewhere.")
    ] = "",
) -> None:
    """Send messages until told to stop (SIGTERM, Ctrl-C); the message in hand is finished.

    Any number may run, on any machines.

    \b
    Examples:
      bookcli worker run
      bookcli worker run --processes 4 --metrics-port 9464 --log-format json
    """
    if log_format not in ("", "text", "json"):
        raise InvalidInput("There is no such form of log.", hint="text or json", code="log-format-unknown")
    _worker("logs").begin(log_format)
    metrics = (metrics_address, metrics_port) if metrics_port else None
    _worker("running").run(desk.context, processes=processes, burst=burst, metrics=metrics)


def status(desk: Desk) -> None:
    """Show which workers run, what waits, what stands in the way, and when each task was last done.

    \b
    Examples:
      bookcli worker status --json
    """
    state = _worker("control").status(desk.context)
    desk.output.show(STATE, [state], sentence="\n".join(_sentences(state)))


def _sentences(state: dict[str, Any]) -> Iterator[str]:
    """The state of the workers as somebody reads it."""
    paused = ", paused: bookcli worker resume" if state["paused"] else ""
    yield f"{state['workers']} workers, {state['busy']} busy{paused}"
    yield from (f"  {one['host']} {one['pid']}, {one['state']}, since {one['since']}" for one in state["alive"])
    if state["due"] is None:
        yield "How many messages wait cannot be seen: the database is away, or this takes a manager."
    else:
        late = f", the first for {state['oldest_seconds']} s" if state["due"] else ""
        yield f"{state['due']} messages are due{late}; {state['queued']} batches queued, {state['failed_jobs']} failed"
        yield from (f"  {count} put off: {why}" for why, count in sorted(state["put_off"].items()))
    for one in state["tasks"]:
        what = one["problem"] or f"{one['done']} done"
        yield f"{one['task']}: {what}, last {one['age_seconds']} s ago on {one['host']}"


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
