"""The quick line: `khan, mri+blood, tue am`, with what each word is taken for, the patients and the best offers.

What must stay true: while it is typed nothing is held; of several patients one is only taken by a key that was pressed
when they were on the screen, and not by the first Enter, which may have been meant for the only one.
"""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Input, Static

from ...core import clock
from ...core.errors import BookcliError, Unavailable
from ...core.model import quick_line
from ...core.model.appointments import Outcome
from ...core.model.patients import Patient
from ...core.model.quick_line import Line, Word
from ...core.model.text import visible
from ...core.services import patients, reception
from ...core.services import quick_line as lines
from ...core.services.reception import Offered
from ..kit import Dialog, said, text
from ..widgets.booking_form import Begun
from ..widgets.frame import KeyLine, away
from ..widgets.offer_list import OfferList, when
from ..widgets.patient_finder import PatientList, short, warnings
from .new_patient import NewPatient

DEBOUNCE = 0.15
EXAMPLE = "khan, mri+blood, tue am"


class QuickLine(Dialog[Outcome]):
    """Enter takes the patient, if several are meant, and then holds the offer; the book dialog asks the rest."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "step(1)", "Next", id="quick.next", show=False),
        Binding("up", "step(-1)", "Before", id="quick.before", show=False),
        Binding("tab", "switch", "Patients or offers", id="quick.switch", priority=True, key_display="tab"),
        Binding("ctrl+n", "new_patient", "New patient", id="quick.new-patient", key_display="^n"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._known = quick_line.Known({}, {})
        self._line = Line()
        self._chosen: Patient | None = None
        self._among_offers = False
        self._timer: Timer | None = None
        self._asked: tuple[str, Line] | None = None
        self._listed_for: str | None = None
        self._waits = self._entered = self._failing = False
        self._already = ""
        self._pressed_at = self._listed_at = 0.0
        self._among_patients = False

    def body(self) -> ComposeResult:
        yield Static(Content("Book in one line: who, which tests, when"), classes="heading")
        yield Input(placeholder=EXAMPLE, compact=True, select_on_focus=False)
        yield Static(Content(""), id="means")
        yield Static(Content("Patients"), id="patients-word", classes="word")
        yield PatientList()
        yield Static(Content(""), id="warned")
        yield Static(Content("Offers"), id="offers-word", classes="word")
        yield OfferList(can_focus=False)
        yield Static(Content(""), id="problem")
        yield Static(Content(""), id="enter")
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self.desk.ahead.watch(self.query_one(Input))
        self.call(lines.known, on_done=self._learnt)
        self.set_interval(1.0, self._look_again)
        self._say()

    def _look_again(self) -> None:
        """What could not be asked is, as soon as the database answers again, or the site is known."""
        if (self._failing and not away(self.desk)) or (self.desk.site is not None and not self._line.site):
            self._failing = False
            self._understand()

    @property
    def unsaved(self) -> bool:
        return False

    def _learnt(self, known: quick_line.Known) -> None:
        self._known = known
        self._understand()

    # What is typed

    def on_input_changed(self) -> None:
        self._waits = True
        self._decided()
        self._understand()

    def _understand(self) -> None:
        self._read()
        self._say()
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(DEBOUNCE, self._look)

    def _read(self) -> None:
        site = self.desk.site
        typed = self.query_one(Input).value
        before = self._line
        self._line = quick_line.understand(typed, self._known, clock.today(site.zone if site else "UTC"))
        if site is not None and not self._line.site:
            self._line = replace(self._line, site=site.code)
        if self._line.patient != before.patient:
            self._chosen = None
        shown = [meaning(word, self._line) for word in self._line.words if word.text != "+"]
        self.query_one("#means", Static).update(Content("  ").join(shown))

    def _look(self) -> None:
        if self._chosen is None:
            words = self._line.patient
            found = partial(self._found, words)
            self.call(patients.find, words, on_done=found, on_error=self._failed, group="find")
        else:
            self._waits = False
        self._ask()
        self._go_on()

    def _found(self, words: str, found: list[Patient]) -> None:
        if self._chosen is not None or words != self._line.patient:
            return
        self._waits, self._listed_for = False, words
        listed = self.query_one(PatientList)
        if found != list(listed.shown):
            self._listed_at, self._among_patients = time.monotonic(), False
        listed.show(found)
        self._among_offers = len(found) == 1
        self._ask()
        self._say()
        self._go_on()

    def _ask(self) -> None:
        """Asks for offers, if it is another question than the last one."""
        patient = self._sure
        question = (patient.mrn if patient is not None else "", replace(self._line, words=(), patient=""))
        if self._asks_nothing:
            self._asked, self._already = None, ""
            self.query_one(OfferList).show(())
            self.query_one("#problem", Static).update(Content(""))
        elif question != self._asked:
            self._asked, self._already = question, ""
            self.call(
                reception.offered, self._line, question[0], on_done=self._offered, on_error=self._no_offers,
                group="offers",
            )  # fmt: skip

    @property
    def _asks_nothing(self) -> bool:
        """Whether nothing can be offered for what is typed."""
        return bool(self._line.unclear) or not self._line.tests

    def _offered(self, found: Offered) -> None:
        if self._asks_nothing:
            return
        self.query_one(OfferList).show(found.offers[:3])
        self._already = found.already
        nothing = text("○ Nothing is free for that. Try other days.", "$text-warning")
        self.query_one("#problem", Static).update(Content("") if found.offers else nothing)
        self._say()
        self._go_on()

    def _failed(self, problem: BookcliError) -> None:
        self._waits = False
        self._no_offers(problem)

    def _no_offers(self, problem: BookcliError) -> None:
        self._asked, self._failing = None, isinstance(problem, Unavailable)
        self._decided()
        self.query_one("#problem", Static).update(text(f"▲ {said(problem)}", "$text-error"))
        self.desk.explain(problem)

    # What is chosen

    @property
    def _sure(self) -> Patient | None:
        """The patient, if one was chosen or only one can be meant."""
        found = self.query_one(PatientList).shown
        return self._chosen or (found[0] if len(found) == 1 and self._is_listed else None)

    @property
    def _is_listed(self) -> bool:
        """Whether the patients on the screen are those of what is typed: it may not have been possible to look."""
        return self._listed_for == self._line.patient

    @property
    def _may_take(self) -> bool:
        """Whether Enter takes one of several: somebody has seen them, and is choosing."""
        return self._among_patients and self._pressed_at >= self._listed_at

    def action_step(self, by: int) -> None:
        if self._among_offers:
            self.query_one(OfferList).step(by)
        else:
            self.query_one(PatientList).step(by)
            self._among_patients = True
        self._say()

    def action_switch(self) -> None:
        self._among_offers = not self._among_offers
        self._say()

    def on_option_list_option_selected(self, event: PatientList.OptionSelected) -> None:
        event.stop()
        self._among_offers = isinstance(event.option_list, OfferList)
        self._among_patients, self._pressed_at = True, time.monotonic()
        self._enter()

    def on_input_submitted(self) -> None:
        if self._line.reference:
            self._enter()
            self._decided()
            return
        self._entered, self._pressed_at = True, self.desk.ahead.pressed_at
        self._say()
        self._go_on()

    def _go_on(self) -> None:
        """Does what Enter asked for, once the answers to what was typed are there."""
        if self._entered and not self._waits and not self.desk.calls.is_asking(self, "offers"):
            self._enter()
            self._decided()

    def _decided(self) -> None:
        """What was typed after Enter belongs to whatever has the focus now."""
        self._entered = False
        self.desk.ahead.release(self.query_one(Input))

    def _enter(self) -> None:
        if self._line.reference:
            self.dismiss(None)
            self.desk.call_later(self.desk.open_appointment, self._line.reference)
            return
        patients_, offers = self.query_one(PatientList), self.query_one(OfferList)
        several = self._sure is None and self._is_listed and patients_.current is not None
        if several and not self._may_take:
            self._among_patients, self._among_offers = True, False
        elif several and patients_.current is not None:
            self._chosen, self._among_offers = patients_.current, True
            patients_.show([self._chosen])
            self._ask()
            self._say()
        elif self._sure is None and not self._line.patient:
            self.query_one("#problem", Static).update(text("▲ Who is it for?", "$text-warning"))
        elif self._sure is None:
            self.action_new_patient() if self._is_listed else None
        elif not self._line.tests:
            self.query_one("#problem", Static).update(text("▲ Which tests?", "$text-warning"))
        elif offers.current is not None:
            self._hold(self._sure, offers)
        self._say()

    def _hold(self, patient: Patient, offers: OfferList) -> None:
        assert offers.current is not None
        tests = " + ".join(self._line.tests)
        days = " ".join(word.text for word in self._line.words if word.kind in ("days", "part", "time"))
        begun = Begun(patient, tests, days, offers.shown, offers.current, self._already)
        self.dismiss(None)
        self.desk.call_later(self.desk.open, "booking", None, "", begun)

    def action_new_patient(self) -> None:
        self.desk.show(NewPatient(self._line.patient), self._new_patient)

    def _new_patient(self, patient: Patient | None) -> None:
        if patient is not None:
            self._chosen, self._among_offers = patient, True
            self.query_one(PatientList).show([patient])
            self._ask()
            self._say()

    def _say(self) -> None:
        """Says where the arrows are, and what should be known of the patient."""
        found = self.query_one(PatientList)
        for name, here in (("patients", not self._among_offers), ("offers", self._among_offers)):
            self.query_one(f"#{name}-word", Static).set_class(here, "-here")
        self.query_one("#warned", Static).update(
            warnings(found.current, self._already) if found.current else Content("")
        )
        nobody = bool(self._line.patient) and not found.shown and not self._waits and self._is_listed
        if nobody:
            words = "Nobody is called so. ^n, or Enter, writes down a new patient."
            self.query_one("#warned", Static).update(Content(words))
        self.query_one("#enter", Static).update(Content.styled(self._enter_does(nobody), "$text-muted"))

    def _enter_does(self, nobody: bool) -> str:
        """What Enter does next, or what is missing for it to do anything."""
        found, offer = self.query_one(PatientList), self.query_one(OfferList).current
        sure = self._sure
        if self._line.reference:
            return f"Enter opens {visible(self._line.reference)}"
        if self._waits and self._entered:
            return "… looks for that; what is typed meanwhile waits"
        if sure is None and not self._line.patient:
            return "Type who it is for"
        if sure is None:
            return "Enter writes down a new patient" if nobody else self._takes(found) if self._is_listed else ""
        if self._line.no_day:
            return f"Type another day: {visible(self._line.no_day)} is none"
        if self._line.unclear:
            return f"Type another word for {visible(self._line.unclear)}, which is not understood"
        if not self._line.tests:
            return f"Type which tests {short(sure)} is to have"
        return f"Enter holds {when(offer)} for {short(sure)}" if offer is not None else ""

    def _takes(self, found: PatientList) -> str:
        if found.current is None:
            return ""
        if not self._among_patients:
            return f"{len(found.shown)} patients match: the arrows choose one, Enter marks the first"
        return f"Enter takes {short(found.current)} {visible(found.current.mrn)}"


def meaning(word: Word, line: Line) -> Content:
    """A word, and what it is taken for."""
    meant = visible(word.meaning)
    if word.kind == "days" and line.days is not None:
        meant = " – ".join(f"{day:%a %d %b}" for day in dict.fromkeys(line.days))
    if word.kind == "no-day":
        return Content.styled(f"{visible(word.text)} is no day", "$text-warning")
    if word.kind == "unknown":
        return Content.styled(f"{visible(word.text)} ? {meant}".rstrip(), "$text-warning")
    shown = meant if meant.casefold() != word.text.casefold() else visible(word.text)
    return Content.assemble((f"{word.kind} ", "$text-muted"), (shown or visible(word.text), "bold"))
