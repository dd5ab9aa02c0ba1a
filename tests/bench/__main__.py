"""`make bench`: every yardstick, or those named: cold, cache, bookings, gateway, messages, imports, growth, tui."""

from __future__ import annotations

import compileall
import importlib
import sys

from tests.processes import REPOSITORY

from .ground import ground

YARDSTICKS = ("cold", "cache", "bookings", "gateway", "messages", "imports", "growth", "tui")


def main(wanted: list[str]) -> None:
    """Prints one line per figure as it comes."""
    unknown = set(wanted) - set(YARDSTICKS)
    if unknown:
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(YARDSTICKS)}")
    for package in ("bookcli", "worker"):
        compileall.compile_dir(REPOSITORY / package, quiet=1)  # as libraries are, which is what they are compared with
    with ground() as place:
        for name in wanted or YARDSTICKS:
            for line in importlib.import_module(f".{name}", __package__).measure(place):
                print(line, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
