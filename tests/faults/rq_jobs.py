"""Jobs for tests of who may run one; their only argument is an opaque id."""

from __future__ import annotations


def delivered(number: int) -> int:
    """Returns its argument."""
    return number


def refused(number: int) -> int:
    """Raises ValueError."""
    raise ValueError("a mail server said no")
