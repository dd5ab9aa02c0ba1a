"""The keys of the whole desk, and the table [keys] of the settings file that changes them and those of the screens.

What must stay true: every key that does something has an id, so that it can be changed and is in the help.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path

from textual.binding import Binding, BindingType
from textual.dom import DOMNode

from ..core.errors import InvalidInput
from ..core.model.text import nearest
from .screens import SCREENS

GLOBAL: list[BindingType] = [
    *(
        Binding(entry.key, f"open('{entry.id}')", entry.title, id=entry.binding_id, show=False)
        for entry in SCREENS
        if entry.key
    ),
    Binding("question_mark,f1", "help", "Help", id="help", key_display="?"),
    Binding("ctrl+p", "command_palette", "Actions", id="palette", priority=True, key_display="^p"),
    Binding("s", "site", "Site", id="site", show=False),
    Binding("u", "undo", "Undo", id="undo", show=False),
    Binding("ctrl+l", "lock", "Lock or switch user", id="lock", show=False),
    Binding("percent_sign", "mouse", "Mouse on or off", id="mouse", show=False),
    Binding("q", "leave", "Quit", id="quit"),
]


def ids() -> list[str]:
    """The ids of all keys of the desk, its screens and its widgets."""
    given = [*GLOBAL, *(binding for kind in kinds() for binding in vars(kind).get("BINDINGS", ()))]
    return sorted({binding.id for binding in given if isinstance(binding, Binding) and binding.id})


def kinds() -> list[type[DOMNode]]:
    """Every kind of screen, dialog and widget that the desk has; imports them all."""
    for folder in ("screens", "widgets"):
        for module in pkgutil.iter_modules([str(Path(__file__).parent / folder)]):
            importlib.import_module(f"{__package__}.{folder}.{module.name}")
    found: list[type[DOMNode]] = []
    ahead: list[type[DOMNode]] = [DOMNode]
    while ahead:
        found.append(ahead.pop())
        ahead += found[-1].__subclasses__()
    return [kind for kind in found if kind.__module__.startswith(f"{__package__}.")]


def checked(keys: Mapping[str, str]) -> dict[str, str]:
    """The table of the settings file. Raises InvalidInput `keys-unknown` for an id that nothing has."""
    if not keys:
        return {}
    known = ids()
    for name in keys:
        if name not in known:
            near = nearest(name, known)
            raise InvalidInput(
                f"No key of the desk has the id {name[:40]}.",
                hint=f"Did you mean {' or '.join(near)}?" if near else "Known ids: " + ", ".join(known),
                code="keys-unknown",
            )
    return dict(keys)
