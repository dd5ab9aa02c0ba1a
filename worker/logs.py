"""What a worker writes while it runs: one line for each event, for people or as JSON.

What must stay true: a line holds counts, numbers of messages and codes. What other libraries say is written without its
values, and of an error only its kind, because both may quote whatever was at hand.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from bookcli import __version__

FORMS = ("text", "json")
_OURS = "bookcli"
_VALUE = re.compile(r"%(\(\w+\))?[-#0-9 +.]*[a-zA-Z]")


def begin(form: str = "") -> None:
    """From now on every logger of this process and of those it forks writes to stderr, in one of FORMS.

    Without a choice: text on a terminal, JSON elsewhere.
    """
    form = form or ("text" if sys.stderr.isatty() else "json")
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_without_values)
    handler.setFormatter(JsonLines() if form == "json" else logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)


def _without_values(record: logging.LogRecord) -> bool:
    """Takes tracebacks out of a record, and its values too unless it is one of ours."""
    kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
    record.exc_info = record.exc_text = record.stack_info = None
    if record.name.partition(".")[0] != _OURS:
        said = _VALUE.sub("…", str(record.msg)) if record.args else "" if kind else str(record.msg)
        record.msg, record.args = " ".join(f"{record.name}: {said} {kind}".split()), ()
    return True


class JsonLines(logging.Formatter):
    """One object in one line: time, level, event, what belongs to it, version, host, pid.

    Our own records carry a mapping, whose `event` names what happened.
    """

    def format(self, record: logging.LogRecord) -> str:
        fields = dict(record.args) if isinstance(record.args, Mapping) else {}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": fields.pop("event", None) or record.getMessage(),
            **fields,
            "version": __version__,
            "host": os.uname().nodename,
            "pid": record.process,
        }
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=str)
