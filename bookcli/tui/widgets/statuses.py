"""How the status of an appointment is shown: a glyph, a word of the desk, and a colour besides.

What must stay true: it is the same on every screen.
"""

from __future__ import annotations

MARKS = {
    "pending": ("◐", "$text-warning"),
    "booked": ("●", "$text-primary"),
    "arrived": ("▶", "$text-success"),
    "checked-in": ("▶", "$text-success"),
    "fulfilled": ("✔", "$text-success"),
    "cancelled": ("✕", "$text-muted"),
    "noshow": ("▲", "$text-warning"),
    "entered-in-error": ("✕", "$text-muted"),
}
WORDS = {
    "checked-in": "checked in",
    "pending": "held",
    "fulfilled": "done",
    "noshow": "no-show",
    "entered-in-error": "taken back",
}
"""What a status is called at the desk where it has another name."""
WORDS_OF_HOLDS = {"released": "given back", "hold-expired": "ran out"}
"""What a place is called that was held and never booked, by the reason for which it is cancelled."""


def worded(status: str) -> str:
    """A status as it is called at the desk."""
    return WORDS.get(status, status)


def marked(status: str, reason: str | None = "") -> str:
    """A status by glyph and word; `reason` is why it is cancelled."""
    mark, _ = MARKS.get(status, ("○", ""))
    return f"{mark} {WORDS_OF_HOLDS.get(reason or '', worded(status))}"
