"""Books what a dialog has: turns what is held into a booking, or books without a hold; asks again until it is known.

What must stay true: while nobody knows whether a hold was turned into a booking nothing else is booked instead of it;
whoever has booked is told what came of it, in the dialog or, when that was left, by a toast, and nobody else is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..core.errors import OUTAGES, BookcliError, OutcomeUnknown, Refused, Unavailable
from ..core.model.appointments import Outcome, sentence
from ..core.model.requests import new_key
from ..core.services import reception
from ..core.services.reception import Wanted
from ..core.services.visits import Part
from .calls import AGAIN_SECONDS
from .holding import Held, Holding
from .kit import SIGN_IN
from .screens.answer import PENDING, UNKNOWN
from .undoing import of_appointment

if TYPE_CHECKING:
    from .app import DeskApp

MARGIN_SECONDS = 5.0
"""How long after the end of a hold it is surely over, whatever a clock and a network do."""

NOT_KNOWN = "The answer of the database is not there yet. It may still be booked, or kept as PENDING; you are told."


class Settling:
    """One booking on its way. `answered` is told what came of it, `failed` of an error, `waits` that it takes long."""

    def __init__(
        self,
        desk: DeskApp,
        holding: Holding,
        answered: Callable[[Outcome], None],
        failed: Callable[[BookcliError], None],
        waits: Callable[[], None],
    ) -> None:
        self._desk, self._holding = desk, holding
        self._answered, self._failed, self._waits = answered, failed, waits
        self._wanted: Wanted | None = None
        self._held: Held | None = None
        self._left = False
        self._staff = ""
        self.under_way = False
        self.unknown = False
        self.problem: BookcliError | None = None

    @property
    def held(self) -> Held | None:
        """The hold that is being turned into a booking."""
        return self._held

    def begin(self, patient: str, parts: tuple[Part, ...], note: str) -> None:
        """Books; the same again under the same key, so that it is booked once."""
        before = self._wanted
        wanted = Wanted(patient, parts, new_key(), note)
        if before is None or (before.patient, before.parts, before.note) != (patient, parts, note):
            self._wanted = wanted
        held = self._holding.held
        self._held = held if held is not None and (held.patient, held.parts) == (patient, parts) else None
        self.under_way, self.unknown, self.problem = True, False, None
        self._staff = self._desk.calls.staff
        self._go()

    def if_left(self) -> str:
        """What becomes of it when the dialog is left now."""
        if self.under_way:
            return NOT_KNOWN
        holds = self._holding.held is not None or self._holding.on_its_way
        return "Nothing is booked, and the place is given back." if holds else "Nothing is booked or held."

    def leave(self) -> None:
        """The dialog has gone and gives nothing back: what comes of it is told by a toast."""
        self._left = True
        self._holding.booked()

    def _go(self) -> None:
        if self._staff not in ("", self._desk.calls.staff):
            return  # nothing is asked for whoever sits here now
        assert self._wanted is not None
        held = self._held
        if held is not None and not self.unknown and held.seconds < -MARGIN_SECONDS:
            self._held = None
            self._holding.lost()
        if self._held is not None:
            args = (reception.confirm, self._held.reference, self._wanted.note)
            self._desk.calls.ask(self._desk, *args, on_done=self._done, on_error=self._not_confirmed)
        else:
            ask = self._desk.calls.ask
            ask(self._desk, reception.book, self._wanted, on_done=self._done, on_error=self._lost)

    def _done(self, outcome: Outcome) -> None:
        self.under_way = False
        if outcome.outcome == "refused":
            # A refusal is kept under its key; the next attempt is another question.
            self._wanted = None
        (self._tell if self._left else self._answered)(outcome)

    def _tell(self, outcome: Outcome) -> None:
        if outcome.outcome == "booked":
            say_booked(self._desk, outcome)
        elif outcome.outcome == "refused":
            self._desk.toast(f"REFUSED  {sentence(outcome.reason or 'refused', outcome.numbers)}", "error")
        else:
            word, what, _ = PENDING if outcome.outcome == "pending" else UNKNOWN
            self._desk.toast(f"{word} {what}", "warning")

    def _lost(self, problem: BookcliError) -> None:
        self.under_way = False
        (self._desk.failed if self._left else self._failed)(problem)

    def _not_confirmed(self, problem: BookcliError) -> None:
        away = isinstance(problem, Unavailable) and problem.code in OUTAGES
        locked = problem.code in SIGN_IN
        if isinstance(problem, OutcomeUnknown) or away or locked:
            self.problem = problem
            self.unknown = self.unknown or isinstance(problem, OutcomeUnknown)
            if locked:
                self._desk.explain(problem)
            elif not self._left:
                self._waits()
            self._desk.set_timer(AGAIN_SECONDS, self._go)
        elif isinstance(problem, Refused) and problem.code == "hold-expired":
            self._held, self.unknown = None, False
            self._holding.lost()
            self._go()
        else:
            self._lost(problem)


def say_booked(desk: DeskApp, outcome: Outcome) -> None:
    """Names all that was booked; how it is taken back is remembered by the first, as of every visit."""
    names = [one.reference for one in outcome.verdicts if one.reference]
    many = f"{len(names)} appointments: " if len(names) > 1 else ""
    desk.did(f"BOOKED {many}{', '.join(names)}.", of_appointment(names[0]) if names else None)
