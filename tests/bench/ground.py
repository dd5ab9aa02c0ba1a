"""The server and the rows every yardstick runs on; started for the run, gone after it."""

from __future__ import annotations

import contextlib
import shutil
import statistics
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bookcli.core import config
from bookcli.core.adapters import embedded, local_sockets
from bookcli.core.context import Context
from bookcli.core.db import engine, gateway, schema
from bookcli.core.model.staff import SignedIn

SLOTS = 10_000
PATIENTS = 700_000
HOT_SLOT = 1
DESK = "bench_desk"

_SEED = f"""
INSERT INTO site (code, name, zone) VALUES ('bench', 'Bench', 'UTC');
INSERT INTO test (code, name, duration_minutes) VALUES ('bench', 'Bench', 30);
INSERT INTO resource (site_id, code, name) SELECT 1, 'r' || i, 'Room' FROM generate_series(1, 100) i;
INSERT INTO resource_test SELECT resource_id, 1 FROM resource;
INSERT INTO slot (site_id, resource_id, starts_at, ends_at, local_start, capacity)
SELECT 1, r, begins, begins + interval '30 min', begins::timestamp, 100000
  FROM generate_series(1, {SLOTS // 100}) n, generate_series(1, 100) r,
       LATERAL (SELECT date_trunc('hour', now()) + interval '20 days' + n * interval '30 min' AS begins) t
 ORDER BY t.begins, r;
INSERT INTO patient (mrn, name) SELECT 'B' || i, 'Bench ' || i FROM generate_series(1, {PATIENTS}) i;
ANALYZE;
"""


@dataclass(frozen=True)
class Ground:
    """A running server: where it is and the programs that came with it."""

    paths: config.Paths
    programs: Path

    @property
    def socket_directory(self) -> Path:
        return local_sockets.socket_directory(self.paths)

    def dsn(self, database: str = "bookcli") -> str:
        """The address of one of its databases."""
        return local_sockets.postgres_dsn(self.paths).replace("@/bookcli?", f"@/{database}?")

    def desk_dsn(self, database: str) -> str:
        """The address for a desk: a role that may execute functions and nothing else."""
        return self.dsn(database).replace(f"//{local_sockets.ROLE}@", f"//{DESK}@")

    def context(self, database: str) -> Context:
        """A desk that is signed in: `create` has kept a session for it, which commands find too."""
        return Context(config.Settings(database_url=self.desk_dsn(database), deadline="60"), self.paths)

    def create(self, database: str) -> None:
        """A database with the schema and the bench rows, and a manager's session at its desk."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {database} WITH (FORCE)")
            connection.execute(f"CREATE DATABASE {database}")
        with contextlib.closing(engine.connect(self.dsn(database), deadline=60)) as owner:
            schema.load(owner)
            with contextlib.suppress(psycopg.errors.DuplicateObject):
                owner.execute(f"CREATE ROLE {DESK} LOGIN IN ROLE bookcli_desk".encode())
            token, expires_at = gateway.sign_in_here(owner, "bench")
        self.context(database).keep(SignedIn(token, "bench", "manager", expires_at))
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            connection.execute("SET statement_timeout = 0")
            connection.execute(_SEED)
            connection.execute("VACUUM ANALYZE")


@contextlib.contextmanager
def ground() -> Iterator[Ground]:
    """A server of the run's own, in a directory that any server user can reach."""
    home = Path(tempfile.mkdtemp(prefix="bookcli-bench-"))
    home.chmod(0o755)
    paths = config.paths({"BOOKCLI_HOME": str(home)})
    settings = config.Settings(deadline="60")
    try:
        embedded.ensure_postgres(paths, settings)
        pid = next(server.pid for server in embedded.status(paths) if server.name == "postgres")
        yield Ground(paths, Path(f"/proc/{pid}/exe").readlink().parent)
    finally:
        embedded.stop(paths)
        shutil.rmtree(home, ignore_errors=True)


def median(figures: list[float]) -> float:
    """The middle one; with both sides alternating, one disturbed round does not decide."""
    return statistics.median(figures)
