"""What the key for undo takes back: the last thing done at this desk, or what the database has of the same person.

What must stay true: nothing is taken back that nobody has been shown: neither a toast nor a question has named it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from ..core import clock
from ..core.errors import BookcliError, OutcomeUnknown, Unavailable
from .calls import Later
from .kit import Confirm

if TYPE_CHECKING:
    from ..core.services import closings, undo
    from .app import DeskApp
else:
    closings, undo = Later("closings"), Later("undo")

SECONDS = 600.0
"""How long something can be taken back."""
UNKNOWN = "◷ UNKNOWN — perhaps taken back, perhaps not. The answer was lost: look at it before anything else."


@dataclass(frozen=True, slots=True)
class Undo:
    """How something that was done is taken back: `service(context, *args)`, until so many seconds of the clock.

    What the service answers, if that is a text, is said; `sentence` otherwise.
    """

    sentence: str
    service: Callable[..., Any]
    args: tuple[Any, ...] = ()
    until: float = 0.0


def of_appointment(reference: str) -> Undo:
    """How whatever was just done to an appointment is taken back, by the database's own memory."""
    return Undo("", undo.told, (reference,))


class Undos:
    """What was done at this desk since it was started, the last one first to go."""

    def __init__(self, desk: DeskApp) -> None:
        self._desk = desk
        self._done: list[Undo] = []

    def add(self, done: Undo) -> None:
        """Remembers how it is taken back."""
        self._done.append(replace(done, until=done.until or time.monotonic() + SECONDS))

    def clear(self) -> None:
        """Somebody else sits here."""
        self._done.clear()

    def take_back(self) -> None:
        """Takes back the last; of what was done before the start the database knows, and it is asked about first."""
        now = time.monotonic()
        while self._done and self._done[-1].until < now:
            self._done.pop()
        if self._done:
            self._take(self._done.pop())
        else:
            self._desk.calls.ask(self._desk, undo.last, on_done=self._asked, group="undo")
            self._desk.ahead.until_answered(self._desk, "undo")

    def _take(self, done: Undo) -> None:
        taken, kept = partial(self._taken, done), partial(self._not_taken, done)
        self._desk.calls.ask(self._desk, done.service, *done.args, on_done=taken, on_error=kept)

    def _not_taken(self, done: Undo, problem: BookcliError) -> None:
        """In an outage it can still be taken back later, and comes first again."""
        if isinstance(problem, OutcomeUnknown):
            # Who presses the key once more means this one: what was done before it is asked about first.
            self.clear()
            self._desk.toast(UNKNOWN, "warning")
            self._reload()
            return
        if isinstance(problem, Unavailable):
            self.add(done)
        self._desk.failed(problem)

    def _taken(self, done: Undo, told: object) -> None:
        self._desk.toast(told if isinstance(told, str) else done.sentence)
        self._reload()

    def _reload(self) -> None:
        """What is on the screen is read again."""
        for screen in {*self._desk.views(), *self._desk.screen_stack}:
            if callable(reload := getattr(screen, "reload", None)):
                reload()

    def _asked(self, last: Mapping[str, Any] | None) -> None:
        if last is None:
            self._desk.toast("There is nothing to take back.")
            return
        minutes = int((clock.now() - last["done_at"]).total_seconds() // 60)
        ago = f"{minutes} min ago" if minutes > 0 else "just now"
        begins = f"{clock.to_local(last['starts_at'], last['zone']):%a %d %b %H:%M}"
        if last["action"] == "close":
            what = f"close {last['resource'] or 'the whole site'}"
            ends = f"{clock.to_local(last['ends_at'], last['zone']):%a %d %b %H:%M}"
            where = f"{last['site']}, closed from {begins} to {ends}"
            more = " It is open again, and who was moved with it is back."
            take = Undo("", closings.taken_back, (last["closure"],))
        else:
            what, where = f"{last['action']} {last['reference']}", f"{last['test']} on {begins} at {last['site']}"
            more, take = "", of_appointment(last["reference"])
        question = Confirm(f"Take back: {what}?", f"{where}, done by you {ago}.{more}", yes="Take back")
        self._desk.show(question, lambda agreed: self._take(take) if agreed else None)
