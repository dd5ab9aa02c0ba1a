"""The keys of the whole desk, and the table [keys] of the settings file that changes them and those of the screens.

What must stay true: every key that does something has an id, so that it can be changed and is in the help.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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


TEXTUAL_S_OWN = frozenset({"app.focus_next", "app.focus_previous", "screen.copy_text"})
"""Actions of keys that come with textual and have no id."""


def ids() -> list[str]:
    """The ids of all keys of the desk and its screens; imports every screen."""
    from .kit import Confirm  # noqa: PLC0415 - only when keys were changed
    from .screens.schedules import DIALOGS  # noqa: PLC0415 - likewise
    from .screens.slot import Slot  # noqa: PLC0415 - likewise
    from .widgets.board_grid import BoardGrid  # noqa: PLC0415 - likewise
    from .widgets.picture import Picture  # noqa: PLC0415 - likewise

    nodes: list[type[DOMNode]] = [*(entry.load() for entry in SCREENS), BoardGrid, Confirm, Picture, Slot, *DIALOGS]
    found = [binding.id for binding in GLOBAL if isinstance(binding, Binding)]
    for node in nodes:
        found += [binding.id for binding in bindings(node)]
    return sorted({name for name in found if name})


def bindings(node: type[DOMNode]) -> Iterator[Binding]:
    """All keys of a screen or widget, those of the classes it is made of too."""
    for kind in node.__mro__:
        for binding in vars(kind).get("BINDINGS", ()):
            if isinstance(binding, Binding):
                yield binding


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
