"""`bookcli selftest race`: the promise that no place is sold twice, tried on this very server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .command import Desk, new_app
from .output import View

if TYPE_CHECKING:
    from ..core.services.selftest import RaceReport

RACE = View(
    "races",
    "seed",
    ("processes", "seconds", "attempts", "wins", "ambiguous", "busy", "violations", "bound", "seed"),
)


def register(app: typer.Typer) -> None:
    """Adds the command group."""
    group = new_app("Try to break the promises on a scratch database.")
    group.command("race")(race)
    app.add_typer(group, name="selftest")


def race(
    desk: Desk,
    processes: Annotated[int, typer.Option("--processes", metavar="N", min=1, max=64, help="How many at once.")] = 8,
    seconds: Annotated[float, typer.Option("--seconds", metavar="S", min=0.1, max=3600, help="For how long.")] = 5.0,
    seed: Annotated[int | None, typer.Option("--seed", help="Wish for the same things again.")] = None,
) -> None:
    """Let many processes book, move and cancel a few places of a scratch database; exit code 1 if a promise broke.

    \b
    Examples:
      bookcli selftest race
      bookcli selftest race --processes 32 --seconds 60 --json
    """
    from ..core.services import selftest  # noqa: PLC0415 - the driver comes after the words are understood

    report = selftest.race(desk.context, processes=processes, seconds=seconds, seed=seed)
    desk.output.show(RACE, [_record(report)], sentence=_sentence(report), extra={"broken": report.broken})
    if report.violations:
        raise typer.Exit(1)


def _record(report: RaceReport) -> dict[str, Any]:
    return {name: getattr(report, name) for name in RACE.fields}


def _sentence(report: RaceReport) -> str:
    lines = [
        f"{report.attempts:,} attempts by {report.processes} processes in {report.seconds:g} s.",
        f"{report.wins:,} won a place, {report.busy:,} gave up in the crowd, {report.ambiguous:,} answers were lost.",
        f"Violations: {report.violations}" + "".join(f"\n  {rule}" for rule in report.broken),
    ]
    if report.bound is not None:
        lines.append(f"So with 95 % certainty fewer than {report.bound:.2g} of all attempts break a promise (3/N).")
    return "\n".join([*lines, f"Seed: {report.seed}"])
