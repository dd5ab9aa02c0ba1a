"""The copies in Redis of what waits at the desks: made when there is a key for them, and never instead of the spool.

What must stay true: a desk that cannot make a copy has kept its request all the same, and says nothing less or more.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..adapters.local_sockets import valkey_url
from ..context import Context
from ..errors import BookcliError
from ..model.pending import Kept

if TYPE_CHECKING:
    from ..adapters.pending_stream import PendingStream


def add(context: Context, kept: Kept) -> None:
    """Copies a request that is on this desk's disk already; without a key, or without Redis, there is no copy."""
    with contextlib.suppress(BookcliError), _stream(context) as stream:
        if stream is not None:
            stream.add(kept.document())


def check(context: Context) -> None:
    """Raises InvalidInput when there is a setting for the key and no good key behind it."""
    with _stream(context):
        pass


def forget(context: Context, key: uuid.UUID) -> None:
    """Removes the copies of a request that is not wanted any more. Raises Unavailable: then it would still be sent."""
    with _stream(context) as stream:
        if stream is not None:
            stream.forget_request(key)


def count(context: Context) -> int:
    """How many copies there are. Raises Unavailable without Redis, InvalidInput without a good key."""
    with _stream(context) as stream:
        return stream.count() if stream is not None else 0


def end_each(context: Context, ends: Callable[[Mapping[str, Any]], bool]) -> int:
    """Removes each copy for which `ends` is true, in the order they were made; how many. Raises what `ends` raises."""
    ended = 0
    with _stream(context) as stream:
        for copy in stream.copies() if stream is not None else []:
            if stream is not None and ends(copy.document):
                stream.forget(copy.entry)
                ended += 1
    return ended


@contextlib.contextmanager
def _stream(context: Context) -> Iterator[PendingStream | None]:
    if not context.settings.pending_key:
        yield None
        return
    from ..adapters import pending_stream  # noqa: PLC0415 - redis and libsodium, only where copies are made

    key = pending_stream.read_key(Path(context.settings.pending_key))
    stream = pending_stream.PendingStream(context.settings.redis_url or valkey_url(context.paths), key)
    try:
        yield stream
    finally:
        stream.close()
