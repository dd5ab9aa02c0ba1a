"""What every fault may use: a seed, and a row of the table at the end of the run."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable

import pytest

from tests.faults import journal

Publish = Callable[[journal.Findings], journal.Findings]


@pytest.fixture
def seed() -> int:
    """FAULT_SEED=<number> in the environment repeats what the desks wanted, though not what came of it."""
    return int(os.environ.get("FAULT_SEED", secrets.randbits(32)))


@pytest.fixture
def publish(record_property: Callable[[str, object], None], request: pytest.FixtureRequest) -> Publish:
    """publish(findings) puts a row for this test in the table, and gives them back."""

    def say(findings: journal.Findings) -> journal.Findings:
        fault = request.node.name.removeprefix("test_").replace("_", " ")
        record_property("fault", findings.row(fault[: journal.COLUMNS["fault"]]))
        return findings

    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The table, a row for each fault."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    rows = [row for report in reports for name, row in getattr(report, "user_properties", []) if name == "fault"]
    if rows:
        terminalreporter.section("faults")
        for line in (journal.head(), *rows):
            terminalreporter.write_line(line)
