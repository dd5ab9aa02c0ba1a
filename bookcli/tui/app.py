"""The desk: the one app around all screens, with what they share.

What must stay true: a screen asks services through `calls` alone; when something breaks nobody is shown a value of it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.app import App, SystemCommand
from textual.binding import ActiveBinding, Binding, BindingType
from textual.dom import DOMNode
from textual.screen import Screen

from ..core import config
from ..core.context import Context
from ..core.errors import OUTAGES, BookcliError, NotAllowed, Unavailable
from ..core.model.board import Cell, Place
from ..core.model.lights import Lights
from ..core.model.staff import Person, SignedIn
from ..core.services import screen_state
from . import keys, themes
from .calls import Bug, Calls, Later, as_bug
from .kit import SIGN_IN, Confirm, Dialog, View, harmless, literal, said
from .screens import BY_ID, VIEWS, choices, help, sign_in
from .type_ahead import FIRST_SECONDS, TypeAhead
from .undoing import Undo, Undos

if TYPE_CHECKING:
    from ..core.services import board, desk, staff
else:
    board, desk, staff = Later("board"), Later("desk"), Later("staff")

LOOK_SECONDS = 3.0
BETWEEN = "between"
"""The mode in which nothing is shown, while one desk is cleared for somebody else."""


class DeskApp(App[None]):
    """Made with a context, of which it takes others; `theme` overrides the setting and what was kept."""

    TITLE = "bookcli"
    CSS_PATH = "desk.tcss"
    COMMAND_PALETTE_BINDING = "ctrl+p"
    BINDINGS: ClassVar[list[BindingType]] = keys.GLOBAL

    def __init__(self, context: Context, theme: str = "") -> None:
        super().__init__()
        self.stylesheet = themes.Styles(variables=self.get_css_variables())
        self.context = context.another()
        self.context.announce = self._announced
        self.calls = Calls(self.context, self.explain)
        self.ahead = TypeAhead(self)
        self.lights: Lights | None = None
        self.person: Person | None = None
        self.places: tuple[Place, ...] = ()
        self.site: Place | None = None
        self.kept, self.moves = screen_state.recalled(self.context), self.context.settings.moves
        self.crash: Bug | None = None
        self._keymap_set = keys.checked(config.keys())
        self._locked: sign_in.SignIn | None = None
        self._waiting: list[Callable[[], Any]] = []
        self._undos, self._last_key = Undos(self), time.monotonic()
        self._was, self._mouse_on = "", True
        self._colours(theme or self.kept.get("theme", "") or self.context.settings.theme)
        self.add_mode(BETWEEN, Screen)
        for entry in VIEWS:
            self.add_mode(entry.id, entry.made)

    def _colours(self, name: str) -> None:
        self.register_theme(themes.DARK)
        self.register_theme(themes.LIGHT)
        if not self.moves:
            self.animation_level = "none"
        self.theme = name if name in self.available_themes else "dark"

    # What happens by itself

    def on_mount(self) -> None:
        self.calls.open()
        self.set_keymap(self._keymap_set)
        self._write("\x1b[22;0t\x1b]0;bookcli\x07")
        self.set_interval(LOOK_SECONDS, self.look)
        self.set_interval(1.0, self._lock_when_idle)
        self.switch_mode(VIEWS[0].id)
        # The frame is on the screen before a driver is imported, which would take the processor from it.
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        self.calls.ask(self, desk.signed_in, on_done=self._begun, on_error=self._begun_without, group="begin")
        self.ahead.until_answered(self, "begin", FIRST_SECONDS)

    def on_unmount(self) -> None:
        self._write("\x1b[23;0t")
        self.calls.close()

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key | events.MouseDown | events.MouseScrollDown | events.Paste):
            self._last_key = time.monotonic()
        if isinstance(event, events.Paste):
            event.text = harmless(event.text)
        if not self.ahead.keeps(event):
            await super().on_event(event)

    def _begun(self, found: tuple[SignedIn, Person] | None) -> None:
        if found is None:
            self.ask_to_sign_in()
            return
        session, self.person = found
        self._was = session.name
        self.calls.signed_in(session)
        if self.person.problem is not None:
            self.ask_to_sign_in(name=session.name)
        self._look_around()

    def _begun_without(self, problem: BookcliError) -> None:
        """The database is away, or something else is: what the desk has kept is what there is."""
        self.explain(problem)
        if isinstance(problem, Unavailable) and self.context.session is not None:
            self._look_around()
        elif isinstance(problem, NotAllowed):
            self.ask_to_sign_in(why=problem.message)

    def _look_around(self) -> None:
        self.calls.ask(self, board.places, on_done=self._placed, group="places")
        self.ahead.until_answered(self, "places", FIRST_SECONDS)
        self.look()

    def _placed(self, places: list[Place]) -> None:
        mine = self.person.sites if self.person is not None else ()
        self.places = tuple(one for one in places if not mine or one.code in mine)
        wanted = (self.site.code if self.site else "", self.kept.get("site", ""), self.context.settings.site)
        known = (one for code in wanted for one in self.places if one.code == code)
        chosen = next(known, self.places[0] if self.places else None)
        if chosen != self.site:
            self.choose_site(chosen)

    def choose_site(self, place: Place | None) -> None:
        """From now on every view shows this site."""
        self.site = place
        if place is not None:
            self.keep(site=place.code)
        for view in self.views():
            view.placed()

    def views(self) -> list[View]:
        """The views that have been shown."""
        screens = (screen for entry in VIEWS for screen in self._screen_stacks.get(entry.id, ()))
        return [screen for screen in screens if isinstance(screen, View)]

    def look(self) -> None:
        """Looks at the servers beside the screen, and at what has become of kept requests."""
        # One that takes longer than the time between two is waited for: its answer is the news.
        if not self.calls.is_asking(self, "lights"):
            self.calls.ask(self, desk.look, on_done=self._lit, on_error=self._dark, group="lights", quiet=True)

    def _lit(self, lights: Lights) -> None:
        before, self.lights = self.lights, replace(lights, ended=())
        unknown = self.person is None and not self.is_locked and lights.database == "ok"
        if unknown and not self.calls.is_asking(self, "begin"):
            self._begin()  # it was started while the database was away
        if isinstance(self.screen, View):
            self.screen.say_frame()
        if lights.person is not None:
            self.person = lights.person
            if lights.person.problem is not None and self._locked is None:
                self.ask_to_sign_in(name=lights.person.name)
        if lights.ended and self._locked is None:
            self.calls.ask(self, desk.ends, lights.ended, on_done=partial(self._tell, lights.ended), quiet=True)
        if before is not None and before.database == "away" and lights.database == "ok":
            self.toast("The database answers again.")
            self._look_around()
            for view in self.views():
                view.reload()

    def _tell(self, ended: tuple[Any, ...], sentence: str) -> None:
        self.toast(sentence)
        self.calls.ask(self, desk.told, ended, quiet=True)

    def _dark(self, problem: BookcliError) -> None:
        if self.lights is not None:
            self.lights = replace(self.lights, database="away")

    # What screens ask for

    def toast(self, sentence: str, severity: str = "information") -> None:
        """Says what has happened; while the desk is locked it waits until it is not."""
        if self._locked is not None:
            self._waiting.append(partial(self.toast, sentence, severity))
            return
        words = literal(sentence)
        if not any(one.message == words for one in self._notifications):
            self.notify(words, severity=severity, markup=False, timeout=8)  # type: ignore[arg-type]

    @property
    def is_locked(self) -> bool:
        """Whether nobody has signed in, or not yet again."""
        return self._locked is not None

    def show(self, screen: Screen[Any], on_done: Callable[[Any], Any] | None = None) -> None:
        """Pushes a screen, now or when whoever is at this desk has unlocked it; nobody else ever sees it."""
        if self.is_locked:
            self._waiting.append(partial(self.push_screen, screen, on_done))
        else:
            self.push_screen(screen, on_done)

    def did(self, sentence: str, undo: Undo | None = None) -> None:
        """Says what was done, and remembers how it is taken back."""
        if undo is not None:
            self._undos.add(undo)
        self.toast(sentence + (" u takes it back." if undo is not None else ""))

    def explain(self, problem: BookcliError) -> None:
        """What is shown of an error that nobody else has said."""
        if problem.code in SIGN_IN:
            self.ask_to_sign_in(name=self.person.name if self.person else "", why=problem.message)
            return
        if isinstance(problem, Unavailable) and problem.code in OUTAGES:
            away = self.lights is not None and self.lights.database == "away"
            self.lights = replace(self.lights or Lights("away", "unknown", "unknown"), database="away")
            if away:
                return
            if isinstance(self.screen, View):
                self.screen.say_frame()
        self.toast(said(problem), "error")

    def failed(self, problem: BookcliError) -> None:
        """Says that what a key asked for was not done, even when it is known that the database is away."""
        if isinstance(problem, Unavailable):
            self.toast(said(problem), "error")
        else:
            self.explain(problem)

    def keep(self, **values: str) -> None:
        """Keeps how the screen is left, for the next start; nothing about a patient."""
        self.kept.update(values)
        self.calls.ask(self, screen_state.remember, dict(self.kept), group="keep", quiet=True, on_error=lambda _: None)

    def open_appointment(self, reference: str, on_done: Callable[[Any], Any] | None = None) -> None:
        """Shows all there is about an appointment."""
        self.open("appointment", reference, on_done=on_done)

    def open_booking(self, cell: Cell | None, test: str = "", on_done: Callable[[Any], Any] | None = None) -> None:
        """Books in a slot of the site that is shown, or asks when; `test` when one was chosen already."""
        self.open("booking", cell, test, on_done=on_done)

    def open(self, screen: str, *args: Any, on_done: Callable[[Any], Any] | None = None) -> None:
        """Shows a view, or a dialog made with `args`, whose result goes to `on_done`."""
        entry = BY_ID[screen]
        if entry.kind == "view":
            self.switch_mode(entry.id)
        else:
            dialog: Dialog[Any] = entry.load()(*args)
            self.show(dialog, on_done)

    # Signing in and locking

    def ask_to_sign_in(self, *, name: str = "", why: str = "") -> None:
        """Covers the screen until somebody signs in; what is behind it stays for `name`."""
        if self._locked is None:
            self._locked = sign_in.SignIn(name, why)
            self.clear_notifications()
            self.push_screen(self._locked, self._entered)

    def _entered(self, entered: sign_in.Entered | None) -> None:
        assert entered is not None, "nobody gets past it without signing in"
        self._last_key = time.monotonic()
        self.calls.signed_in(entered.session)
        if entered.typed:
            self.push_screen(sign_in.NewPassword(entered.typed), lambda _: self._enter(entered.session))
        else:
            self._enter(entered.session)

    def _enter(self, session: SignedIn) -> None:
        """Somebody is at the desk: what was left there is theirs, or gone."""
        same, self._was = self._was == session.name, session.name
        if same:
            self._unlock()
        else:
            self._undos.clear()
            self._waiting.clear()
            self.call_later(self._start_over)

    def _unlock(self) -> None:
        """What has come while the desk was locked happens now."""
        self._locked = None
        if isinstance(self.screen, Dialog):
            self.screen.end_if_over()
        waiting, self._waiting = self._waiting, []
        for happens in waiting:
            happens()
        self._begin()

    async def _start_over(self) -> None:
        """Nothing of what somebody else has left is there any more; until then the desk counts as locked."""
        await self.switch_mode(BETWEEN)
        for entry in VIEWS:
            await self.remove_mode(entry.id)
            self.add_mode(entry.id, entry.made)
        await self.switch_mode(VIEWS[0].id)
        self._unlock()

    def _lock_when_idle(self) -> None:
        seconds = self.context.settings.lock_seconds
        if seconds and self._locked is None and time.monotonic() - self._last_key > seconds:
            self.action_lock()

    # What keys do

    action_open = open

    def action_lock(self) -> None:
        if self.person is not None:
            self.calls.ask(self, staff.lock, quiet=True, on_error=lambda _: None)
            self.ask_to_sign_in(name=self.person.name)

    def action_site(self) -> None:
        known = {one.code: one for one in self.places}
        names = [(one.code, one.name) for one in self.places]
        question = choices.Choices("Site", names, self.site.code if self.site else "")
        self.push_screen(question, lambda code: self.choose_site(known[code]) if code else None)

    def action_undo(self) -> None:
        self._undos.take_back()

    def action_mouse(self) -> None:
        self._mouse_on = not self._mouse_on
        self._write("".join(f"\x1b[?{mode}{'h' if self._mouse_on else 'l'}" for mode in (1000, 1003, 1015, 1006)))
        self.toast("The mouse works here." if self._mouse_on else "The mouse selects text, as in any terminal.")

    def action_leave(self) -> None:
        if not any(getattr(screen, "unsaved", False) for stack in self._screen_stacks.values() for screen in stack):
            self.exit()
            return
        question = Confirm("Quit without saving?", "What you typed will be lost.", yes="Quit", no="Keep editing")
        self.push_screen(question, lambda agreed: self.exit() if agreed else None)

    async def action_quit(self) -> None:
        self.action_leave()

    def action_help(self) -> None:
        self.push_screen(help.Help(help.keys_of(self.screen)), self._run_binding)

    def _run_binding(self, chosen: ActiveBinding | None) -> None:
        if chosen is not None:
            self.call_later(self.run_action, chosen.binding.action, chosen.node)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Every action that has a key here, and the colours."""
        for (shown, what), active in help.keys_of(screen).items():
            yield SystemCommand(what, f"Key: {shown}", lambda active=active: self._run_binding(active))
        for name in themes.NAMES:
            yield SystemCommand(
                f"Colours: {name}", "Kept for the next start", lambda name=name: self._choose_theme(name)
            )

    def _choose_theme(self, name: str) -> None:
        self.theme = name
        self.keep(theme=name)

    def handle_bindings_clash(self, clashed_bindings: set[Binding], node: DOMNode) -> None:
        names = " and ".join(sorted(binding.id or binding.action for binding in clashed_bindings))
        self.toast(f"One key has several meanings here: {names}. Change [keys] in the settings file.", "warning")

    # What comes from outside the screens

    def _announced(self, sentence: str) -> None:
        """From any thread: something slow begins."""
        self.calls.say(self, self.toast, sentence)

    def _write(self, sequence: str) -> None:
        if self._driver is not None and not self.is_headless:
            self._driver.write(sequence)

    def _fatal_error(self) -> None:
        """Textual's own shows the values of all local variables; the log has the places alone."""
        if self._exception is not None:
            self.crash = as_bug(self._exception)
        self._close_messages_no_wait()

    def _log(self, *_: Any, **__: Any) -> None:
        """Textual's log would have every key and every message in it."""


def run(context: Context, theme: str = "") -> BookcliError | None:
    """Shows the desk until it is left; what broke, if anything did."""
    app = DeskApp(context, theme)
    with contextlib.suppress(KeyboardInterrupt):
        app.run()
    return app.crash
