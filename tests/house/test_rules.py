"""Rules of the house that a grown tree breaks one line at a time; each has cost somebody a weekend (traps)."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from bookcli.tui import keys
from tests.house import sources

# A shell that asks for completion is an edge too: it has no place for an error.
EDGES = (
    "bookcli/cli/main.py",
    "bookcli/cli/completion.py",
    "bookcli/tui/app.py",
    "bookcli/tui/calls.py",
    "worker/jobs.py",
    "worker/running.py",
    "worker/timetable.py",
)
SLOT_CACHE = "bookcli/core/adapters/slot_cache.py"
CLOCK = "bookcli/core/clock.py"
NOW = {"now", "utcnow", "today"}

FORBIDDEN_SQL = {
    "a bare SET leaks to the next client of a pool": r"(?:^|;|\bBEGIN\b|\bTHEN\b|\bLOOP\b)\s*SET\s+(?!LOCAL\b)",
    "a session lock excludes nobody behind a pool": r"\bpg_(?:try_)?advisory_lock(?:_shared)?\s*\(",
    "set_config must end with the transaction": r"\bset_config\s*\([^)]*\bfalse\s*\)",
    "LISTEN receives nothing behind a pool": r"(?:^|;)\s*LISTEN\b",
    "only READ COMMITTED is right": r"\b(?:REPEATABLE READ|SERIALIZABLE)\b",
}
BAD_SQL = [
    "SET search_path = app",
    "SELECT 1; SET lock_timeout = 1",
    "SELECT pg_advisory_lock(1)",
    "SELECT pg_try_advisory_lock_shared(1, 2)",
    "SELECT set_config('a', 'b', false)",
    "LISTEN slots",
    "BEGIN ISOLATION LEVEL REPEATABLE READ",
]
GOOD_SQL = [
    "SET LOCAL statement_timeout = 0",
    "UPDATE slot SET booked = 0",
    "SELECT pg_advisory_xact_lock(1, 2)",
    "ALTER DATABASE x SET jit = off",
    "SELECT set_config('a', 'b', true)",
    "CREATE FUNCTION f() RETURNS void LANGUAGE plpgsql\nSET search_path = app AS $$ BEGIN END $$",
]


def _sins(sql: str) -> list[str]:
    return [why for why, pattern in FORBIDDEN_SQL.items() if re.search(pattern, sql)]


@pytest.mark.parametrize("sql", BAD_SQL)
def test_the_rule_for_sql_sees_what_is_wrong(sql: str) -> None:
    assert len(_sins(sql)) == 1


@pytest.mark.parametrize("sql", GOOD_SQL)
def test_the_rule_for_sql_leaves_what_is_right(sql: str) -> None:
    assert _sins(sql) == []


def test_no_statement_outlives_its_transaction() -> None:
    found = {where: _sins(text) for where, text in [*sources.texts(), *sources.sql_files().items()]}
    assert {where: sins for where, sins in found.items() if sins} == {}


def test_only_the_clock_asks_what_time_it_is() -> None:
    found = [
        f"{module}:{node.lineno}"
        for module, tree in sources.modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr in NOW
        and isinstance(node.value, ast.Name)
        and node.value.id in ("datetime", "date")
        and module != CLOCK
    ]
    assert found == []


def _catches_everything(handler: ast.ExceptHandler) -> bool:
    if isinstance(handler.body[-1], ast.Raise) and handler.body[-1].exc is None:
        return False
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in ("Exception", "BaseException")) for kind in kinds
    )


def test_only_the_edges_catch_everything() -> None:
    found = [
        f"{module}:{node.lineno}"
        for module, tree in sources.modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ExceptHandler) and _catches_everything(node) and module not in (*EDGES, SLOT_CACHE)
    ]
    assert found == []


def test_only_output_and_diagnostics_write_to_the_terminal() -> None:
    found = [
        f"{module}:{node.lineno}"
        for module, tree in sources.modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert found == []


def _bindings() -> Iterator[tuple[str, ast.Call]]:
    """(where, call) for every key that the desk binds."""
    for module, tree in sources.modules().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Binding":
                yield f"{module}:{node.lineno}", node


def test_every_key_of_the_desk_has_an_id_by_which_it_is_changed() -> None:
    known = keys.ids()
    names = {where: next((one.value for one in call.keywords if one.arg == "id"), None) for where, call in _bindings()}
    assert len(names) > 80
    assert [where for where, name in names.items() if name is None] == []
    constants = {where: name.value for where, name in names.items() if isinstance(name, ast.Constant)}
    assert {where: name for where, name in constants.items() if name not in known} == {}
