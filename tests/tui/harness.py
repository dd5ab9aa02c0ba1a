"""The desk under test: the real app on the real servers, driven by keys and read as text.

What must stay true: a test waits for a state, never for a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

from textual import events
from textual._context import visible_screen_stack
from textual.keys import _character_to_key
from textual.pilot import Pilot

from bookcli.core.context import Context
from bookcli.tui.app import DeskApp
from bookcli.tui.widgets.patient_finder import PatientFinder

PATIENCE = 30.0
A_MOMENT = 0.5
SMALL, LARGE = (80, 24), (120, 40)
HOSTILE = ["[/nope]", "[red]x", "[@click=app.quit]x", "A\x1b[31mB", "rtl\u202eevil", "王" * 40, "<b>&amp;"]
"""Names that a terminal, rich or Textual would obey, or that need more room than there is."""


class Seat:
    """Somebody who sits at the desk: presses keys, and sees text."""

    def __init__(self, app: DeskApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    async def press(self, *keys: str) -> None:
        """Presses keys one after another; `text:…` types letters, `paste:…` gives them all at once, as terminals do.

        Returns when all widgets have heard of it, or a moment later if it waits for an answer. Pilot's own `press`
        waits until the process is idle, which takes half of a second for each letter beside other tests.
        """
        for key in keys:
            self.sends(key)
            await self.pilot.pause(0)
            until = time.monotonic() + A_MOMENT
            while (self.app.ahead._busy or self.app.ahead._kept) and time.monotonic() < until:
                await asyncio.sleep(0.005)
            await self.pilot.pause(0)

    def sends(self, *keys: str) -> None:
        """Gives keys all at once and waits for nothing, as a slow line does."""
        for key in keys:
            if key.startswith("paste:"):
                self.app.post_message(events.Paste(key.removeprefix("paste:")))
                continue
            for letter in key.removeprefix("text:") if key.startswith("text:") else [key]:
                name = _character_to_key(letter) if len(letter) == 1 else letter
                self.app.post_message(events.Key(name, letter if len(letter) == 1 else {"enter": "\r"}.get(letter)))

    async def presses_until(self, key: str, words: str, *before: str) -> None:
        """Presses a key, others before it, and again a while later, until the words are there: a context that has just
        waited for a database in vain refuses for two seconds without asking it."""
        until = time.monotonic() + PATIENCE
        while words not in self.text():
            assert time.monotonic() < until, f"never: {words}\n{self.text()}"
            await self.press(*before, key)
            await self.pilot.pause(0.5)

    async def takes_patient(self) -> None:
        """Presses Enter on who is found, and waits until they are taken: the last letters may still be looked for."""
        await self.press("enter")
        finder = self.app.screen.query_one(PatientFinder)
        await self.eventually(lambda: finder.chosen is not None, "a patient is taken")

    def text(self) -> str:
        """What is on the screen."""
        return screen_text(self.app)

    async def eventually(self, predicate: Callable[[], object], what: str = "") -> None:
        """Returns when the predicate holds; fails with what is on the screen when it does not within 30 s."""
        until = time.monotonic() + PATIENCE
        while not predicate():
            assert time.monotonic() < until, f"never: {what}\n{self.text()}"
            await asyncio.sleep(0.02)

    async def sees(self, *words: str) -> None:
        """Returns when all the words are on the screen."""
        await self.eventually(lambda: all(word in self.text() for word in words), f"on the screen: {words}")

    async def hears(self, *words: str) -> None:
        """Returns when a toast that has not gone yet says all the words; the screen breaks them into lines."""
        await self.eventually(
            lambda: any(all(word in one.message for word in words) for one in self.app._notifications),
            f"in a toast: {words}",
        )

    async def misses(self, *words: str) -> None:
        """Returns when none of the words is on the screen."""
        await self.eventually(lambda: not any(word in self.text() for word in words), f"not on the screen: {words}")


def screen_text(app: DeskApp) -> str:
    """The screen as lines of text, dialogs above what is behind them."""
    if not app._running:
        return ""
    visible_screen_stack.set(app._background_screens)
    lines = app.screen._compositor.render_strips(app.size)
    return "\n".join("".join(segment.text for segment in strip) for strip in lines)


@contextlib.asynccontextmanager
async def seated(context: Context, size: tuple[int, int] = LARGE) -> AsyncIterator[Seat]:
    """The desk of a context, started as `bookcli tui` starts it."""
    app = DeskApp(context)
    async with app.run_test(size=size, notifications=True) as pilot:
        yield Seat(app, pilot)


def sit(context: Context, play: Callable[[Seat], object], size: tuple[int, int] = LARGE) -> None:
    """Plays an async scene at the desk of a context."""

    async def scene() -> None:
        async with seated(context, size) as seat:
            await play(seat)  # type: ignore[misc]

    asyncio.run(scene())
