"""How large a piece of the house may be; what outgrows a number is asked whether it is one thing."""

from __future__ import annotations

import ast

from tests.house import sources

LONGEST_FILE = 400
LONGEST_FUNCTION, USUAL_FUNCTION, USUAL_SHARE = 40, 20, 0.9
LONGEST_COMMAND = 12
MOST_PARAMETERS = 6
COMMON_OPTIONS = ("bookcli/cli/command.py", "_common")


def _body(function: sources.Function) -> int:
    """Lines of the body, without the docstring and the imports that are put off."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    late = sum(isinstance(statement, ast.Import | ast.ImportFrom) for statement in body)
    return 1 + (body[-1].end_lineno or 0) - body[0].lineno - late if body else 0


def _length(function: sources.Function) -> int:
    """Lines of signature and body. The options of a command are a table for the reader of its help: not counted."""
    signature = 1 if _is_command(function) else function.body[0].lineno - function.lineno
    return signature + _body(function)


def _is_command(function: sources.Function) -> bool:
    arguments = function.args.args
    return bool(arguments) and arguments[0].arg == "desk" and not function.name.startswith("_")


def _parameters(function: sources.Function) -> list[str]:
    """What a caller must remember: without the object itself, and without what carries the outside world."""
    arguments = function.args
    names = [one.arg for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return [name for name in names if name not in ("self", "cls", "context", "connection", "desk")]


def test_no_file_is_longer_than_a_sitting() -> None:
    assert {name: sources.lines(name) for name in sources.modules() if sources.lines(name) > LONGEST_FILE} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    lengths = {where: _length(function) for where, function in sources.functions()}
    assert {where: length for where, length in lengths.items() if length > LONGEST_FUNCTION} == {}
    short = sum(length <= USUAL_FUNCTION for length in lengths.values())
    assert short / len(lengths) >= USUAL_SHARE


def test_no_function_wants_more_than_it_can_remember() -> None:
    many = {
        where: len(names)
        for where, function in sources.functions()
        if len(names := _parameters(function)) > MOST_PARAMETERS and not (_is_command(function) or _is_common(where))
    }
    assert many == {}


def _is_common(where: str) -> bool:
    """The options that every command has."""
    file, name = COMMON_OPTIONS
    return where.startswith(file) and where.endswith(f" {name}")


def _registers(module: str) -> bool:
    """Whether main.py finds commands in a module."""
    return any(isinstance(node, ast.FunctionDef) and node.name == "register" for node in sources.modules()[module].body)


def test_a_command_parses_asks_once_and_prints() -> None:
    commands = {
        where: _body(function)
        for where, function in sources.functions()
        if _is_command(function) and _registers(where.partition(":")[0])
    }
    assert {where: length for where, length in commands.items() if length > LONGEST_COMMAND} == {}
    assert len(commands) > 10


def test_every_module_says_what_it_is_for() -> None:
    silent = [name for name, tree in sources.modules().items() if tree.body and ast.get_docstring(tree) is None]
    assert silent == []
