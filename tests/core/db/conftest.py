"""Machines and people for the tests of the gateway."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psycopg
import pytest

from bookcli.core.db import engine, gateway, kernel
from tests.clinic import Clinic
from tests.core.db.gateway_attempts import PEOPLE
from tests.servers import MACHINES


@pytest.fixture
def machines(clinic: Clinic) -> Iterator[dict[str, engine.Connection]]:
    """A connection as each kind of machine; somebody is booked."""
    kernel.book(clinic.owner, [clinic.request(1, "blood", clinic.slot("blood")).document()])
    with contextlib.ExitStack() as stack:
        dsn = clinic.owner_dsn
        found = {}
        for kind in MACHINES:
            address = psycopg.conninfo.make_conninfo(dsn, user=f"tests_{kind}")
            found[kind] = stack.enter_context(engine.connect(address))
        yield found


@pytest.fixture
def tokens(clinic: Clinic) -> dict[str, str]:
    """A live session of each role."""
    return {role: gateway.sign_in_here(clinic.owner, f"a-{role}", role)[0] for role in PEOPLE}
