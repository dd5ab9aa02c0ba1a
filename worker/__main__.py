"""`python -m worker`: the same as `bookcli worker run`, for whoever supervises processes; `status` and others too.

What must stay true: it ends with the same codes as bookcli.
"""

from __future__ import annotations

import importlib
import sys


def _words(given: list[str]) -> list[str]:
    named = given and (not given[0].startswith("-") or given[0] in ("-h", "--help"))
    return ["worker", *given] if named else ["worker", "run", *given]


if __name__ == "__main__":
    sys.exit(importlib.import_module("bookcli.cli.main").main(_words(sys.argv[1:])))
