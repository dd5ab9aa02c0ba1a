"""The slip of paper that a patient takes home: what is booked, where and when, and what to do before it."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from .. import clock
from .text import visible

WIDTH = 64


def slip(facts: Mapping[str, Any]) -> str:
    """Lines of at most 64 characters about an appointment, from a row of `app.appointment_facts`."""
    start = clock.to_local(facts["starts_at"], facts["zone"])
    lines = [
        visible(facts["site_name"]),
        visible(facts["site_phone"] or ""),
        "",
        f"{visible(facts['patient_name'])}  {facts['patient']}",
        "",
        f"{start:%A %d %B %Y, %H:%M}",
        f"{visible(facts['test_name'])}, {facts['resource']}",
        f"Reference {facts['reference']}",
        "",
        *textwrap.wrap(visible(" ".join((facts["preparation"] or "").split())), WIDTH),
    ]
    return "\n".join(lines).rstrip() + "\n"
