"""How often a change that has no request key is tried; what may have happened is never done a second time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import TypeVar

from ..db.engine import RetryableConflict
from ..errors import Unavailable

Answer = TypeVar("Answer")
_MOST = 5


def once(ask: Callable[[], Answer]) -> Answer:
    """Asks again only after a conflict, when nothing was changed. Raises Unavailable `busy`, or what `ask` raises."""
    for attempt in range(_MOST):
        try:
            return ask()
        except RetryableConflict:
            time.sleep(random.uniform(0.005, 0.05) * (attempt + 1))
    raise Unavailable(
        "Too many desks are changing that at the same moment.", hint="Nothing was changed. Try again.", code="busy"
    )
