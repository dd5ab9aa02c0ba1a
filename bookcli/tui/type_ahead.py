"""Keys that are pressed before it is known where they belong: kept in order, and given to whatever has the focus then.

What must stay true: a key is passed on when all that the one before it has led to is there: a screen with its focus, or
the answer that is waited for; none is lost or overtakes another one; none that was typed here goes to a locked desk,
or to whoever unlocks it in somebody else's stead, and none that was typed at a locked desk gets behind it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakSet, ref

from textual import events
from textual.dom import DOMNode
from textual.message_pump import MessagePump
from textual.screen import Screen
from textual.widget import Widget

from .screens.sign_in import NewPassword, SignIn

if TYPE_CHECKING:
    from .app import DeskApp

AT_ONCE = frozenset({"escape", "ctrl+l", "ctrl+p", "ctrl+q", "f1"})
"""Keys that do not wait for an answer: they follow what was kept, which is given back to where it was typed."""
SOON_SECONDS = 0.02
"""Between two looks whether a screen or an answer is there."""
AGAIN_SECONDS = 0.2
"""Between two looks whether the desk is unlocked."""
STUCK_SECONDS = 0.5
"""Between two looks whether whoever has to say that a key is done with has gone, and says nothing more."""
FIRST_SECONDS = 1.0
"""How long keys wait for what a view shows first."""
MOST_SECONDS = 10.0
"""After which the next key is passed on whatever happens."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A key that waits; `locked` says at which desk it was typed, None when that is decided by the key before it."""

    event: events.Key | events.Paste
    locked: bool | None
    staff: str


class TypeAhead:
    """One for the desk: `watch` a widget that may lose the focus after Enter, `release` when that is decided."""

    def __init__(self, desk: DeskApp) -> None:
        self._desk = desk
        self._watched: WeakSet[Widget] = WeakSet()
        self._held: Widget | None = None
        self._asked: tuple[MessagePump, str] | None = None
        self._kept: list[Kept] = []
        self._passed: events.Event | None = None
        self._seen: ref[Screen[Any]] | None = None
        self._busy = self._first = False
        self._since = self._until = 0.0
        self._step = 0
        self._rest: tuple[DOMNode, ...] = ()

    def watch(self, widget: Widget) -> None:
        """What is typed into a widget after Enter waits until it is released."""
        self._watched.add(widget)

    def hold(self, widget: Widget) -> None:
        """What is typed into a widget that is about to have the focus waits until it is released."""
        self._held = widget
        self._settle_desk()

    def release(self, widget: Widget) -> None:
        """What was typed belongs to whatever has the focus when the messages of the widget have arrived."""
        if self._held is widget:
            self._held = None
            self._begin(widget)

    @property
    def pressed_at(self) -> float:
        """When what is done now was asked for by a key, on the monotonic clock, however long the key has waited."""
        return self._passed.time if self._passed is not None else time.monotonic()

    def until_answered(self, owner: MessagePump, group: str, seconds: float = MOST_SECONDS) -> None:
        """What is typed waits for the answer to a question, as in `Calls.ask`, because it is for what the answer shows.

        `seconds` is how long at most.
        """
        self._asked, self._until, self._first = (owner, group), time.monotonic() + seconds, False
        self._settle_desk()

    def until_first(self, view: MessagePump, group: str) -> None:
        """What is typed waits a moment for what a view shows first: a key may be for it.

        Keys that mean the same on every view do not wait, unless they follow one that does.
        """
        self.until_answered(view, group, FIRST_SECONDS)
        self._first = True

    def keeps(self, event: events.Event) -> bool:
        """Whether an event waits, and nothing happens for it now."""
        if not isinstance(event, events.Key | events.Paste):
            return False
        if event.is_forwarded or event is self._passed:
            if not self._desk.screen_stack:
                return True  # on its way it met the end of the desk
            if event.is_forwarded:
                return False
        key = event.key if isinstance(event, events.Key) else ""
        if event is not self._passed:
            if self._asked is not None and self._first and not self._kept and self._is_for_all(key):
                self._asked = None
            if self._waits:
                self._keep(event, key)
                return True
            self._passed, self._busy = event, True
            self._desk.call_later(self._begin, self._target)
        if key == "enter" and self._desk.focused in self._watched:
            self._held = self._desk.focused
            self._settle_desk()
        return False

    # What waits

    @property
    def _waits(self) -> bool:
        """Whether something is to be done before another key."""
        screen = self._screen
        new = screen is None or self._seen is None or self._seen() is not screen
        asked = self._asked is not None or self._is_held
        return new or asked or self._busy or any(map(self._belongs_here, self._kept))

    @property
    def _is_held(self) -> bool:
        """Whether a widget waits for an answer: what is typed into it then belongs elsewhere."""
        held = self._held
        return held is not None and not self._desk.is_locked and held.is_attached and self._desk.focused is held

    def _is_for_all(self, key: str) -> bool:
        """Whether a key is the same on every view."""
        screen = self._screen
        active = screen.active_bindings.get(key) if screen is not None else None
        return active is not None and active.node is self._desk

    @property
    def _screen(self) -> Screen[Any] | None:
        """What is in front, once all in it is there."""
        stack = self._desk.screen_stack
        return stack[-1] if stack and stack[-1].is_mounted else None

    @property
    def _target(self) -> DOMNode:
        """Where a key goes first."""
        focused = self._desk.focused if self._desk.screen_stack else None
        return focused or self._screen or self._desk

    def _belongs_here(self, kept: Kept) -> bool:
        return kept.locked is None or kept.locked == self._desk.is_locked

    @property
    def _is_covered(self) -> bool:
        """Whether keys are for the lock: whoever has signed in sees what is theirs a moment before it is unlocked."""
        return self._desk.is_locked and any(isinstance(one, SignIn | NewPassword) for one in self._desk.screen_stack)

    def _settle_desk(self) -> None:
        """From now on it waits long enough for somebody to lock the desk meanwhile."""
        self._kept = [replace(one, locked=bool(one.locked)) for one in self._kept]

    def _keep(self, event: events.Key | events.Paste, key: str) -> None:
        follows = self._busy and self._held is None and self._asked is None
        self._kept.append(Kept(event, None if follows else self._is_covered, self._desk.calls.staff))
        if key in AT_ONCE:
            self._asked = None
            if self._held is not None:
                self.release(self._held)
        if not self._busy and not self._is_held:
            self._begin(self._target)

    # One after another

    def _begin(self, node: DOMNode) -> None:
        """Goes on when all that a key has led to is there; `node` is where it went first."""
        self._busy, self._since = True, time.monotonic()
        self._wait_for(node)

    def _wait_for(self, node: DOMNode) -> None:
        """Looks again when whatever a node has told by now has been heard."""
        self._step += 1
        # A key goes up to the app, whose action then lets the widget tell something, which goes up once more.
        self._along(self._step, 2 * tuple(node.ancestors_with_self))
        self._desk.set_timer(STUCK_SECONDS, partial(self._unstick, self._step))

    def _along(self, step: int, nodes: tuple[DOMNode, ...]) -> None:
        """Goes the way of a message, from a widget up to the app."""
        if step != self._step:
            return
        for n, node in enumerate(nodes, start=1):
            if node.call_later(self._along, step, nodes[n:]):
                self._rest = nodes[n - 1 :]
                return
        self._arrived()

    def _unstick(self, step: int) -> None:
        """Leaves out whoever has gone with what it was still to hear."""
        if step != self._step or not self._busy:
            return
        if not self._rest[0].is_running or time.monotonic() - self._since > MOST_SECONDS:
            self._step = step = step + 1
            self._along(step, self._rest[1:])
        self._desk.set_timer(STUCK_SECONDS, partial(self._unstick, step))

    def _arrived(self) -> None:
        self._step += 1
        screen = self._screen
        if self._asked is not None and not (
            self._desk.calls.is_asking(*self._asked) and time.monotonic() < self._until
        ):
            self._asked = None  # what it opens is not there yet
            self._wait_for(self._target)
        elif screen is None or self._asked is not None:
            self._desk.set_timer(SOON_SECONDS, partial(self._along, self._step, ()))
        elif self._seen is None or self._seen() is not screen:
            self._seen = ref(screen)
            self._wait_for(self._target)  # until it has the focus
        elif self._is_held:
            self._busy, self._passed = False, None
        else:
            self._next()

    def _next(self) -> None:
        locked, staff = self._desk.is_locked, self._desk.calls.staff
        if not locked:
            self._kept = [one for one in self._kept if not one.locked and one.staff in ("", staff)]
        first = next(filter(self._belongs_here, self._kept), None)
        self._passed = None if first is None else first.event
        if first is not None:
            self._kept.remove(first)
            self._desk.post_message(first.event)
            self._desk.call_later(self._begin, self._target)
            return
        self._busy = False
        if self._kept:
            self._desk.set_timer(AGAIN_SECONDS, self._look_again)

    def _look_again(self) -> None:
        if not self._busy:
            self._begin(self._target)
