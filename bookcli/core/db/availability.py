"""What the cache keeps beside the slots themselves: the moment of a reading, how a test takes slots, the catalog.

What must stay true: the moment is the database's and lies before what is read afterwards.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

from ..model.availability import Catalog, Rules
from .engine import Connection, call


def moment(connection: Connection, test: str, sites: list[str], days: tuple[date, date]) -> tuple[datetime, bool]:
    """(the database's clock, whether the test fits alone into every slot of the days it could start in)."""
    with call(connection, writes=False) as cursor:
        cursor.execute(
            "SELECT now(), coalesce(bool_and(t.buffer_before_minutes + t.buffer_after_minutes = 0"
            " AND s.starts_at + make_interval(mins => t.duration_minutes) <= s.ends_at), false)"
            " FROM app.test t JOIN app.resource_test o USING (test_id) JOIN app.resource m USING (resource_id)"
            " JOIN app.site p ON p.site_id = m.site_id JOIN app.slot s ON s.resource_id = m.resource_id"
            " AND s.local_start >= %s AND s.local_start < %s WHERE t.code = %s AND p.code = ANY (%s::text[])",
            (days[0], days[1] + timedelta(days=1), test, sites),
        )
        row = cursor.fetchone()
    assert row is not None
    return row[0], row[1]


def catalog(connection: Connection) -> Catalog:
    """The sites and tests in use, in one statement and so of one moment."""
    with call(connection, writes=False) as cursor:
        cursor.execute(
            "SELECT now(), p.code::text, p.zone::text, NULL::integer, NULL::integer, NULL::text[], p.code AS place"
            " FROM app.site p WHERE p.active UNION ALL"
            " SELECT now(), t.code::text, NULL, t.lead_minutes, t.window_days, ARRAY("
            "  SELECT DISTINCT p.code::text FROM app.resource_test o JOIN app.resource m USING (resource_id)"
            "  JOIN app.site p ON p.site_id = m.site_id WHERE o.test_id = t.test_id AND m.active AND p.active), t.code"
            " FROM app.test t WHERE t.active ORDER BY place"
        )
        rows = cursor.fetchall()
    zones = {code: zone for _, code, zone, *_ in rows if zone is not None}
    tests = {
        code: Rules(timedelta(minutes=lead), timedelta(days=window), tuple(sites))
        for _, code, zone, lead, window, sites, _ in rows
        if zone is None
    }
    return Catalog(rows[0][0] if rows else clock_of(connection), zones, tests)


def clock_of(connection: Connection) -> datetime:
    """The database's clock."""
    with call(connection, writes=False) as cursor:
        cursor.execute("SELECT now()")
        (now,) = cursor.fetchone() or (None,)
    assert isinstance(now, datetime)
    return now


def place_of(connection: Connection, slot: int) -> tuple[str, str, date] | None:
    """(site, resource, local day) of a slot, or None."""
    with call(connection, writes=False) as cursor:
        cursor.execute(
            "SELECT p.code::text, m.code::text, s.local_start::date FROM app.slot s"
            " JOIN app.resource m USING (resource_id) JOIN app.site p ON p.site_id = s.site_id WHERE s.slot_id = %s",
            (slot,),
        )
        return cursor.fetchone()


def counts(connection: Connection, slots: list[int]) -> dict[int, tuple[int, int]]:
    """(version, places that nobody has and no hold keeps, expired or not) of each slot there is."""
    with call(connection, writes=False) as cursor:
        cursor.execute("SELECT slot_id, version, capacity - booked FROM app.slot WHERE slot_id = ANY (%s)", (slots,))
        return {slot: (version, left) for slot, version, left in cursor}
