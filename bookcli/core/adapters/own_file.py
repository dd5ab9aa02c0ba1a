"""Reads a file that others may neither have placed nor be able to read.

What must stay true: no link is followed unless asked for, no pipe waited for, and what is judged is what was read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection
from pathlib import Path


def read(file: Path, most: int, *, through_links: bool = False) -> tuple[bytes, os.stat_result]:
    """The first so many bytes, and what is known of exactly the file that they are from; see `flaw`. Raises OSError.

    It does for a link too, unless `through_links`: for a file that whoever runs this has named.
    """
    # Not waiting, because somebody else may have placed a pipe there.
    descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if through_links else os.O_NOFOLLOW))
    try:
        found = os.fstat(descriptor)
        return os.read(descriptor, most) if stat.S_ISREG(found.st_mode) else b"", found
    finally:
        os.close(descriptor)


def flaw(
    found: os.stat_result, expected: Callable[[int], bool] = stat.S_ISREG, owners: Collection[int] = ()
) -> tuple[str, bool]:
    """("", …) when only its owner can reach it, and that is whoever runs this or one of `owners`; else what is wrong.

    With it whether `chmod` would mend that.
    """
    if not expected(found.st_mode):
        return "is not what it should be", False
    if found.st_uid not in {os.geteuid(), *owners}:
        return "does not belong to you", False
    return ("can be reached by others", True) if stat.S_IMODE(found.st_mode) & 0o077 else ("", False)
