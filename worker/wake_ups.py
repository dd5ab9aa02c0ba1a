"""Waits for desks that have committed something a patient is told (see bookcli.core.adapters.wake_up).

What must stay true: a nudge that is lost costs a moment; whoever waits looks for itself in the end.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from redis import RedisError

from bookcli.core.services.servers import WAKE_CHANNEL

if TYPE_CHECKING:
    from redis import Redis


class Ear:
    """Listens on one channel, and goes on without Redis as if nobody had said anything."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._subscription: Any = None

    def wait(self, seconds: float) -> None:
        """Until somebody says something, at most so many seconds."""
        try:
            if self._subscription is None:
                self._subscription = self._client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
                self._subscription.subscribe(WAKE_CHANNEL)
            until = time.monotonic() + seconds
            while (left := until - time.monotonic()) > 0:
                if self._subscription.get_message(timeout=left) is not None:
                    return
        except RedisError:
            self.close()
            time.sleep(min(seconds, 1.0))

    def close(self) -> None:
        """Stops listening."""
        subscription, self._subscription = self._subscription, None
        if subscription is not None:
            with contextlib.suppress(RedisError):
                subscription.close()
