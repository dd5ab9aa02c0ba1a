"""The log of bugs, for every front end.

What must stay true: it names exception types and places in the code, never a value, so no patient gets into it.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

from ... import __version__
from .. import clock, config


def place(problem: BaseException) -> str:
    """Where in the code it happened, such as `tui/app.py:12`."""
    frames = _frames(problem)
    return f"{frames[-1]['file']}:{frames[-1]['line']}" if frames else "an unknown place"


def keep(problem: BaseException) -> tuple[str, str]:
    """Adds one JSON line to the log, which only its owner can read; (its path, the line's id).

    The path is empty when it cannot be written.
    """
    log_file, name = config.paths().log_file, uuid.uuid4().hex[:8]
    entry = {"at": clock.now().isoformat(), "id": name, "version": __version__, "causes": _causes(problem)}
    try:
        log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(log_file, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
    except OSError:
        return "", name
    return str(log_file), name


def _frames(problem: BaseException) -> list[dict[str, str | int]]:
    frames: list[dict[str, str | int]] = []
    step = problem.__traceback__
    while step is not None:
        code = step.tb_frame.f_code
        name = "/".join(Path(code.co_filename).parts[-2:])
        frames.append({"file": name, "line": step.tb_lineno, "function": code.co_name})
        step = step.tb_next
    return frames


def _causes(problem: BaseException) -> Sequence[dict[str, object]]:
    causes: list[dict[str, object]] = []
    current: BaseException | None = problem
    while current is not None and len(causes) < 5:
        causes.append({"error": type(current).__name__, "frames": _frames(current)})
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return causes
