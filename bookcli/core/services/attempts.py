"""How often a change is tried.

What must stay true: what may have happened is asked again only when asking is harmless, by its request key or because
doing it twice is doing it once.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from ..db.engine import GONE, RetryableConflict
from ..errors import OutcomeUnknown, Unavailable

Answer = TypeVar("Answer")
_MOST_CONFLICTS = 5
_MOST_TRIES = 50
_GIVE_UP_AFTER = 8.0
_LONGEST_CONNECT = 2.0


def once(ask: Callable[[], Answer]) -> Answer:
    """Asks again only after a conflict, when nothing was changed. Raises Unavailable `busy`, or what `ask` raises."""
    for attempt in range(_MOST_CONFLICTS):
        try:
            return ask()
        except RetryableConflict as conflict:
            if _is_too_busy(conflict, attempt):
                break
            _pause(attempt)
    raise _busy()


def until_known(ask: Callable[[], Answer], *, seconds: float = _GIVE_UP_AFTER) -> Answer:
    """Asks until there is an answer: conflicts up to five times, a lost answer for as long as `seconds` allow.

    A connection that the server had ended is opened again once.

    Safe because every question is idempotent: bookings by their key, changes of status by their effect.
    Raises Unavailable when nothing was changed; OutcomeUnknown when it was never known.
    """
    lost: OutcomeUnknown | None = None
    # An attempt that only finds out that nobody answers takes as long as a connection may take.
    give_up = time.monotonic() + max(1.0, seconds - _LONGEST_CONNECT)
    for attempt in range(_MOST_TRIES):
        try:
            return ask()
        except RetryableConflict as conflict:
            if _is_too_busy(conflict, attempt):
                raise lost or _busy() from None
        except OutcomeUnknown as unknown:
            lost = unknown
        except Unavailable as away:
            if lost is None and (attempt > 0 or away.details.get("sqlstate") not in GONE):
                raise
        if lost is not None and time.monotonic() > give_up:
            raise lost
        _pause(attempt)
    raise lost or _busy()


@contextlib.contextmanager
def after_saving(what: str) -> Iterator[None]:
    """For reading back what was saved: when that fails, nobody may be told that nothing was changed."""
    try:
        yield
    except (Unavailable, OutcomeUnknown):
        raise OutcomeUnknown(f"{what} was saved, but could not be shown.", code="saved-not-shown") from None


def _is_too_busy(conflict: RetryableConflict, attempt: int) -> bool:
    """A lock that was waited for in vain took 3 s each time, so twice is all the deadline allows."""
    return attempt >= (1 if conflict.code == "busy" else _MOST_CONFLICTS)


def _pause(attempt: int) -> None:
    time.sleep(random.uniform(0.005, 0.05) * (attempt + 1))


def _busy() -> Unavailable:
    return Unavailable(
        "Too many desks are changing that at the same moment.", hint="Nothing was changed. Try again.", code="busy"
    )
