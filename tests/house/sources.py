"""The product's own files, read and parsed once for all house rules."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.processes import REPOSITORY

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of the product, by its path in the repository."""
    found = [path for top in ("bookcli", "worker") for path in sorted((REPOSITORY / top).rglob("*.py"))]
    return {str(path.relative_to(REPOSITORY)): ast.parse(path.read_text(encoding="utf-8")) for path in found}


def lines(module: str) -> int:
    """How long a file is."""
    return len((REPOSITORY / module).read_text(encoding="utf-8").splitlines())


def functions() -> Iterator[tuple[str, Function]]:
    """(where, function) for every function and method."""
    for module, tree in modules().items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield f"{module}:{node.lineno} {node.name}", node


def texts() -> Iterator[tuple[str, str]]:
    """(where, text) for every string in the code that is not a docstring."""
    for module, tree in modules().items():
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | Function)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                yield f"{module}:{node.lineno}", node.value


def sql_files() -> dict[str, str]:
    """schema.sql and the migrations, without comments."""
    paths: list[Path] = [REPOSITORY / "schema.sql", *sorted((REPOSITORY / "bookcli/core/db/migrations").glob("*.sql"))]
    return {
        str(path.relative_to(REPOSITORY)): "\n".join(
            line.partition("--")[0] for line in path.read_text(encoding="utf-8").splitlines()
        )
        for path in paths
    }
