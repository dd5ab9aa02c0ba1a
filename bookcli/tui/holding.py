"""A place that is held while somebody types: taken, changed, gone on with and given back, one question at a time.

What must stay true: whatever was taken is given back or booked; an answer that comes after the dialog has gone gives
back what it brought.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from ..core.errors import BookcliError, Refused
from ..core.model.appointments import Outcome, Verdict
from ..core.model.requests import new_key
from ..core.services import appointments, reception
from ..core.services.reception import Wanted
from ..core.services.visits import Part

if TYPE_CHECKING:
    from .app import DeskApp

SOON = 60.0
"""Seconds before the end from which a hold goes on while somebody is typing."""


@dataclass(frozen=True, slots=True)
class Held:
    """What is held: for whom and what, under which reference, and until when by the clock of the database.

    `ends` is the same moment by the monotonic clock of this desk, whose other clock may be wrong.
    """

    patient: str
    parts: tuple[Part, ...]
    verdicts: tuple[Verdict, ...]
    until: datetime
    ends: float

    @property
    def reference(self) -> str:
        """The reference of the first part, by which all are meant."""
        return self.verdicts[0].reference or ""

    @property
    def seconds(self) -> float:
        """How many seconds are left; less than nothing when it is over."""
        return self.ends - time.monotonic()


class Holding:
    """What a dialog holds. `changed` is told of every change, `refused` of an answer that is no hold."""

    def __init__(
        self,
        desk: DeskApp,
        changed: Callable[[], None],
        refused: Callable[[Outcome], None],
        failed: Callable[[BookcliError], None],
    ) -> None:
        self._desk, self._changed, self._refused, self._failed = desk, changed, refused, failed
        self.held: Held | None = None
        self.expired = False
        self._wanted: tuple[str, tuple[Part, ...]] | None = None
        self._asked: tuple[str, tuple[Part, ...]] | None = None
        self._busy = False
        self._over = False
        self._typed_at = self._asked_at = time.monotonic()

    @property
    def on_its_way(self) -> bool:
        """Whether an answer about a place is still to come."""
        return self._busy

    def want(self, patient: str, parts: tuple[Part, ...]) -> None:
        """From now on this is to be held; nothing when either is empty."""
        self._wanted = (patient, parts) if patient and parts else None
        self._go_on()

    def typed(self) -> None:
        """Somebody is at it."""
        self._typed_at = time.monotonic()

    def tick(self) -> None:
        """Once a second: a hold that is nearly over goes on while somebody types, and one that is over is none."""
        held = self.held
        if held is None or self._busy:
            return
        if held.seconds <= 0:
            self.held, self.expired = None, True
            self._changed()
        elif held.seconds < SOON and time.monotonic() - self._typed_at < SOON:
            self._busy, self._asked_at = True, time.monotonic()
            service, args = appointments.renew, (held.reference,)
            self._desk.calls.ask(self._desk, service, *args, on_done=self._renewed, on_error=self._not_renewed)

    def let_go(self) -> None:
        """The dialog leaves: what is held is given back, now or when the answer is there."""
        self._over, self._wanted = True, None
        self._go_on()

    def booked(self) -> None:
        """What was held is held no longer, because it is booked or will be; nothing is given back."""
        self._over, self.held, self._wanted = True, None, None

    def lost(self) -> None:
        """The place is gone, as the database says: it is not asked for again until somebody wants a place."""
        self.held = self._asked = self._wanted = None

    def hand_over(self) -> str:
        """Holds nothing any more; the reference of what was held, which whoever asks must give back, or nothing."""
        before, self.held = self.held, None
        self._wanted = self._asked = None
        if self._busy:
            # What is still to come is given back when it is there.
            self._asked = ("", ())
        self.expired = False
        return before.reference if before is not None else ""

    def again(self) -> None:
        """Asks once more for what is wanted."""
        self.expired, self._asked = False, None
        self._go_on()

    def _go_on(self) -> None:
        if self._busy or self._wanted == self._asked:
            return
        before, self.held = self.held, None
        reference = before.reference if before is not None else ""
        self._asked, self.expired = self._wanted, False
        if self._wanted is not None:
            self._busy, self._asked_at = True, time.monotonic()
            wanted = Wanted(*self._wanted, new_key())
            ask = self._desk.calls.ask
            ask(self._desk, reception.hold, reference, wanted, on_done=self._answered, on_error=self._not_held)
        elif reference:
            ask = self._desk.calls.ask
            ask(self._desk, reception.release, reference, quiet=self._over, on_error=lambda _: None)
        if not self._over:
            self._changed()

    def _answered(self, outcome: Outcome) -> None:
        self._busy = False
        if outcome.outcome == "held" and self._asked is not None:
            until = min(one.held_until for one in outcome.verdicts if one.held_until is not None)
            self.held = Held(*self._asked, outcome.verdicts, until, self._asked_at + appointments.HOLD_SECONDS)
        elif not self._over and self._asked == self._wanted:
            self._refused(outcome)
        self._after()

    def _not_held(self, problem: BookcliError) -> None:
        self._busy = False
        if not self._over:
            self._failed(problem)
        self._after()

    def _after(self) -> None:
        self._go_on()
        if not self._over:
            self._changed()

    def _renewed(self, verdicts: list[Verdict]) -> None:
        self._busy = False
        until = min((one.held_until for one in verdicts if one.held_until is not None), default=None)
        if self.held is not None and until is not None:
            self.held = replace(self.held, until=until, ends=self._asked_at + appointments.HOLD_SECONDS)
        self._after()

    def _not_renewed(self, problem: BookcliError) -> None:
        self._busy = False
        if isinstance(problem, Refused):
            self.held, self.expired = None, True
        self._after()
