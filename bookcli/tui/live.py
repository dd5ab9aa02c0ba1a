"""Views of a site that stay true by themselves: told of changes where there is Redis, asking elsewhere.

What must stay true: nothing is read that nobody sees, nor shown of another site than the chosen one; while reading
fails it is asked no oftener than where nobody tells of changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.timer import Timer

from ..core.errors import BookcliError
from ..core.model.board import Place
from .calls import Following as Follower
from .calls import Later
from .kit import View, text

if TYPE_CHECKING:
    from ..core.services import slots
else:
    slots = Later("slots")

POLL_SECONDS, CALM_SECONDS = 5.0, 60.0
"""Between two readings when nobody tells of changes, and when somebody does."""
BURST_SECONDS = 0.1
"""Changes that are told so shortly one after another are read together."""
READING = "reading"
"""What the question for what is shown is called, as in `Calls.ask`."""


class Following(View):
    """Asks again for what is shown of a site when its channel or the clock says so.

    Override `has_answer`, `question`, `show_answer` and `forget`, and what else differs; `tick` is called every second
    in front.
    """

    def __init__(self) -> None:
        super().__init__()
        self._read_at = self._asked_at = 0.0
        self._failing = False
        self._following: Follower | None = None
        self._followed = ""
        self._soon: Timer | None = None

    def on_mount(self) -> None:
        self.set_interval(1.0, self._tick)

    @property
    def has_answer(self) -> bool:
        """Whether something is on the screen."""
        raise NotImplementedError

    def question(self, site: Place) -> tuple[Callable[..., Any], *tuple[Any, ...]]:
        """The service that knows what is shown, and what it is asked with."""
        raise NotImplementedError

    def show_answer(self, found: Any) -> None:
        """Shows what the service has answered."""
        raise NotImplementedError

    def show_problem(self, problem: BookcliError) -> None:
        """Nothing could be read; the desk has been told."""

    def forget(self) -> None:
        """What is shown is of another site."""
        raise NotImplementedError

    def concerns(self, told: tuple[str, date]) -> bool:
        """Whether a change at (site, local day) is one of what is shown."""
        return True

    def tick(self) -> None:
        """Lets go on what goes on by the clock alone."""

    @property
    def burst(self) -> float:
        """Seconds: changes that are told so shortly one after another are read together."""
        return BURST_SECONDS

    @property
    def is_over(self) -> bool:
        """Whether what is shown has come to an end by the clock."""
        return False

    @property
    def is_kept(self) -> bool:
        """Whether what is shown is no answer of the database."""
        return self._failing

    # Reading

    def placed(self) -> None:
        self.forget()
        self.reload()

    def reload(self) -> None:
        """Asks for it; what is shown stays until the answer is there."""
        if self._soon is not None:
            self._soon.stop()
            self._soon = None
        site = self.desk.site
        # A look that nobody sees would be written down all the same; coming to the front asks anew.
        if site is not None and self.is_active:
            self._asked_at = time.monotonic()
            service, *args = self.question(site)
            self.call(service, *args, on_done=partial(self._answered, site), on_error=self._failed, group=READING)
            if not self.has_answer:
                self.desk.ahead.until_first(self, READING)

    def reload_soon(self) -> None:
        """Asks in a moment: what one does is told to everybody, to whoever did it too, and is read once."""
        if self._soon is None:
            self._soon = self.set_timer(self.burst, self.reload)

    def _answered(self, site: Place, found: Any) -> None:
        if site == self.desk.site:
            self._read_at, self._failing = time.monotonic(), False
            self.show_answer(found)
            self._follow(site.code)

    def _failed(self, problem: BookcliError) -> None:
        self._failing = True
        self.desk.explain(problem)
        self.show_problem(problem)

    # Staying true

    def _follow(self, site: str) -> None:
        if self._following is not None:
            if self._followed == site:
                return
            self._following.stop()
        self._followed = site
        follow = self.desk.calls.follow
        self._following = follow(self, slots.changes, [site], on_item=self._changed, on_end=self._unfollowed)

    def _changed(self, told: tuple[str, date]) -> None:
        if self.concerns(told):
            self.reload_soon()

    def _unfollowed(self) -> None:
        self._following = None

    def _tick(self) -> None:
        if not self.has_answer or not self.is_active:
            return
        self.tick()
        patience = POLL_SECONDS if self._following is None or self.is_kept else CALM_SECONDS
        due = time.monotonic() - self._asked_at > patience or (self.is_over and not self._failing)
        if due and not self.desk.calls.is_asking(self, READING):
            self.reload()


class Live(Following):
    """One local day of the site. Override `day_shown`, `question`, `show_answer` and `forget`."""

    BODY: ClassVar[str] = ""
    """What gives way to a sentence when nothing can be shown."""

    def on_mount(self) -> None:
        self.query_one(self.BODY).display = False
        self.notice("loading", "The day is on its way.")

    @property
    def day_shown(self) -> date | None:
        """The local day that is on the screen; None when nothing is."""
        raise NotImplementedError

    @property
    def has_answer(self) -> bool:
        return self.day_shown is not None

    def concerns(self, told: tuple[str, date]) -> bool:
        return told[1] == self.day_shown

    def show_problem(self, problem: BookcliError) -> None:
        if self.day_shown is None:
            self.query_one(self.BODY).display = False
            self.notice("error", text(problem.message), hint="r tries again")
