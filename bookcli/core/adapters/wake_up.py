"""Tells the workers that there is something to send, so that nobody waits for their next look at the database.

What must stay true: it is a nudge and nothing more. It says nothing, it may be lost, and it costs no answer.
"""

from __future__ import annotations

from .slot_cache import SlotCache

CHANNEL = "bookcli:wake"


def nudge(cache: SlotCache) -> None:
    """After a commit, over the connection to Redis that is there anyway."""
    cache.publish(CHANNEL)
