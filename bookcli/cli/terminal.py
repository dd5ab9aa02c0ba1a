"""`bookcli tui`: the desk in a terminal, which is also what `bookcli` alone shows there.

What must stay true: front ends do not import each other; the desk is started by its name, as a shell would.
"""

from __future__ import annotations

import importlib
import os
from typing import Annotated

import typer

from ..core.errors import InvalidInput
from .command import Desk
from .main import is_seated

_TELLTALE = ("TEXTUAL", "TEXTUAL_LOG", "TEXTUAL_DEBUG", "TEXTUAL_SCREENSHOT", "TEXTUAL_PRESS")
"""What would make textual write what is on the screen, or is typed, somewhere else."""
Theme = Annotated[
    str, typer.Option("--theme", metavar="NAME", help="Colours: dark, light, ansi-dark or ansi-light (the terminal's).")
]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("tui")(tui)


def tui(desk: Desk, theme: Theme = "") -> None:
    """Show the desk: the day of a site as a board, and everything else with a key. `?` there lists them.

    \b
    Examples:
      bookcli tui
      bookcli tui --theme light
    """
    if not is_seated():
        raise InvalidInput("The desk needs a terminal.", hint="bookcli --help lists the commands.", code="no-terminal")
    for name in _TELLTALE:
        os.environ.pop(name, None)
    broken = importlib.import_module("bookcli.tui.app").run(desk.context, theme)
    if broken is not None:
        raise broken
