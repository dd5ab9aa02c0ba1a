"""Runs bookcli for tests: in this process when only words matter, as a process when the process matters."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bookcli.cli.main import COMMANDS, main

GROUPS = {
    "notification": ("list", "show", "retry", "cancel"),
    "message": ("preview",),
    "worker": ("run", "status", "pause", "resume"),
    "patient": ("add", "show", "edit", "find", "merge", "history"),
    "site": ("list", "show", "add", "edit"),
    "test": ("list", "show", "add", "edit"),
    "resource": ("list", "show", "add", "edit"),
    "schedule": ("list", "add", "end", "publish", "close", "reopen", "closures", "capacity"),
    "report": ("utilisation", "noshow", "lead-time"),
    "cache": ("warm", "show", "drop"),
    "db": ("init", "check", "upgrade"),
    "staff": ("add", "list", "role", "disable", "enable", "reset"),
    "session": ("list", "revoke"),
    "pending": ("list", "show", "drop", "replay"),
    "audit": ("list", "show", "seal", "verify", "export"),
    "selftest": ("race",),
}


@dataclass(frozen=True)
class Answer:
    """What a command said and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The object on stdout."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The error object on stderr."""
        return json.loads(self.err.splitlines()[-1])["error"]


class Shell:
    """Runs commands in this process; nobody is at the terminal, and `stdin` is what is piped in."""

    def __init__(self, capture: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self._capture = capture
        self._patch = patch

    def __call__(self, *words: str, stdin: str | bytes = "") -> Answer:
        content = stdin.encode("utf-8", "surrogateescape") if isinstance(stdin, str) else stdin
        self._patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
        self._capture.readouterr()
        code = main(words)
        said = self._capture.readouterr()
        return Answer(code, said.out, said.err)


def all_commands() -> list[tuple[str, ...]]:
    """Every command as its words: ("slots",), ("patient", "add"), …"""
    names = [name for commands in COMMANDS.values() for name in commands]
    return [(name, *part) for name in names for part in ([(sub,) for sub in GROUPS[name]] if name in GROUPS else [()])]


def process(*words: str | bytes, stdin: str = "", **environment: str) -> Answer:
    """Runs bookcli as a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bookcli.cli.main", *words],
        input=stdin.encode(),
        capture_output=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment},
    )
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())
