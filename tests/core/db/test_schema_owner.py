"""The schema loads as somebody who is no superuser, as in a cluster that others run; and desks still get in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from psycopg.conninfo import make_conninfo

from bookcli.core.config import Settings
from bookcli.core.context import Context
from bookcli.core.db import engine, gateway, health, kernel, schema
from bookcli.core.services import database as databases
from tests.clinic import STAFF
from tests.servers import OLDEST, Server, engine_connection

pytestmark = pytest.mark.both_servers


@pytest.fixture
def humble(server: Server) -> Iterator[str]:
    """The address of an empty database for its owner, who may create roles and nothing else."""
    with engine_connection(server.dsn("postgres")) as admin:
        admin.execute("DROP DATABASE IF EXISTS rented")
        admin.execute("DROP ROLE IF EXISTS tenant")
        admin.execute("CREATE ROLE tenant LOGIN CREATEROLE CREATEDB")
        admin.execute("CREATE DATABASE rented OWNER tenant")
        # As if the tenant had created the roles: since PostgreSQL 16 theirs to give, but not to become.
        how = "ADMIN OPTION" if server.major == OLDEST else "ADMIN TRUE, SET FALSE, INHERIT FALSE"
        for kind in ("owner", "desk", "worker", "auditor", "admin"):
            admin.execute(f"GRANT bookcli_{kind} TO tenant WITH {how}".encode())
    try:
        yield make_conninfo(server.dsn("rented"), user="tenant")
    finally:
        with engine_connection(server.dsn("postgres")) as admin:
            admin.execute("DROP DATABASE rented WITH (FORCE)")
            admin.execute("DROP OWNED BY tenant")
            admin.execute("DROP ROLE tenant")


def test_the_schema_loads_for_an_owner_who_is_no_superuser(database: str, humble: str) -> None:
    with contextlib.closing(engine.connect(humble)) as owner:
        assert schema.load(owner)
        owner.token, _ = gateway.sign_in_here(owner, STAFF)
        assert kernel.save(owner, "sites", [{"code": "one"}])[0].verdict == "created"
        assert owner.execute("SELECT rolsuper FROM pg_roles WHERE rolname = session_user").fetchone() == (False,)
    with Context(Settings(database_url=humble)) as context:
        assert databases.check(context) == []


def test_a_role_that_is_created_by_the_schema_can_be_given_by_its_owner(
    server: Server, database: str, humble: str
) -> None:
    with contextlib.closing(engine.connect(humble)) as owner:
        schema.load(owner)
        owner.execute("CREATE ROLE rented_desk LOGIN IN ROLE bookcli_desk")
        try:
            with engine.connect(make_conninfo(humble, user="rented_desk")) as desk:
                assert desk.execute("SELECT slots FROM app.counters()").fetchone() == (0,)
                # Before PostgreSQL 16 whoever may give a role away has it.
                assert ("tenant" in health.role(desk).too_powerful) is (server.major == OLDEST)
        finally:
            owner.execute("DROP ROLE rented_desk")
