"""The database itself: prepare it, bring it up to date, compare it with schema.sql, count its invariants."""

from __future__ import annotations

import random
import time
from pathlib import Path

from ..context import Context
from ..db import fingerprint, kernel, schema, upgrades
from ..db.engine import Connection, RetryableConflict
from ..errors import NotAllowed, Refused, Unavailable
from ..model.database import Difference
from . import cache_proof, staff

__all__ = ["CACHE_RULE", "Difference", "check", "init", "upgrade", "verify"]

CACHE_RULE = cache_proof.RULE

TRIES, PAUSE_SECONDS = 8, 0.4
"""How often, and with what pauses, an upgrade looks for a moment in which nobody uses a table."""


def init(context: Context) -> bool:
    """Loads the schema into an empty database; False when it is there, as always in the embedded one."""
    return schema.load(context.connection())


def lacks_a_manager(context: Context) -> bool:
    """Whether nobody could sign in yet; with the embedded servers nobody needs to."""
    return not context.embedded and staff.is_empty(context)


def check(context: Context) -> list[Difference]:
    """Where the database is not what schema.sql makes; nothing when all is well.

    For comparing, a scratch database is made on the same server. Where that is not possible the list says so, with
    the kind `unchecked`. Raises Unavailable when the database itself is away.
    """
    connection = context.connection()
    version = schema.version(connection)
    if version is None:
        return [Difference("version", "schema", "is missing: bookcli db init")]
    found = []
    if version != schema.VERSION:
        advice = "bookcli db upgrade" if version < schema.VERSION else "a newer bookcli is needed"
        found.append(Difference("version", "schema", f"is {version}, not {schema.VERSION}: {advice}"))
    live = fingerprint.of(connection)
    try:
        wanted = fingerprint.wanted(connection, context.dsn)
    except (NotAllowed, Unavailable) as problem:
        return [*found, Difference("unchecked", "everything in the schemas app and ext", _why_not(problem))]
    return [*found, *fingerprint.differences(live, wanted)]


def _why_not(problem: NotAllowed | Unavailable) -> str:
    if isinstance(problem, NotAllowed):
        return "was not compared: this role may not create a scratch database (CREATEDB)"
    return "was not compared: a scratch database on the same server cannot be reached; connect past the pool"


def upgrade(context: Context) -> list[int]:
    """Applies the migrations the database lacks, in order, and returns their numbers. Safe to repeat.

    Raises Refused `schema-missing` or `schema-newer`, and Unavailable `busy` when the tables are in use: what was
    applied before that stays.
    """
    connection = context.connection()
    version = schema.version(connection)
    if version is None:
        raise Refused("The database has no bookcli schema yet.", hint="bookcli db init", code="schema-missing")
    if version > schema.VERSION:
        raise Refused(
            "The database is newer than this bookcli.",
            hint="Install the version the other desks have.",
            code="schema-newer",
            details={"database": version, "program": schema.VERSION},
        )
    waiting = {number: file for number, file in upgrades.files().items() if number > version}
    try:
        return [number for number, file in waiting.items() if _apply(connection, number, file)]
    except RetryableConflict:
        raise Unavailable(
            "The tables are in use, so the upgrade did not wait for them.",
            hint="Nothing is half done. Try again in a quiet moment.",
            code="busy",
        ) from None


def _apply(connection: Connection, number: int, file: Path) -> bool:
    """Tries between the bookings, for some seconds. Raises RetryableConflict when there was no moment."""
    for attempt in range(1, TRIES + 1):
        try:
            return upgrades.apply(connection, number, file)
        except RetryableConflict:
            if attempt == TRIES:
                raise
            time.sleep(random.uniform(PAUSE_SECONDS / 2, PAUSE_SECONDS))
    raise AssertionError


def verify(context: Context) -> list[tuple[str, int]]:
    """(rule, violations) for every invariant of schema.sql, and for the cache if there is one; all must be 0.

    Reads every booking, without a deadline.
    """
    found = kernel.verify(context.connection())
    wrong = cache_proof.contradictions(context)
    return found if wrong is None else [*found, (cache_proof.RULE, wrong)]
