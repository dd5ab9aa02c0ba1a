"""The shell that tests of commands type into."""

from __future__ import annotations

import pytest

from tests.cli.commands import Shell


@pytest.fixture
def bookcli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Runs a command in this process."""
    return Shell(capsys, monkeypatch)
