"""Reports at the command line."""

from __future__ import annotations

import pytest

from tests.cli.commands import Shell
from tests.clinic import Clinic


@pytest.mark.parametrize(
    ("kind", "name"), [("utilisation", "utilisation"), ("noshow", "noshow"), ("lead-time", "lead_time")]
)
def test_a_report_is_printed_in_every_form(bookcli: Shell, clinic: Clinic, kind: str, name: str) -> None:
    bookcli("book", "--patient", "P1", "--test", "mri", "--slot", str(clinic.slot("mri")))
    answer = bookcli("report", kind, "--site", "north", "--on", "tomorrow", "--json")
    assert answer.code == 0
    assert isinstance(answer.json[name], list)
    assert bookcli("report", kind, "--on", "week", "-o", "csv").out.startswith("site,")
