"""Sends text to the printer of the desk, through the command that prints what it reads.

What must stay true: what is printed is in a pipe and nowhere else: in no file, no argument and no error.
"""

from __future__ import annotations

import shlex
import subprocess

from ..errors import Unavailable


def send(command: str, words: str, seconds: float) -> None:
    """Gives the text to the command. Raises Unavailable `printer-away` when it cannot, or takes too long."""
    try:
        done = subprocess.run(
            shlex.split(command), input=words.encode(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=seconds, check=False,
        )  # fmt: skip
    except (OSError, ValueError, IndexError, subprocess.TimeoutExpired):
        done = None
    if done is None or done.returncode:
        raise Unavailable(
            "The printer does not answer.",
            hint="Set print_command to the command that prints what it reads, such as lp -d desk.",
            code="printer-away",
        )
