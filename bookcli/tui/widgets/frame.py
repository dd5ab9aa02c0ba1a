"""The lines around every view: what it is, what is wrong with the system, and how the desk is.

What must stay true: they tell by word and glyph as well as by colour, and change by themselves, without a key.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.content import Content
from textual.widgets import Footer, Static

from ...core import clock
from ...core.model.text import visible
from ..screens import VIEWS, Entry

if TYPE_CHECKING:
    from ..app import DeskApp
    from ..kit import View

TICK = 0.25
PATIENT_SECONDS = 0.3
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


def length(seconds: float) -> str:
    """How long something is, in words that fit a line: `40 s`, `3 min`, `2 h 5 min`."""
    whole = int(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = whole // 60
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class FrameLine(Static):
    """A line that looks again four times a second and is drawn only when it says something else.

    `SEEN_BELOW`: also while a dialog covers the screen; not where another height would move what is below.
    """

    SEEN_BELOW: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__(Content(""))
        self._said: Content | None = None

    @property
    def desk(self) -> DeskApp:
        """The app."""
        return cast("DeskApp", self.app)

    def on_mount(self) -> None:
        self.look()
        self.set_interval(TICK, self.look)

    def on_resize(self) -> None:
        self._said = None
        self.look()

    def look(self) -> None:
        """Says what is true now."""
        if not (self.screen.is_current if self.SEEN_BELOW else self.screen.is_active):
            return
        content = self.content_now()
        if self._said is None or content != self._said:
            self._said = content
            self.update(content)
            # What lies between this screen and the one in front keeps what it has drawn of this one.
            for between in self.app.screen_stack[1:-1]:
                between.refresh()

    def content_now(self) -> Content:
        """What is true now."""
        raise NotImplementedError


class TitleBar(FrameLine):
    """The first line: the views by their keys, the one that is shown among them."""

    DEFAULT_CSS = "TitleBar { height: 1; padding: 0 1; }"

    def content_now(self) -> Content:
        shown = self.app.current_mode
        tabs = [self._tab(entry, entry.id == shown) for entry in VIEWS]
        room = self.content_size.width - sum(tab.cell_length for tab in tabs)
        name = Content.styled("bookcli ", "bold") if room >= 9 else Content("")
        return Content.assemble(name, *tabs)

    def _tab(self, entry: Entry, shown: bool) -> Content:
        # Of eight views the names alone fill a small terminal: then only the one that is shown has its name.
        narrow = self.content_size.width < sum(len(one.title) + 4 for one in VIEWS)
        words = f" {entry.key} {entry.title} " if shown or not narrow else f" {entry.key} "
        return Content.styled(words, "bold reverse" if shown else "$text-muted")

    def on_click(self, event: events.Click) -> None:
        """Shows the view whose name was clicked."""
        left = self.content_size.width and self.content_now().cell_length
        for entry in reversed(VIEWS):
            left -= self._tab(entry, entry.id == self.app.current_mode).cell_length
            if event.x - 1 >= left:
                self.desk.open(entry.id)
                return


class Heading(FrameLine):
    """The second line: what the view says of itself."""

    DEFAULT_CSS = "Heading { height: 1; padding: 0 1; }"

    def content_now(self) -> Content:
        return cast("View", self.screen).heading()


class Banner(FrameLine):
    """Whatever nobody may overlook; takes no room when all is well."""

    DEFAULT_CSS = "Banner { height: auto; padding: 0 1; display: none; }"

    def content_now(self) -> Content:
        self.display = away(self.desk)
        if not self.display:
            return Content("")
        age = cast("View", self.screen).as_of()
        shown = f" What you see is {length(age)} old." if age is not None else ""
        return Content(f"▲ The database does not answer.{shown} Bookings are kept and said to be PENDING.")


def waiting(desk: DeskApp) -> Content | None:
    """How long an answer takes since it was last asked for, of how long it may; None while nobody has to wait long."""
    waited = desk.calls.waited()
    if waited < PATIENT_SECONDS:
        return None
    glyph = _SPINNER[int(waited / TICK) % len(_SPINNER)] if desk.moves else "…"
    deadline = desk.context.settings.deadline_seconds
    asked = desk.calls.asked_for()
    return Content.styled(f"{glyph} {asked:.0f} s of {deadline:.0f}", "$text-warning")


def away(desk: DeskApp) -> bool:
    """Whether the database is known not to answer."""
    return desk.lights is not None and desk.lights.database == "away"


class KeyLine(Footer):
    """The keys of a screen on a line, which stays as it is while a dialog covers the screen."""

    def __init__(self) -> None:
        super().__init__(compact=True, show_command_palette=False)
        self._shown: object = None

    async def recompose(self) -> None:
        # A covered screen is not laid out: keys that are made anew there would be a blank line until it is uncovered.
        if self.is_attached and self.screen.is_active:
            # Whoever goes to another screen and back finds the same keys; to make them anew is half of what that costs.
            shown = [(one.binding, one.enabled, one.tooltip) for one in self.screen.active_bindings.values()]
            if shown != self._shown:
                self._shown = shown
                await super().recompose()


class StatusBar(FrameLine):
    """The last line: site and person, the lights, what waits, the clock of the site; and how long an answer takes."""

    DEFAULT_CSS = "StatusBar { height: 1; padding: 0 1; }"
    SEEN_BELOW = True

    def content_now(self) -> Content:
        parts = [part for part in (self._who(), *self._lights(), self._pending()) if part is not None]
        left = Content("  ").join(parts)
        right = Content("  ").join([part for part in (waiting(self.desk), self._clock()) if part is not None])
        room = self.content_size.width - left.cell_length - right.cell_length
        return Content.assemble(left, " " * max(room, 2), right)

    def _who(self) -> Content:
        person = self.desk.person
        site = self.desk.site
        where = visible(site.code) if site is not None else "no site"
        return Content.assemble((where, "bold"), f" {person.name}" if person is not None else " nobody")

    def _lights(self) -> list[Content]:
        lights = self.desk.lights
        if lights is None:
            return [Content("… database")]
        wide = self.content_size.width >= 100
        shown = [light("database" if wide else "db", lights.database), light("cache", lights.cache)]
        seen = lights.worker != "unseen"
        worker = light("worker", lights.worker) if seen else Content.styled("▲ no worker seen", "$text-warning")
        if lights.worker == "late" and lights.late is not None:
            worker = Content.assemble(worker, f" {length(lights.late / timedelta(seconds=1))}")
        return [*shown, worker]

    def _pending(self) -> Content | None:
        waiting = self.desk.lights.waiting if self.desk.lights is not None else 0
        return Content.styled(f"◷ {waiting} PENDING", "$text-warning bold") if waiting else None

    def _clock(self) -> Content | None:
        site = self.desk.site
        if site is None:
            return None
        now = clock.to_local(clock.now(), site.zone)
        return Content.styled(
            f"{now:%a %d %b %H:%M:%S}" if self.content_size.width >= 100 else f"{now:%H:%M:%S}", "bold"
        )


_LIGHTS = {
    "ok": ("●", "$text-success"),
    "late": ("▲", "$text-warning"),
    "off": ("○", "$text-muted"),
    "unknown": ("○", "$text-muted"),
    "away": ("✕", "$text-error"),
}


def light(name: str, state: str) -> Content:
    """A light: a glyph and a word, and a colour besides."""
    glyph, style = _LIGHTS[state]
    return Content.styled(f"{glyph} {name}" if state == "ok" else f"{glyph} {name} {state}", style)
