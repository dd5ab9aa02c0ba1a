"""What a desk remembers of a database for when it is away: which one it is, and the zones of its sites.

What must stay true: nothing here is about a patient, and forgetting all of it only makes a desk ask or refuse more.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Memory:
    """`database` is empty when it was never learnt; `zones` are IANA zones by the code of the site."""

    database: str = ""
    zones: Mapping[str, str] = field(default_factory=dict)


def recall(file: Path, address: str) -> Memory:
    """What is remembered of the database at an address; nothing when the file is not there or not understood."""
    known = _content(file).get(address)
    if not isinstance(known, dict) or not isinstance(known.get("zones"), dict):
        return Memory()
    return Memory(str(known.get("database", "")), {str(code): str(zone) for code, zone in known["zones"].items()})


def remember(file: Path, address: str, *, database: str = "", zones: Mapping[str, str] | None = None) -> None:
    """Adds to what is remembered; writes only what is new, and a disk that refuses is no reason to complain."""
    known = recall(file, address)
    learnt = Memory(database or known.database, {**known.zones, **(zones or {})})
    if learnt == known:
        return
    content = {**_content(file), address: {"database": learnt.database, "zones": dict(learnt.zones)}}
    part = file.with_name(f"{file.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(content), encoding="utf-8")
        part.chmod(0o600)
        part.replace(file)


def _content(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
