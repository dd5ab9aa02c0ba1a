"""The keys that do something where the help was opened; what is chosen there is done.

What must stay true: the list is made from the bindings themselves, so it cannot be wrong.
"""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from ...core.model.text import fold
from ..kit import Dialog

KEYS = 14


class Help(Dialog[ActiveBinding]):
    """Type to search, Enter does what is under the cursor; ends with the binding that was chosen."""

    HEADING = "Keys"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "move(1)", "Next", id="help.next", show=False),
        Binding("up", "move(-1)", "Before", id="help.before", show=False),
    ]

    def __init__(self, keys: dict[tuple[str, str], ActiveBinding]) -> None:
        super().__init__()
        self._keys = keys
        self._found: list[ActiveBinding] = []

    def body(self) -> ComposeResult:
        yield Input(placeholder="Type to search; Enter does it", compact=True, select_on_focus=False)
        yield OptionList(compact=True)

    def on_mount(self) -> None:
        self._search("")

    def on_input_changed(self, event: Input.Changed) -> None:
        self._search(event.value)

    def _search(self, words: str) -> None:
        wanted = fold(words).split()
        found = {
            (shown, what): active
            for (shown, what), active in self._keys.items()
            if all(word in fold(f"{what} {shown}") for word in wanted)
        }
        self._found = list(found.values())
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(Content.assemble((f"{keys:<{KEYS}}", "bold"), what)) for keys, what in found])
        options.highlighted = 0 if found else None

    def action_move(self, by: int) -> None:
        options = self.query_one(OptionList)
        if by > 0:
            options.action_cursor_down()
        else:
            options.action_cursor_up()

    def on_input_submitted(self) -> None:
        self._choose()

    def on_option_list_option_selected(self) -> None:
        self._choose()

    def _choose(self) -> None:
        which = self.query_one(OptionList).highlighted
        if which is not None:
            self.dismiss(self._found[which])


def keys_of(screen: Screen[object]) -> dict[tuple[str, str], ActiveBinding]:
    """(keys as shown, what they do) → binding, for what can be done on a screen now; keys of one thing together.

    What is done with the screen comes before what is done everywhere, and walking around in it last.
    """
    together: dict[str, list[str]] = {}
    actions: dict[str, ActiveBinding] = {}
    nodes = [screen, screen.app]
    order = sorted(
        screen.active_bindings.values(), key=lambda one: nodes.index(one.node) if one.node in nodes else len(nodes)
    )
    for active in order:
        binding = active.binding
        if binding.description and binding.id and active.enabled:
            shown = screen.app.get_key_display(binding)
            if shown not in together.setdefault(binding.description, []):
                together[binding.description].append(shown)
            actions.setdefault(binding.description, active)
    return {(" ".join(together[what]), what): active for what, active in actions.items()}
