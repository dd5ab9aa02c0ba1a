"""How somebody leaves the screen and finds it again: site, theme, filter; nothing about a patient, and no driver."""

from __future__ import annotations

from collections.abc import Mapping

from ..adapters import screen_file
from ..context import Context


def recalled(context: Context) -> dict[str, str]:
    """How the screen was left: site, theme, filter."""
    return screen_file.recall(context.paths.screen_file)


def remember(context: Context, values: Mapping[str, str]) -> None:
    """Keeps how the screen is left."""
    screen_file.remember(context.paths.screen_file, values)
