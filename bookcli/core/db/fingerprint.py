"""Everything schema.sql makes, read back from a server's catalogue, so that two databases can be compared.

What must stay true: both sides are read by the same server, because each version writes definitions its own way.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Iterator

from psycopg.conninfo import make_conninfo

from ..model.database import Difference
from . import schema
from .engine import Connection, call, connect

Fingerprint = dict[tuple[str, str], str]
"""(kind, name) → definition."""

_OBJECTS = """
WITH ours AS (
  SELECT oid, nspname FROM pg_namespace WHERE nspname IN ('app', 'ext')
), of_extensions AS (
  SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
), relations AS (
  SELECT c.*, n.nspname || '.' || c.relname AS name FROM pg_class c JOIN ours n ON n.oid = c.relnamespace
   WHERE NOT EXISTS (SELECT FROM of_extensions e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid)
), types AS (
  SELECT t.*, n.nspname || '.' || t.typname AS name FROM pg_type t JOIN ours n ON n.oid = t.typnamespace
   WHERE NOT EXISTS (SELECT FROM of_extensions e WHERE e.classid = 'pg_type'::regclass AND e.objid = t.oid)
)
SELECT 'extension', e.extname::text, n.nspname::text FROM pg_extension e JOIN ours n ON n.oid = e.extnamespace
UNION ALL
SELECT 'table', name, concat_ws(' ', relpersistence, reloptions, relrowsecurity, relforcerowsecurity)
  FROM relations WHERE relkind IN ('r', 'p')
UNION ALL
SELECT 'view', name, pg_get_viewdef(oid) FROM relations WHERE relkind IN ('v', 'm')
UNION ALL
SELECT 'column', r.name || '.' || a.attname,
       concat_ws(' ', format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' END,
                 'identity:', a.attidentity, 'generated:', a.attgenerated, pg_get_expr(d.adbin, d.adrelid),
                 (SELECT collname FROM pg_collation l WHERE l.oid = a.attcollation),
                 -- Rows of views and composite types are read by position; those of tables never are.
                 CASE WHEN r.relkind IN ('v', 'c') THEN rank() OVER (PARTITION BY r.oid ORDER BY a.attnum) END)
  FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
  LEFT JOIN pg_attrdef d ON d.adrelid = r.oid AND d.adnum = a.attnum
 WHERE r.relkind IN ('r', 'p', 'v', 'm', 'c')
UNION ALL
SELECT 'constraint', coalesce(r.name, t.name) || '.' || c.conname, pg_get_constraintdef(c.oid)
  FROM pg_constraint c LEFT JOIN relations r ON r.oid = c.conrelid LEFT JOIN types t ON t.oid = c.contypid
 -- PostgreSQL 18 lists NOT NULL here; on older servers only the column has it.
 WHERE c.contype <> 'n' AND coalesce(r.oid, t.oid) IS NOT NULL
UNION ALL
SELECT 'index', r.name, pg_get_indexdef(r.oid) || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END
  FROM relations r JOIN pg_index i ON i.indexrelid = r.oid
UNION ALL
SELECT 'sequence', r.name,
       concat_ws(' ', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcycle)
  FROM relations r JOIN pg_sequence s ON s.seqrelid = r.oid
UNION ALL
SELECT 'trigger', r.name || '.' || t.tgname, concat_ws(' ', pg_get_triggerdef(t.oid), t.tgenabled)
  FROM relations r JOIN pg_trigger t ON t.tgrelid = r.oid AND NOT t.tgisinternal
UNION ALL
SELECT 'policy', r.name || '.' || p.polname,
       concat_ws(' ', p.polcmd, p.polpermissive, pg_get_expr(p.polqual, r.oid), pg_get_expr(p.polwithcheck, r.oid))
  FROM relations r JOIN pg_policy p ON p.polrelid = r.oid
UNION ALL
SELECT 'type', t.name,
       concat_ws(' ', t.typtype, CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
                 t.typnotnull, t.typdefault,
                 (SELECT string_agg(e.enumlabel, ',' ORDER BY e.enumsortorder)
                    FROM pg_enum e WHERE e.enumtypid = t.oid))
  FROM types t WHERE t.typtype IN ('d', 'e', 'r', 'c')
UNION ALL
SELECT 'function', p.oid::regprocedure::text, pg_get_functiondef(p.oid)
  FROM pg_proc p JOIN ours n ON n.oid = p.pronamespace
 WHERE p.prokind IN ('f', 'p')
   AND NOT EXISTS (SELECT FROM of_extensions e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid)
UNION ALL
-- Owners are in the grants: whoever owns a thing is the first to have been granted it.
SELECT 'grant', 'relation ' || name,
       (SELECT string_agg(a::text, ' ' ORDER BY a::text)
          FROM unnest(coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))) a)
  FROM relations WHERE relkind IN ('r', 'p', 'v', 'm', 'S')
UNION ALL
SELECT 'grant', 'function ' || p.oid::regprocedure::text,
       (SELECT string_agg(a::text, ' ' ORDER BY a::text) FROM unnest(coalesce(p.proacl, acldefault('f', p.proowner))) a)
  FROM pg_proc p JOIN ours n ON n.oid = p.pronamespace
 WHERE NOT EXISTS (SELECT FROM of_extensions e WHERE e.classid = 'pg_proc'::regclass AND e.objid = p.oid)
UNION ALL
SELECT 'comment', i.type || ' ' || i.identity, d.description
  FROM pg_description d CROSS JOIN LATERAL pg_identify_object(d.classoid, d.objoid, d.objsubid) i
 WHERE i.identity ~ '(^| )(app|ext)\\.'
   AND NOT EXISTS (SELECT FROM of_extensions e WHERE e.classid = d.classoid AND e.objid = d.objoid)
UNION ALL
SELECT 'setting', split_part(one, '=', 1), one
  FROM pg_db_role_setting s JOIN pg_database b ON b.oid = s.setdatabase CROSS JOIN LATERAL unnest(s.setconfig) one
 WHERE b.datname = current_database() AND s.setrole = 0
"""
_STATUS_CHANGES = (
    "SELECT 'row', concat('app.status_change ', from_status, ' ', to_status), action FROM app.status_change"
)


def of(connection: Connection) -> Fingerprint:
    """What is in a database. Raises as `engine.call`."""
    with call(connection, writes=False, deadline=60) as cursor, connection.transaction():
        # Names are written out in full only when nothing is on the path.
        cursor.execute("SET LOCAL search_path = pg_catalog")
        cursor.execute("SET LOCAL statement_timeout = '60s'")
        found = {(kind, name): definition for kind, name, definition in cursor.execute(_OBJECTS.encode())}
        if ("table", "app.status_change") in found:
            found |= {(kind, name): action for kind, name, action in cursor.execute(_STATUS_CHANGES)}
    return found


def differences(live: Fingerprint, wanted: Fingerprint) -> list[Difference]:
    """What `live` lacks, has too much or has otherwise. Settings that schema.sql does not make are the server's own."""
    found = []
    for key in sorted(live.keys() | wanted.keys()):
        if key not in live:
            found.append(Difference(*key, "is missing"))
        elif key not in wanted:
            if key[0] != "setting":
                found.append(Difference(*key, "is not in schema.sql"))
        elif live[key] != wanted[key]:
            found.append(Difference(*key, "differs from schema.sql"))
    return found


@contextlib.contextmanager
def scratch_database(connection: Connection, dsn: str) -> Iterator[Connection]:
    """A connection to a new, empty database on the same server; it is dropped afterwards.

    Raises NotAllowed when this role may not create one, Unavailable when it cannot be reached, as behind a pool
    that serves one database only.
    """
    name = f"bookcli_check_{secrets.token_hex(6)}"
    _outside_transactions(connection, f"CREATE DATABASE {name} TEMPLATE template0")
    try:
        with connect(make_conninfo(dsn, dbname=name)) as scratch:
            yield scratch
    finally:
        _outside_transactions(connection, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def _outside_transactions(connection: Connection, statement: str) -> None:
    with call(connection, writes=True, deadline=60) as cursor:
        cursor.execute(statement.encode())


def wanted(connection: Connection, dsn: str) -> Fingerprint:
    """What schema.sql makes on this server. Raises as `scratch_database`."""
    with scratch_database(connection, dsn) as scratch:
        schema.load(scratch)
        return of(scratch)
