"""People who work at the clinic of the tests, and the desks they sit at.

What must stay true: they are added and signed in through the services, as a manager and they themselves would.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from bookcli.core.adapters import stretching
from bookcli.core.config import Paths
from bookcli.core.context import Context
from bookcli.core.db import engine
from bookcli.core.errors import NotAllowed, NotFound
from bookcli.core.model.staff import Stretching
from bookcli.core.services import patients, staff

PASSWORD = "four words are best"
FIRST_PASSWORD = "told on a slip of paper"
CHEAP = Stretching(b"", passes=2, memory_kib=19456, lanes=1)
"""The least a database takes, so that tests do not spend their time stretching."""


def hire(manager: Context, owner: engine.Connection, name: str, role: str = "desk", sites: Sequence[str] = ()) -> str:
    """Somebody with PASSWORD, who has changed the first one already; their name."""
    staff.add(manager, name, PASSWORD, role=role, sites=sites)
    owner.execute("UPDATE app.staff SET must_change = false WHERE name = %s", (name,))
    return name


def another_desk(context: Context, number: int = 2) -> Context:
    """A desk of the same database with files of its own, where nobody is signed in."""
    place = context.paths.state.parent / f"desk-{number}"
    return Context(context.settings, Paths(place / "config", place / "data", place / "state"))


def said(desk: Context, name: str, password: str) -> tuple[str, str, str, tuple[str, ...]]:
    """(code, sentence, hint, names of details) of a sign-in that was refused."""
    with pytest.raises(NotAllowed) as refused:
        staff.sign_in(desk, name, password)
    problem = refused.value
    return problem.code, problem.message, problem.hint, tuple(problem.details)


def seen_at(desk: Context) -> str:
    """How a look at a patient is answered at a desk: `seen`, or the code of the refusal."""
    try:
        patients.get(desk, "P1")
    except NotAllowed as refused:
        return refused.code
    except NotFound:
        return "seen"
    return "seen"


def waits_for_a_lock(context: Context) -> None:
    """Returns when somebody waits for a lock in the database, or after four seconds, which is below every time-out."""
    waiting = b"SELECT count(*) FROM pg_locks WHERE NOT granted"
    until = time.monotonic() + 4
    with context.fresh_connection() as watching:
        while not (watching.execute(waiting).fetchone() or (0,))[0] and time.monotonic() < until:
            time.sleep(0.02)


def row(owner: engine.Connection, statement: str) -> tuple[Any, ...]:
    """The only row of a query."""
    (found,) = owner.execute(statement.encode()).fetchall()
    return found


@pytest.fixture
def ana(context: Context, owner: engine.Connection, cheap: None) -> Iterator[Context]:
    """The desk where Ana, a clerk with PASSWORD, is signed in."""
    hire(context, owner, "ana")
    with another_desk(context) as desk:
        staff.sign_in(desk, "ana", PASSWORD)
        yield desk


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """New passwords are stretched as little as a database allows."""
    monkeypatch.setattr(stretching, "WANTED", CHEAP)
