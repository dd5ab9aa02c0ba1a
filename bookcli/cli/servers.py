"""`bookcli up`, `down`, `status` and `doctor`: the servers behind this desk, and what is wrong if something is."""

from __future__ import annotations

import dataclasses
from typing import Any

import typer

from .command import Desk
from .output import View

SERVERS = View(
    "servers",
    "name",
    ("name", "ours", "running", "version", "pid", "where"),
    (
        ("Server", lambda record: record["name"]),
        ("State", lambda record: "running" if record["running"] else "stopped"),
        ("Version", lambda record: record["version"]),
        ("Pid", lambda record: str(record["pid"] or "")),
        ("Where", lambda record: record["where"]),
    ),
)
CHECKS = View(
    "checks",
    "check",
    ("check", "well", "found", "advice"),
    (
        ("", lambda record: "✓ well" if record["well"] else "✗ failed"),
        ("Check", lambda record: record["check"]),
        ("Found", lambda record: record["found"]),
        ("What to do", lambda record: "" if record["well"] else record["advice"]),
    ),
)
FOREIGN = (
    "The database is named by BOOKCLI_DATABASE_URL: it is somebody else's, and bookcli neither starts nor stops it."
)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("up")(up)
    app.command("down")(down)
    app.command("status")(status)
    app.command("doctor")(doctor)


def up(desk: Desk) -> None:
    """Start the local servers, unless they run. Any command does so by itself when it needs them.

    \b
    Examples:
      bookcli up
    """
    from ..core.services import servers  # noqa: PLC0415 - the driver comes after the words are understood

    if not desk.context.embedded:
        desk.talk.note(FOREIGN)
    states = servers.up(desk.context)
    desk.output.show(SERVERS, _records(states))


def down(desk: Desk) -> None:
    """Stop the local servers. Nothing is lost; the next command that needs them starts them again.

    \b
    Examples:
      bookcli down
    """
    from ..core.services import servers  # noqa: PLC0415 - the driver comes after the words are understood

    if not desk.context.embedded:
        desk.talk.note(FOREIGN)
    stopped = servers.down(desk.context)
    sentence = f"Stopped {' and '.join(stopped)}." if stopped else "No local server was running."
    records = [{"name": name, "ours": True, "running": False} for name in stopped]
    desk.output.show(SERVERS, records, sentence=sentence)


def status(desk: Desk) -> None:
    """Show which servers there are and whether they run; starts nothing. Exit code 1 when the database is away.

    \b
    Examples:
      bookcli status
      bookcli status --json
    """
    from ..core.services import desk as lights  # noqa: PLC0415 - the driver comes after the words are understood
    from ..core.services import servers  # noqa: PLC0415 - likewise

    states = servers.status(desk.context)
    desk.output.show(SERVERS, _records(states))
    if not states[0].running:
        desk.talk.note("Start it: bookcli up" if states[0].ours else FOREIGN)
        raise typer.Exit(1)
    if lights.waits_for_a_worker(desk.context):
        desk.talk.note("Messages wait, and no worker is seen to send them: bookcli worker run")


def doctor(desk: Desk) -> None:
    """Look for what is wrong with this installation and say what to do; changes nothing. Exit code 1 if something is.

    \b
    Examples:
      bookcli doctor
      bookcli doctor --json
    """
    from ..core.services import servers  # noqa: PLC0415 - the driver comes after the words are understood

    findings = servers.doctor(desk.context)
    desk.output.show(CHECKS, _records(findings), extra={"well": all(one.well for one in findings)})
    if not all(one.well for one in findings):
        raise typer.Exit(1)


def _records(found: Any) -> list[dict[str, Any]]:
    return [dataclasses.asdict(one) for one in found]
