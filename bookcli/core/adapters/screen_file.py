"""Keeps how somebody left the screen between starts: site, colours, filter.

What must stay true: nothing here is about a patient, and losing all of it costs a few keys.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

MOST_BYTES = 16384


def recall(file: Path) -> dict[str, str]:
    """What is kept; nothing when the file is not there or not understood."""
    try:
        with file.open("rb") as stream:
            content = json.loads(stream.read(MOST_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {name: value for name, value in content.items() if isinstance(value, str)}


def remember(file: Path, values: Mapping[str, str]) -> None:
    """Adds to what is kept, in a file that only its owner can read; a disk that refuses is no reason to complain."""
    known = recall(file)
    if {**known, **values} == known:
        return
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump({**known, **values}, stream)
        part.replace(file)
