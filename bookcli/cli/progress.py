"""How far something long is, on stderr: a bar on a terminal, a line every ten seconds anywhere else."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from .diagnostics import Talk

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

_SECONDS_BETWEEN_LINES = 10
_SECONDS_BEFORE_BAR = 0.5


class Progress:
    """Call `reached` as often as you like."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._total: int | None = None
        self._begun = self._said = time.monotonic()
        self._bar: Bar | None = None
        self._shows_bar = sys.stderr is not None and sys.stderr.isatty()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def reached(self, rows: int, total: int | None) -> None:
        """Shows that so many rows are done, of `total` if anybody knows."""
        self._total = total
        if self._talk.quiet:
            return
        now = time.monotonic()
        if not self._shows_bar and now - self._said >= _SECONDS_BETWEEN_LINES:
            self._said = now
            self._talk.note(self._line(rows, now - self._begun))
        elif self._shows_bar and now - self._begun >= _SECONDS_BEFORE_BAR:
            self._show(rows)

    @property
    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self._begun

    def _line(self, rows: int, seconds: float) -> str:
        rate = rows / max(seconds, 0.001)
        if not self._total or self._total < rows:
            return f"{rows:,} rows, {rate:,.0f} rows/s"
        left = (self._total - rows) / max(rate, 0.001)
        return f"{rows:,} of about {self._total:,} rows, {rate:,.0f} rows/s, about {left:,.0f} s left"

    def _show(self, rows: int) -> None:
        if self._bar is None:
            self._bar = _bar(self._total)
        self._bar.update(self._bar.task_ids[0], completed=rows, rate=f"{rows / self.seconds:,.0f} rows/s")


def _bar(total: int | None) -> Bar:
    from rich import progress  # noqa: PLC0415 - 60 ms that only a terminal pays
    from rich.console import Console  # noqa: PLC0415 - likewise

    bar = progress.Progress(
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.completed:,.0f} rows  {task.fields[rate]}"),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    bar.add_task("", total=total, rate="")
    bar.start()
    return bar
