"""Calls of the schema's functions for messages; what they return about patients is for writing to them alone.

What must stay true: every state of a message is the database's, by the database's clock.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from ..model.messages import Outgoing
from .engine import Connection, call
from .kernel import answers


def claim(connection: Connection, most: int) -> list[int]:
    """The numbers of messages that are due; nobody else is offered them for half a minute."""
    with call(connection, writes=True) as cursor:
        cursor.execute("SELECT app.claim_notifications(%s, %s)", (most, connection.token))
        return sorted(number for (number,) in cursor)


def lease(connection: Connection, ids: Sequence[int], seconds: int, ways: Sequence[str]) -> list[Outgoing]:
    """Those of the messages that are now the caller's to send, for so long, by one of the ways that it has."""
    values = (list(ids), seconds, list(ways), connection.token)
    with call(connection, writes=True) as cursor:
        cursor.execute("SELECT * FROM app.lease_notifications(%s::bigint[], %s, %s::text[], %s)", values)
        return [Outgoing(*row) for row in cursor]


def mark_sent(connection: Connection, ids: Sequence[int]) -> int:
    """How many had not been marked."""
    return int(_one(connection, "SELECT app.mark_sent(%s::bigint[], %s)", (list(ids), connection.token)))


def mark_failed(
    connection: Connection,
    rows: Sequence[Outgoing],
    code: str,
    *,
    perhaps: bool,
    again_after: int | None = None,
    ways: Sequence[str] | None = None,
) -> int:
    """How many of one lease were waiting. `ways` is None unless it failed for good; see `app.mark_failed`."""
    ids, lease = [row.notification_id for row in rows], rows[0].leased_until
    values = (ids, lease, code, ways is not None, perhaps, again_after, list(ways or ()), connection.token)
    return int(_one(connection, "SELECT app.mark_failed(%s::bigint[], %s, %s, %s, %s, %s, %s::text[], %s)", values))


def remind(connection: Connection, within: timedelta | None, site: str | None, dry: bool) -> tuple[int, int]:
    """(appointments that begin within that time, reminders made for them)."""
    with call(connection, writes=True) as cursor:
        cursor.execute("SELECT * FROM app.remind(%s, %s, %s, %s)", (within, site, dry, connection.token))
        row = cursor.fetchone()
    assert row is not None
    return row[0], row[1]


def look(connection: Connection, wanted: dict[str, Any], most: int) -> list[dict[str, Any]]:
    """The newest messages that fit {id, reference, state, site}; the look is audited."""
    return answers(connection, "look_at_messages", json.dumps(wanted), most)


def retry(connection: Connection, number: int) -> str:
    """waiting, sending or message-unknown."""
    return str(_one(connection, "SELECT app.retry_message(%s, %s)", (number, connection.token)))


def stop(connection: Connection, number: int) -> str:
    """cancelled, the state that it has instead, or message-unknown."""
    return str(_one(connection, "SELECT app.stop_message(%s, %s)", (number, connection.token)))


def facts(connection: Connection, reference: str, kind: str) -> list[Outgoing]:
    """What a message of that kind about an appointment would be written from; the look is audited."""
    with call(connection, writes=False) as cursor:
        cursor.execute("SELECT * FROM app.message_facts_of(%s, %s, %s)", (reference, kind, connection.token))
        return [Outgoing(*row) for row in cursor]


def measures(connection: Connection) -> list[tuple[str, dict[str, str], float]]:
    """(name, labels, value) of everything that is counted in the database."""
    with call(connection, writes=False) as cursor:
        cursor.execute("SELECT * FROM app.measures(%s)", (connection.token,))
        return [(name, labels, float(value)) for name, labels, value in cursor]


def _one(connection: Connection, statement: str, values: tuple[Any, ...]) -> Any:
    with call(connection, writes=True) as cursor:
        cursor.execute(statement.encode(), values)
        row = cursor.fetchone()
    assert row is not None
    return row[0]
