"""What a look at the installation finds: `bookcli doctor` is a list of these."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: whether it is well, what was found, and what to do if it is not."""

    check: str
    well: bool
    found: str
    advice: str = ""
