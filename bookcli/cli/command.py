"""Turns the function of one command into something that parses, runs and prints; only that one command is built.

A command is a function whose first parameter is `desk: Desk` and whose other parameters are typer's: its body is
parse → one service call → one print. The options every command has (-o, --json, -q, -v, --color, --debug) are added
here and arrive as the desk.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import typer.main

from ..core.context import Context
from ..core.errors import BookcliError, InvalidInput
from ..core.model.text import visible
from . import diagnostics
from .output import Output, write_lines

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
MOST_CHARACTERS = 4096

Format = Literal["table", "json", "ndjson", "csv", "tsv", "ids"]
Color = Literal["auto", "always", "never"]


class Desk:
    """What a command has: `output` for its answer, `talk` for everything else, `context` for the services."""

    def __init__(self, output: Output, talk: diagnostics.Talk) -> None:
        self.output = output
        self.talk = talk
        self._context: Context | None = None

    @property
    def context(self) -> Context:
        """Made on first use, closed when the command ends; nothing is opened before a service needs it."""
        if self._context is None:
            self._context = Context(announce=self.talk.note)
            self._context.answer_first()
        return self._context

    def __enter__(self) -> Desk:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._context is None:
            return
        with self._context:
            ended_well = kind is None or issubclass(kind, BookcliError | typer.Exit)
            if ended_well and _holds_requests(self._context.paths.spool):
                from . import pending  # noqa: PLC0415 - only after the database was away

                pending.after_command(self)


def _holds_requests(spool: Path) -> bool:
    """Whether this desk keeps a request that waits or whose end it was not told; one listing of a directory."""
    try:
        files = os.listdir(spool)  # noqa: PTH208 - names alone
    except OSError:
        return False
    return any(file.endswith((".waiting", ".ended")) for file in files)


def _common(
    output: Annotated[
        Format | None,
        typer.Option("--output", "-o", help="How to print: a table on a terminal, tsv elsewhere, unless named."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The same as -o json.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only the answer and errors.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more about what happens.")] = False,
    color: Annotated[Color, typer.Option("--color", help="When to use colour.")] = "auto",
    debug: Annotated[bool, typer.Option("--debug", help="Show the trace of an error.")] = False,
) -> Desk:
    """The options of every command."""
    talk = diagnostics.Talk(quiet=quiet, verbose=verbose, json=json or output in ("json", "ndjson"), debug=debug)
    return Desk(Output("json" if json else output, color), talk)


_COMMON = inspect.signature(_common, eval_str=True)


def with_desk(function: Callable[..., None]) -> Callable[..., None]:
    """The function with the common options in place of its desk."""
    own = list(inspect.signature(function, eval_str=True).parameters.values())[1:]
    common = [option.replace(kind=inspect.Parameter.KEYWORD_ONLY) for option in _COMMON.parameters.values()]

    def command(**values: Any) -> None:
        chosen = {name: values.pop(name) for name in _COMMON.parameters}
        with _common(**chosen) as desk:
            function(desk, **values)

    command.__name__ = function.__name__
    command.__doc__ = function.__doc__
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own), *common]
    )
    return command


def run(module: str, words: Sequence[str]) -> int:
    """Runs the command that `words` name, which lives in `module`. Raises BookcliError and what a bug raises."""
    check(words)
    command, name, rest = build(module, words)
    try:
        with command.make_context(name, list(rest)) as context:
            command.invoke(context)
    except typer.Exit as end:
        return end.exit_code
    except typer.TyperException as problem:
        if type(problem).__name__ == "NoArgsIsHelpError":
            write_lines(problem.format_message().split("\n"))
            return 0
        raise InvalidInput(_sentence(problem), hint=f"{name} -h explains it.", code="usage") from problem
    return 0


def _sentence(problem: typer.TyperException) -> str:
    """What typer says, with near names as a question, ended with a stop."""
    possible = getattr(problem, "possibilities", None)
    text = problem.message if possible else problem.format_message()
    text = text.strip().rstrip(".")
    if possible:
        return f"{text}. Did you mean {' or '.join(sorted(possible))}?"
    return text if text.endswith("?") else f"{text}."


def check(words: Sequence[str]) -> None:
    """Refuses what no command takes: text that is not Unicode, control characters, and far too much of it."""
    for word in words:
        if len(word) > MOST_CHARACTERS:
            raise InvalidInput("An argument is too long.", hint=f"At most {MOST_CHARACTERS} characters.")
        if "\x00" in word or word != word.encode("utf-8", "ignore").decode():
            raise InvalidInput("An argument is not valid Unicode text.", hint="Check how it was typed or pasted.")
        line = word.replace("\n", " ").replace("\t", " ")
        if visible(line) != line:
            raise InvalidInput("An argument contains a control character.", hint="Type it again by hand.")


def build(module: str, words: Sequence[str]) -> tuple[Any, str, list[str]]:
    """(the typer command that `words` begin with, its full name, the words left for it)."""
    app = registered(module)
    path, rest = ["bookcli"], list(words)
    while rest:
        groups = [item for item in app.registered_groups if item.name == rest[0]]
        commands = [item for item in app.registered_commands if item.name == rest[0]]
        if not groups and not commands:
            break
        path.append(rest.pop(0))
        if commands:
            app.registered_commands, app.registered_groups = commands, []
            prepare(app)
            return typer.main.get_command(app), " ".join(path), rest
        assert groups[0].typer_instance is not None
        app = groups[0].typer_instance
    prepare(app)
    return typer.main.get_group(app), " ".join(path), rest


def prepare(app: typer.Typer) -> None:
    """Gives every command in `app` its desk."""
    app.info.context_settings = SETTINGS
    for item in app.registered_commands:
        assert item.callback is not None
        item.callback = with_desk(item.callback)
        item.context_settings = SETTINGS
    for group in app.registered_groups:
        if group.typer_instance is not None:
            prepare(group.typer_instance)


def registered(module: str) -> typer.Typer:
    """A typer with the commands of a module. Raises InvalidInput when the installation lacks it."""
    if importlib.util.find_spec(f"{__package__}.{module}") is None:
        raise InvalidInput("That command is not part of this installation.", code="command-missing")
    app = new_app()
    importlib.import_module(f"{__package__}.{module}").register(app)
    return app


def new_app(help: str = "") -> typer.Typer:
    """A Typer as ours are: no rich, no traceback dressing, no completion options."""
    return typer.Typer(
        help=help,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        pretty_exceptions_show_locals=False,
        add_completion=False,
        no_args_is_help=True,
        context_settings=SETTINGS,
    )
