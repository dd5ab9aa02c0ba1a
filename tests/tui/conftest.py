"""What screens of the tests share: nothing moves, and nothing of the terminal in which the tests run is seen."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def calm(monkeypatch: pytest.MonkeyPatch) -> None:
    """No animation, whatever the terminal of the tests can do."""
    monkeypatch.setenv("BOOKCLI_MOTION", "reduced")
    for name in ("NO_COLOR", "TEXTUAL_THEME", "TEXTUAL_ANIMATIONS"):
        monkeypatch.delenv(name, raising=False)
