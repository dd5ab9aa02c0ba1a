"""Keys that are pressed before it is known where they belong: kept in order, and given to whatever has the focus then.

What must stay true: none of them is lost or overtakes another one; none goes to a locked desk, or to whoever unlocks it
in somebody else's stead.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakSet

from textual import events
from textual.dom import DOMNode
from textual.message import Message
from textual.widget import Widget

if TYPE_CHECKING:
    from .app import DeskApp

AT_ONCE = frozenset({"escape", "ctrl+l", "ctrl+p", "ctrl+q", "f1"})
"""Keys that nobody waits with: they follow what was kept, which is given back to where it was typed."""
AGAIN_SECONDS = 0.2
"""Between two looks whether the desk is unlocked."""
STUCK_SECONDS = 0.5
"""After which a key is done with, even if whoever had the focus has gone and says nothing more."""


class TypeAhead:
    """One for the desk: `watch` a widget that may lose the focus after Enter, `release` when that is decided."""

    def __init__(self, desk: DeskApp) -> None:
        self._desk = desk
        self._watched: WeakSet[Widget] = WeakSet()
        self._held: Widget | None = None
        self._from: Widget | None = None
        self._kept: list[events.Key | events.Paste] = []
        self._passed: Message | None = None
        self._step = 0

    def watch(self, widget: Widget) -> None:
        """What is typed into a widget after Enter waits until it is released."""
        self._watched.add(widget)

    def release(self, widget: Widget) -> None:
        """What was typed belongs to whatever has the focus when the messages of the widget have arrived."""
        if self._held is widget:
            self._held, self._from = None, widget
            self._wait_for(widget)

    def keeps(self, event: events.Event) -> bool:
        """Whether an event waits, and nothing happens for it now."""
        if not isinstance(event, events.Key | events.Paste) or event.is_forwarded:
            return False
        key = event.key if isinstance(event, events.Key) else ""
        here, again = self._desk.focused, event is self._passed
        waits = self._from is not None or (self._held is not None and here is self._held)
        if again or self._desk.is_locked or not waits:
            if key == "enter" and here in self._watched:
                self._held = here
                self._kept = self._kept if again else []  # else they are of somebody who has gone
            return False
        self._kept.append(event)
        if self._held is not None and key in AT_ONCE:
            self.release(self._held)
        return True

    def _wait_for(self, widget: Widget) -> None:
        """Goes on when whatever a widget has told by now has been heard."""
        self._step += 1
        # A key goes up to the app, whose action then lets the widget tell something, which goes up once more.
        self._along(self._step, 2 * list(widget.ancestors_with_self))
        self._desk.set_timer(STUCK_SECONDS, partial(self._along, self._step, ()))

    def _along(self, step: int, nodes: Sequence[DOMNode]) -> None:
        """Goes the way of a message, from a widget up to the app."""
        if step != self._step:
            return
        for n, node in enumerate(nodes, start=1):
            if node.call_later(self._along, step, nodes[n:]):
                return
        self._next()

    def _next(self) -> None:
        self._step += 1
        if self._held is not None:
            self._from = self._passed = None
            return
        if self._from is None or not self._from.is_attached:
            self._kept.clear()
        if not self._kept:
            self._from = self._passed = None
        elif self._desk.is_locked:
            self._desk.set_timer(AGAIN_SECONDS, self._next)
        else:
            self._passed = self._kept.pop(0)
            target = self._desk.focused or self._desk.screen
            self._desk.post_message(self._passed)
            self._desk.call_later(self._wait_for, target)
