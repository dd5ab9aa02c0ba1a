"""What may become of a message that was handed over, the same for every way.

What must stay true: a code says no more than why; never a server's own words, which may repeat an address.
"""

from __future__ import annotations

LOCAL = ("localhost", "127.0.0.1", "::1")
"""Hosts to which nothing need be encrypted."""
_NEVER = frozenset({400, 413, 415, 422})
_AWAY = frozenset({401, 402, 403, 429, 502, 503, 504})


class NotSent(Exception):
    """This message was not taken; `permanent`: it never will be. `code` is kebab-case and says no more than why."""

    def __init__(self, code: str, *, permanent: bool) -> None:
        super().__init__(code)
        self.code = code
        self.permanent = permanent


class ServerAway(Exception):
    """Nothing can be sent at the moment; `tried`: the message in hand may have been taken all the same.

    `stuck`: it was not, but it may be what the server cannot get on with.
    """

    def __init__(self, code: str, *, tried: bool = False, stuck: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.tried = tried
        self.stuck = stuck

    @property
    def counts(self) -> bool:
        """Whether it was an attempt at that message, so that another may be tried at once."""
        return self.tried or self.stuck


def refusal(way: str, status: int) -> NotSent | ServerAway:
    """What an HTTP status that is no success means (RFC 9110).

    What is wrong with the message itself stays wrong. An account that is locked, unpaid or unknown, and a server that
    is too busy, concern every message: somebody will put it right. Everything else is tried again, not for ever.
    """
    code = f"{way}-{status}"
    return ServerAway(code) if status in _AWAY else NotSent(code, permanent=status in _NEVER)
