"""All there is about one appointment, and everything that can be done with it, a key each.

What must stay true: what is offered is what its status allows; nothing is cancelled by one key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Static

from ...core import clock
from ...core.errors import BookcliError, Unavailable
from ...core.model.appointments import CANCELLATION_REASONS, Verdict, only_begins
from ...core.services import appointments, reception
from ...core.services.reception import Whole
from ..calls import AGAIN_SECONDS
from ..kit import Confirm, Dialog, Notice, said, text
from ..moves import on_board
from ..undoing import of_appointment
from ..widgets import appointment_facts as shown
from ..widgets.frame import KeyLine
from .cancelling import Cancelling

POSSIBLE = {
    "pending": ("confirm", "release", "move"),
    "booked": ("arrive", "check_in", "no_show", "move", "cancel"),
    "arrived": ("check_in", "fulfil", "move", "cancel"),
    "checked-in": ("fulfil", "cancel"),
}
"""What can be done in each status; the kernel decides, as always."""
ON_THE_DAY = frozenset({"arrive", "check_in", "fulfil"})
"""What cannot be done before the local day of the appointment."""
BUTTONS = {
    "confirm": "Book",
    "release": "Give back",
    "arrive": "Arrived",
    "check_in": "Check in",
    "fulfil": "Fulfilled",
    "no_show": "No-show",
    "move": "Move",
    "cancel": "Cancel …",
}
ALWAYS = frozenset({"copy", "print", "undo", "reload"})


class AppointmentScreen(Dialog[str]):
    """Opened with a reference; ends with `move` when the board is shown, on which it is moved."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "confirm", "Book", id="appointment.confirm", show=False),
        Binding("g", "release", "Give back", id="appointment.release", show=False),
        Binding("a", "arrive", "Arrived", id="appointment.arrive", show=False),
        Binding("i", "check_in", "Check in", id="appointment.check-in", show=False),
        Binding("f", "fulfil", "Fulfilled", id="appointment.fulfil", show=False),
        Binding("w", "no_show", "No-show", id="appointment.no-show", show=False),
        Binding("m", "move", "Move", id="appointment.move", show=False),
        Binding("x", "cancel", "Cancel", id="appointment.cancel", show=False),
        Binding("p", "print", "Print", id="appointment.print"),
        Binding("y", "copy", "Copy", id="appointment.copy"),
        Binding("u", "undo", "Undo", id="appointment.undo"),
        Binding("r", "reload", "Refresh", id="appointment.refresh", show=False),
        Binding("left", "app.focus_previous", "Button before", id="appointment.before", show=False),
        Binding("right", "app.focus_next", "Next button", id="appointment.next", show=False),
    ]

    def __init__(self, reference: str) -> None:
        super().__init__()
        self._reference = reference
        self._whole: Whole | None = None
        self._busy = False

    def body(self) -> ComposeResult:
        yield Static(text(self._reference), classes="heading")
        yield Notice()
        with VerticalScroll(id="all", can_focus=False):
            with Horizontal(classes="columns"):
                yield Static(id="facts")
                yield Static(id="steps")
            yield Static(id="messages")
        with Horizontal(classes="buttons"):
            for action, words in BUTTONS.items():
                yield Button(text(words), id=action, compact=True)
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one("#all").display = False
        for button in self.query(Button):
            button.display = False
        self.query_one(Notice).say("loading", "The appointment is on its way.")
        self.reload()

    def reload(self) -> None:
        """Asks anew for everything."""
        self.call(reception.whole, self._reference, on_done=self._shown, on_error=self._failed, group="whole")

    def action_reload(self) -> None:
        self.reload()

    def _shown(self, whole: Whole) -> None:
        self._whole = whole
        facts = whole.facts
        self.query_one(Notice).clear()
        self.query_one("#all").display = True
        self.query_one(".heading", Static).update(shown.heading(facts))
        self.query_one("#facts", Static).update(shown.facts(facts))
        self.query_one("#steps", Static).update(shown.steps(whole))
        self.query_one("#messages", Static).update(shown.messages(whole))
        possible = _possible(facts)
        keys = {one.binding.action: self.app.get_key_display(one.binding) for one in self.active_bindings.values()}
        for button in self.query(Button):
            button.display = button.id in possible
            key = keys.get(button.id or "", "")
            button.label = Content.assemble((f"{key} ", "bold"), BUTTONS[button.id or ""])
        self.refresh_bindings()
        if self.focused is None or not self.focused.display:
            first = next((button for button in self.query(Button) if button.display), None)
            self.set_focus(first)

    def _failed(self, problem: BookcliError) -> None:
        if self._whole is None:
            self.query_one(Notice).say("error", text(said(problem)), "r tries again")
            if isinstance(problem, Unavailable):
                self.set_timer(AGAIN_SECONDS, self.reload)
        self.desk.explain(problem)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what the status allows has a key."""
        if action in BUTTONS:
            return self._whole is not None and action in _possible(self._whole.facts)
        return self._whole is not None if action in ("copy", "print") else True

    def on_button_pressed(self, event: Button.Pressed) -> None:
        getattr(self, f"action_{event.button.id}")()

    # What can be done

    def _do(self, service: Callable[..., Any], *args: Any, done: str) -> None:
        """Changes the appointment once; another key while that is on its way does nothing."""
        if not self._busy:
            self._ask(service, *args, on_done=lambda _: self._did(done))

    def _ask(self, service: Callable[..., Any], *args: Any, on_done: Callable[[Any], Any]) -> None:
        """Asks as the desk, which is told what became of it even when this has been left."""
        self._busy = True
        how: dict[str, Any] = {"on_done": on_done, "on_error": self._not_done}
        self.desk.calls.ask(self.desk, service, self._reference, *args, **how)

    def _not_done(self, problem: BookcliError) -> None:
        """Says so; unless nothing can be asked, somebody else has perhaps changed it."""
        self._busy = False
        self.desk.failed(problem)
        if not isinstance(problem, Unavailable):
            self.reload()

    def _did(self, done: str) -> None:
        self._busy = False
        self.desk.did(f"{self._reference} {done}.", of_appointment(self._reference))
        self.reload()

    def action_confirm(self) -> None:
        self._do(appointments.confirm_visit, done="is BOOKED")

    def action_release(self) -> None:
        if not self._busy:
            self._ask(appointments.release, on_done=self._released)

    def _released(self, verdicts: list[Verdict]) -> None:
        self._busy = False
        self.desk.did(f"{self._reference} was given back.")
        self.reload()

    def action_arrive(self) -> None:
        self._do(appointments.set_status, "arrived", done="has arrived")

    def action_check_in(self) -> None:
        self._do(appointments.set_status, "checked-in", done="is checked in")

    def action_fulfil(self) -> None:
        begins = only_begins(self._whole.facts) if self._whole is not None and not self._busy else ""
        if begins:
            question = Confirm("Is it done already?", begins, yes="Fulfilled", no="Back")
            self.app.push_screen(question, lambda agreed: self._fulfil() if agreed else None)
        else:
            self._fulfil()

    def _fulfil(self) -> None:
        self._do(appointments.set_status, "fulfilled", done="is fulfilled")

    def action_no_show(self) -> None:
        self._do(appointments.set_status, "noshow", done="is a no-show")

    def action_move(self) -> None:
        if self._whole is not None:
            self.dismiss("move")
            self.desk.call_later(on_board, self.desk, self._whole.facts)

    def action_cancel(self) -> None:
        if self._whole is not None:
            self.app.push_screen(Cancelling(shown.brief(self._whole.facts)), self._cancel)

    def _cancel(self, reason: str | None) -> None:
        if reason is not None:
            why = CANCELLATION_REASONS[reason]
            self._do(appointments.cancel, reason, done=f"is cancelled ({why})")

    def action_copy(self) -> None:
        self.app.copy_to_clipboard(self._reference)
        self.desk.toast(f"Copied {self._reference}.")

    def action_print(self) -> None:
        if self._whole is not None:
            done = f"The slip of {self._reference} is at the printer."
            how: dict[str, Any] = {"on_done": lambda _: self.desk.toast(done), "on_error": self.desk.failed}
            self.desk.calls.ask(self.desk, reception.print_slip, self._whole.facts, **how)

    def action_undo(self) -> None:
        self.desk.action_undo()


def _possible(facts: Mapping[str, Any]) -> list[str]:
    """What its status and the time allow: nobody comes before its day, and nobody is missed before it begins."""
    barred = ON_THE_DAY if facts["local_start"].date() > clock.today(facts["zone"]) else frozenset()
    return [
        one
        for one in POSSIBLE.get(facts["status"], ())
        if one not in barred and (one != "no_show" or facts["starts_at"] <= clock.now())
    ]
