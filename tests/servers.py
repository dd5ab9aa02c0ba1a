"""Real PostgreSQL servers for the tests, one of each major version, with databases that are as new for every test.

What must stay true: every server that was started is stopped, and no database is shared between two tests.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
from psycopg import sql

from bookcli.core.adapters import embedded, embedded_postgres
from bookcli.core.adapters.local_sockets import DATABASE, ROLE, postgres_dsn, socket_directory
from bookcli.core.config import Paths, Settings, paths
from bookcli.core.db import engine, schema
from tests.originals import Original

SYSTEM_PROGRAMS = Path("/usr/lib/postgresql/15/bin")
NEWEST, OLDEST = "18", "15"
MACHINES = ("desk", "worker", "auditor", "admin")


class Server:
    """One running PostgreSQL; `lend` gives a fresh database, `take_back` takes it away."""

    def __init__(self, major: str) -> None:
        self.major = major
        self.home = Path(tempfile.mkdtemp(prefix=f"bookcli-tests-{major}-", dir="/tmp"))
        # For root the server runs as somebody else, who must be able to pass through.
        self.home.chmod(0o755)
        self.paths: Paths = paths({"BOOKCLI_HOME": str(self.home)})
        self._templates: set[str] = set()
        self._originals: dict[str, Original] = {}
        self._free: dict[str, list[str]] = {}
        self._lent: dict[str, str] = {}
        self._marks: dict[str, Any] = {}
        self._numbers = itertools.count(1)
        # Hundreds of databases are made and dropped, and none needs to survive the machine.
        with patch.dict(embedded_postgres._SETTINGS, {"fsync": "off", "full_page_writes": "off"}):
            embedded.ensure_postgres(self.paths, Settings(postgres_bin=_programs(major), deadline="60"))

    def dsn(self, database: str) -> str:
        """The address of one of its databases."""
        return postgres_dsn(self.paths).replace(f"/{DATABASE}?", f"/{database}?")

    def template(self, name: str, fill: Callable[[str], None], base: str | None = None) -> str:
        """The name of a template, made on first use: `base` or an empty database, filled by `fill(dsn)`."""
        if name not in self._templates:
            self._create(name, base)
            fill(self.dsn(name))
            self._templates.add(name)
        return name

    def lend(self, template: str) -> str:
        """The address of a database that is as the template is; nobody else has it until it is given back."""
        if self._free.get(template):
            return self._free[template].pop()
        name = f"t{next(self._numbers)}"
        self._create(name, template)
        dsn = self.dsn(name)
        with engine_connection(dsn) as connection:
            if template not in self._originals:
                self._originals[template] = Original.of(connection)
            self._marks[dsn] = self._originals[template].marks(connection)
        self._lent[dsn] = template
        return dsn

    def take_back(self, dsn: str) -> None:
        """Ends whoever is still connected and puts the rows back; a database that was altered is dropped."""
        name = str(psycopg.conninfo.conninfo_to_dict(dsn)["dbname"])
        with self._admin() as admin:
            admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,))
            if not self._restored(dsn):
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
                return
        self._free.setdefault(self._lent[dsn], []).append(dsn)

    def _restored(self, dsn: str) -> bool:
        original = self._originals[self._lent[dsn]]
        with engine_connection(dsn) as connection:
            (catalog, tables), (catalog_then, tables_then) = original.marks(connection), self._marks[dsn]
            if catalog != catalog_then:
                return False
            original.restore(connection, [table for table in tables if tables[table] != tables_then[table]])
            self._marks[dsn] = original.marks(connection)
        return True

    def stop(self) -> bytes:
        """Stops the server and removes its files; what it has logged, now that the process that writes it has ended."""
        try:
            embedded.stop(self.paths)
            return b"".join(path.read_bytes() for path in self.home.rglob("*.log*") if path.is_file())
        finally:
            short = socket_directory(self.paths)
            shutil.rmtree(self.home, ignore_errors=True)
            shutil.rmtree(short, ignore_errors=True)

    def _admin(self) -> psycopg.Connection[tuple[object, ...]]:
        return psycopg.connect(self.dsn("postgres"), autocommit=True)

    def _create(self, name: str, template: str | None) -> None:
        with self._admin() as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                    sql.Identifier(name), sql.Identifier(template or "template0")
                )
            )
            # A copy does not inherit what ALTER DATABASE and GRANT ON DATABASE set, which schema.sql relies on.
            connection.execute(
                "INSERT INTO pg_db_role_setting SELECT new.oid, old.setrole, old.setconfig"
                " FROM pg_db_role_setting old JOIN pg_database source ON source.oid = old.setdatabase, pg_database new"
                " WHERE source.datname = %s AND new.datname = %s",
                (template, name),
            )
            connection.execute(
                "UPDATE pg_database new SET datacl = old.datacl FROM pg_database old"
                " WHERE old.datname = %s AND new.datname = %s",
                (template, name),
            )


class Servers:
    """The servers of a test run, started when they are first asked for."""

    def __init__(self) -> None:
        self._running: dict[str, Server] = {}

    def get(self, major: str) -> Server:
        if major not in self._running:
            self._running[major] = Server(major)
        return self._running[major]

    def stop(self) -> bytes:
        """Stops them all; everything that they have logged."""
        logs = b"".join(server.stop() for server in self._running.values())
        self._running.clear()
        return logs


@contextlib.contextmanager
def engine_connection(dsn: str) -> Iterator[engine.Connection]:
    """A connection as the product opens it, closed afterwards."""
    connection = engine.connect(dsn)
    try:
        yield connection
    finally:
        connection.close()


def load_schema(dsn: str) -> None:
    """Loads schema.sql into an empty database, and makes a role to log in as for each kind of machine."""
    with engine_connection(dsn) as connection:
        assert schema.load(connection)
        for kind in MACHINES:
            with contextlib.suppress(psycopg.errors.DuplicateObject):
                connection.execute(f"CREATE ROLE tests_{kind} LOGIN IN ROLE bookcli_{kind}".encode())


def login_as(dsn: str, kind: str) -> str:
    """The address for a machine of that kind: desk, worker, auditor or admin."""
    assert kind in MACHINES
    return dsn.replace(f"//{ROLE}@", f"//tests_{kind}@")


def login_as_owner(dsn: str) -> str:
    """The address for whoever runs the server."""
    for kind in MACHINES:
        dsn = dsn.replace(f"//tests_{kind}@", f"//{ROLE}@").replace(f"user=tests_{kind}", f"user={ROLE}")
    return dsn


def _programs(major: str) -> str:
    """What the setting postgres_bin must say for this version; empty means the wheel's programs."""
    if major == NEWEST:
        return ""
    if not (SYSTEM_PROGRAMS / "postgres").exists():
        raise RuntimeError(
            f"The tests need PostgreSQL {OLDEST} in {SYSTEM_PROGRAMS}: install it with `apt-get install postgresql-15`."
        )
    return os.fspath(SYSTEM_PROGRAMS)
