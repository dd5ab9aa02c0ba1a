"""Search a patient while typing: rows to choose from, with what tells two people of one name apart.

What must stay true: an answer to what is no longer typed is never shown, and nobody is chosen but by a key or a click.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar, cast

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static

from ...core import clock
from ...core.errors import BookcliError
from ...core.model.patients import Patient, is_mrn
from ...core.model.text import visible
from ...core.services import patients
from .choice_list import ChoiceList
from .frame import away

if TYPE_CHECKING:
    from ..app import DeskApp

DEBOUNCE = 0.15
"""Seconds without a key after which what is typed is looked for."""
NAME, BORN, NUMBER = 20, 10, 9
AWAY = "Type the whole number and Enter: the request can be kept."


def pad(words: str, width: int) -> str:
    """Exactly so many cells wide; what is too long says so."""
    shown = Content(visible(words)).truncate(width, ellipsis=True)
    return shown.plain + " " * (width - shown.cell_length)


def coming(patient: Patient) -> str:
    """The next appointment of a patient, on a line."""
    if patient.next_start is None:
        return "nothing ahead"
    start = clock.to_local(patient.next_start, patient.next_zone or "UTC")
    return f"{start:%d %b %H:%M} {visible(patient.next_test or '')}"


def row(patient: Patient) -> Content:
    """A patient on a line: name, birth date, number, what comes next, and how many warnings there are."""
    born = patient.birth_date.isoformat() if patient.birth_date else "born ?"
    warned = f"▲{len(patient.warnings)}" if patient.warnings else ""
    return Content.assemble(
        pad(patient.name, NAME),
        f" {born:<{BORN}} ",
        (pad(patient.mrn, NUMBER), "bold"),
        (f" {warned:<2} ", "$text-warning"),
        coming(patient),
    )


def short(patient: Patient) -> str:
    """A name that leaves room for something else on its line."""
    return Content(visible(patient.name or patient.mrn)).truncate(NAME + BORN, ellipsis=True).plain


def warnings(patient: Patient, *more: str) -> Content:
    """What a desk should know before it books, on one line."""
    said = filter(None, (*more, *patient.warnings))
    return Content.styled("  ".join(f"▲ {visible(one)}" for one in said), "$text-warning")


class PatientList(ChoiceList[Patient], can_focus=False):
    """Patients, whoever fits best first."""

    def __init__(self) -> None:
        super().__init__(row, lambda patient: patient.mrn)


class PatientFinder(Vertical):
    """A line to type in and the matches below it; posts `Chosen` with a patient, or None when they are given up."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "step(1)", "Next match", id="patients.next", show=False),
        Binding("up", "step(-1)", "Match before", id="patients.before", show=False),
    ]
    DEFAULT_CSS = """
    PatientFinder { height: auto; }
    PatientFinder PatientList { max-height: 6; display: none; margin-left: 9; }
    PatientFinder .said { height: auto; margin-left: 9; display: none; }
    """

    class Chosen(Message):
        """Somebody was chosen, or nobody is any more."""

        def __init__(self, patient: Patient | None) -> None:
            super().__init__()
            self.patient = patient

    class Looked(Message):
        """Enter would do something else than before: `enter`."""

    class Nobody(Message):
        """Nobody is called so."""

    def __init__(self, away: str = AWAY, *, ahead: bool = False) -> None:
        """`away` is what can be done while the database cannot be asked.

        `ahead`: what is typed between Enter and the answer is for the field that has the focus then.
        """
        super().__init__()
        self._hint, self._ahead = away, ahead
        self.input = Input(placeholder="name, number, birth date or phone", compact=True, select_on_focus=False)
        self.chosen: Patient | None = None
        self._timer: Timer | None = None
        self._waits = False
        self._away = False
        self._entered = False

    def compose(self) -> ComposeResult:
        yield labelled("Patient", self.input)
        yield PatientList()
        yield Static(Content(""), classes="said")

    def on_mount(self) -> None:
        if self._ahead:
            self._desk.ahead.watch(self.input)
        self.set_interval(1.0, self._look_again)

    def _look_again(self) -> None:
        """What could not be looked for is, as soon as the database answers again."""
        desk = cast("DeskApp", self.app)
        if self._away and not away(desk) and not desk.calls.is_asking(self, "find"):
            self.look()

    def choose(self, patient: Patient) -> None:
        """Chooses somebody: the list gives way to one line about them."""
        self.say_who(patient)
        self.post_message(self.Chosen(patient))
        self._desk.ahead.release(self.input)

    def say_who(self, patient: Patient) -> None:
        """Says anew who was chosen."""
        self.chosen = patient
        words = f"{visible(patient.name)} {patient.mrn}".strip()
        if words != self.input.value:
            with self.prevent(Input.Changed):
                self.input.value = words
                self.input.cursor_position = len(words)
        self._list.display = False
        born = patient.birth_date.isoformat() if patient.birth_date else "no birth date"
        facts = f"{born}  {patient.mrn}  {coming(patient)}" if patient.name else "The name is not known now."
        self._say(Content("\n").join([Content(facts), warnings(patient)]) if patient.name else Content(facts))

    def _say(self, words: Content) -> None:
        line = self.query_one(".said", Static)
        line.update(words)
        line.display = bool(words.plain.strip())
        self.post_message(self.Looked())

    @property
    def enter(self) -> str:
        """What Enter does here."""
        typed, current = self.input.value.strip(), self._list.current
        if self.chosen is not None:
            return "Enter goes on"
        if self._away and is_mrn(typed):
            return "Enter takes that number"
        if not typed or self._waits:
            return ""
        if current is not None and self._list.display:
            return f"Enter takes {short(current)}"
        return "" if self._away else "Enter writes down a new patient"

    @property
    def _desk(self) -> DeskApp:
        return cast("DeskApp", self.app)

    @property
    def _list(self) -> PatientList:
        return self.query_one(PatientList)

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.chosen is not None:
            self.chosen = None
            self.post_message(self.Chosen(None))
        if self._timer is not None:
            self._timer.stop()
        if self._entered:
            self._desk.ahead.release(self.input)
        self._waits, self._entered = bool(event.value.strip()), False
        self._timer = self.set_timer(DEBOUNCE, self.look)

    def look(self) -> None:
        """Looks for what is typed, now or again; nobody is looked for when somebody was chosen."""
        if self.chosen is not None:
            return
        words = self.input.value
        self._desk.calls.ask(
            self, patients.find, words, on_done=partial(self._found, words), on_error=self._failed, group="find"
        )

    def _found(self, words: str, found: list[Patient]) -> None:
        if self.chosen is not None or words != self.input.value:
            return
        self._away = False
        self._list.show(found)
        self._list.display = bool(found)
        nobody = bool(self.input.value.strip()) and not found
        self._say(Content("Nobody is called so. ^n writes down a new patient.") if nobody else Content(""))
        self._say_warnings()
        if not self._waits:
            return
        self._waits = False
        entered, self._entered = self._entered, False
        if entered and len(found) <= 1:
            self._take()
        self._desk.ahead.release(self.input)

    def _failed(self, problem: BookcliError) -> None:
        self._away, self._waits = True, False
        entered, self._entered = self._entered, False
        self._list.display = False
        words = f"▲ {visible(problem.message)} {self._hint}"
        self._say(Content.styled(words.rstrip(), "$text-warning"))
        self._desk.explain(problem)
        if entered and is_mrn(self.input.value.strip()):
            self._take()
        self._desk.ahead.release(self.input)

    def _say_warnings(self) -> None:
        current = self._list.current
        if current is not None:
            self._say(warnings(current))

    def action_step(self, by: int) -> None:
        self._list.step(by)
        self._say_warnings()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self._take()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self.chosen is not None:
            self.post_message(self.Chosen(self.chosen))
        elif self._waits:
            # The answer to what was typed is on its way: whoever is first in it is not known yet.
            self._entered = True
            if self._ahead:
                self._say(Content.styled("… looks for that; what is typed meanwhile waits", "$text-muted"))
            return
        else:
            self._take()
        self._desk.ahead.release(self.input)

    def _take(self) -> None:
        current = self._list.current
        typed = self.input.value.strip()
        if self._away and is_mrn(typed):
            self.choose(Patient(typed, "", None, "", "", "", "", "", "", ""))
        elif current is not None and self._list.display:
            self.choose(current)
        elif typed:
            self.post_message(self.Nobody())


def labelled(word: str, *fields: Widget) -> Horizontal:
    """A word, and what is typed or said for it, on one line."""
    return Horizontal(Static(Content(word), classes="word"), *fields, classes="line")
