"""`python -m worker run|status|pause|resume`: the same as `bookcli worker`, for whoever supervises processes.

What must stay true: it ends with the same codes as bookcli.
"""

from __future__ import annotations

import importlib
import sys

if __name__ == "__main__":
    sys.exit(importlib.import_module("bookcli.cli.main").main(["worker", *sys.argv[1:]]))
