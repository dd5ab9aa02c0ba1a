"""The booking core as a library: everything a front end or a script needs, imported on first use.

What must stay true: importing this package costs nothing, because every command does it.

>>> from bookcli.core import BookingRequest, Context, Place, Search, book, find
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import Settings
    from .context import Context
    from .errors import (
        BookcliError,
        InvalidInput,
        NotAllowed,
        NotFound,
        OutcomeUnknown,
        Refused,
        Unavailable,
    )
    from .model.appointments import Outcome, Verdict
    from .model.periods import parse_day, parse_period, parse_time
    from .model.requests import BookingRequest, Place, new_key
    from .model.slots import Search, Slot
    from .services.appointments import (
        book,
        book_many,
        cancel,
        confirm,
        confirm_visit,
        hold,
        hold_visit,
        release,
        reschedule,
        set_status,
        show,
        visit,
    )
    from .services.slots import find

_HOMES = {
    "config": ("Settings",),
    "context": ("Context",),
    "errors": (
        "BookcliError",
        "InvalidInput",
        "NotAllowed",
        "NotFound",
        "OutcomeUnknown",
        "Refused",
        "Unavailable",
    ),
    "model.appointments": ("Outcome", "Verdict"),
    "model.periods": ("parse_day", "parse_period", "parse_time"),
    "model.requests": ("BookingRequest", "Place", "new_key"),
    "model.slots": ("Search", "Slot"),
    "services.appointments": (
        "book",
        "book_many",
        "cancel",
        "confirm",
        "confirm_visit",
        "hold",
        "hold_visit",
        "release",
        "reschedule",
        "set_status",
        "show",
        "visit",
    ),
    "services.slots": ("find",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "BookcliError",
    "BookingRequest",
    "Context",
    "InvalidInput",
    "NotAllowed",
    "NotFound",
    "Outcome",
    "OutcomeUnknown",
    "Place",
    "Refused",
    "Search",
    "Settings",
    "Slot",
    "Unavailable",
    "Verdict",
    "book",
    "book_many",
    "cancel",
    "confirm",
    "confirm_visit",
    "find",
    "hold",
    "hold_visit",
    "new_key",
    "parse_day",
    "parse_period",
    "parse_time",
    "release",
    "reschedule",
    "set_status",
    "show",
    "visit",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
