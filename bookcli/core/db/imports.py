"""What an import asks and tries on its own connection: reads of a whole batch at once, and a try that keeps nothing.

What must stay true: inside `rehearsal` everything is undone, whatever happened in it.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime

from .engine import Connection, call
from .kernel import answers

SlotAddress = tuple[str, str, datetime]
"""Site code, resource code and start (aware)."""


def sites(connection: Connection) -> list[tuple[str, str, str]]:
    """(code, name, zone) of every active site."""
    with call(connection, writes=False) as cursor:
        cursor.execute("SELECT code, name, zone FROM app.site WHERE active ORDER BY code")
        return [(code, name, zone) for code, name, zone in cursor]


def slots_at(connection: Connection, addresses: Sequence[SlotAddress]) -> dict[SlotAddress, int]:
    """The slots that start at these moments at these resources; those that do not exist are left out."""
    columns = [list(column) for column in zip(*addresses, strict=True)]
    with call(connection, writes=False) as cursor:
        cursor.execute(
            "SELECT w.site, w.resource, w.start, o.slot_id"
            "  FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) AS w (site, resource, start)"
            "  JOIN app.site s ON s.code = w.site"
            "  JOIN app.resource r ON r.site_id = s.site_id AND r.code = w.resource"
            "  JOIN app.slot o ON o.resource_id = r.resource_id AND o.starts_at = w.start",
            columns,
        )
        return {(site, resource, start): slot for site, resource, start, slot in cursor}


def refused_keys(connection: Connection, keys: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    """Those of `keys` under which a refusal is kept."""
    return {row["refused_keys"] for row in answers(connection, "refused_keys", list(keys))}


@contextlib.contextmanager
def rehearsal(connection: Connection) -> Iterator[None]:
    """A transaction that is rolled back. Desks wait for its locks, so what happens in it is one batch, not a file."""
    with call(connection, writes=False, deadline=None), connection.transaction(force_rollback=True):
        yield
