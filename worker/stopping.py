"""A flag that a process and everything it forks see at once: finish what is in hand, begin nothing new."""

from __future__ import annotations

import mmap


class Stopping:
    """One shared byte."""

    def __init__(self) -> None:
        self._byte = mmap.mmap(-1, 1)

    def __bool__(self) -> bool:
        return self._byte[0] != 0

    def set(self) -> None:
        """From now on it is true, everywhere."""
        self._byte[0] = 1
