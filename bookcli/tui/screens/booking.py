"""The book dialog: who, what, when; the place is held from the moment it is known for whom, until it is booked or left.

What must stay true: nothing that was typed is lost by an answer, whatever it is; booked is only said after the commit.
"""

from __future__ import annotations

from datetime import date
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.timer import Timer
from textual.widgets import Input, OptionList

from ...core import clock
from ...core.errors import OUTAGES, BookcliError, Unavailable
from ...core.model.appointments import Outcome, sentence
from ...core.model.board import Cell
from ...core.model.offers import Offer
from ...core.model.patients import Patient
from ...core.model.quick_line import Line
from ...core.services import reception
from ...core.services.reception import Known, Offered
from ..calls import AGAIN_SECONDS
from ..holding import Holding
from ..kit import Confirm, Dialog, said, text
from ..settling import Settling, say_booked
from ..widgets.booking_form import Begun, BookingForm
from ..widgets.offer_list import of_cell
from ..widgets.patient_finder import PatientFinder
from .answer import Answer
from .new_patient import NewPatient

DEBOUNCE = 0.2


class Booking(Dialog[Outcome]):
    """Opened with a slot of the board, with what the quick line has found, or with nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "book", "Book", id="booking.book", key_display="^s"),
        Binding("ctrl+n", "new_patient", "New patient", id="booking.new-patient", key_display="^n"),
        Binding("ctrl+r", "hold", "Hold again", id="booking.hold", key_display="^r"),
    ]

    def __init__(self, cell: Cell | None = None, test: str = "", begun: Begun | None = None) -> None:
        super().__init__()
        self._cell, self._test, self._begun = cell, test, begun
        self._patient: Patient | None = None
        self._chosen: Offer | None = None
        self._may_choose = cell is not None
        self._known, self._line = Known({}, {}, {}), Line()
        self._timer: Timer | None = None
        self._book_next = self._unlearnt = False

    def body(self) -> ComposeResult:
        begun = self._begun
        yield BookingForm(begun.tests if begun else self._test, begun.when if begun else "", self._where())

    def _where(self) -> str:
        cell, site = self._cell, self.desk.site
        if cell is None or site is None:
            return "tue am, +3d, 2026-12-01, next week"
        start, end = clock.to_local(cell.start, site.zone), clock.to_local(cell.end, site.zone)
        return f"{start:%a %d %b %H:%M}–{end:%H:%M} {cell.resource}"

    def on_mount(self) -> None:
        self._holding = Holding(self.desk, self._held_changed, self._not_held, self._hold_failed)
        self._settling = Settling(self.desk, self._holding, self._answered, self._failed, self._say_state)
        self.set_interval(1.0, self._tick)
        self._learn()
        if self._begun is not None:
            self._begin(self._begun)
        else:
            self.form.finder.input.focus()

    def _begin(self, begun: Begun) -> None:
        self.form.finder.choose(begun.patient)
        self.form.show(begun.offers, begun.already)
        self.form.offers.highlighted = begun.offers.index(begun.chosen)
        self.form.note.focus()
        self._patient, self._chosen = begun.patient, begun.chosen
        self._want()

    @property
    def form(self) -> BookingForm:
        """What is typed into."""
        return self.query_one(BookingForm)

    @property
    def unsaved(self) -> bool:
        return self.form.typed

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """A place is only held again when it was held."""
        return action != "hold" or (self.is_mounted and self._holding.expired)

    # What is typed

    def _learn(self) -> None:
        site = self.desk.site
        if site is not None:
            self.call(reception.known, site.code, self._day, on_done=self._learnt, on_error=self._not_learnt)
        else:
            self.set_timer(AGAIN_SECONDS, self._learn)

    def _learnt(self, known: Known) -> None:
        self._known = known
        if self._unlearnt:  # else it may be why the place was refused
            self._unlearnt = False
            self.form.say_problem(None)
        mine = known.of_resource.get(self._cell.resource, ()) if self._cell is not None else tuple(known.tests)
        self.form.suggest(mine)
        self._understand()
        if self._begun is None:
            self._ask_soon()

    def _not_learnt(self, problem: BookcliError) -> None:
        self._unlearnt = True
        self.form.say_problem(text(f"▲ {said(problem)}", "$text-error"))
        if isinstance(problem, Unavailable):
            self.set_timer(AGAIN_SECONDS, self._learn)

    def on_key(self, event: events.Key) -> None:
        self._holding.typed()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input in (self.form.tests, self.form.when):
            self._understand()
            self._begun = None if self._begun is not None and self.form.typed else self._begun
            if self._begun is None:
                self._ask_soon()

    def _understand(self) -> None:
        """What tests and days were typed, as the quick line understands them."""
        self._line = self.form.understand(self._known, self.desk.site, self._day)

    @property
    def _day(self) -> date | None:
        """The day of the slot that was pointed at."""
        cell, site = self._cell, self.desk.site
        return clock.to_local(cell.start, site.zone).date() if cell is not None and site is not None else None

    def on_patient_finder_chosen(self, event: PatientFinder.Chosen) -> None:
        event.stop()
        self._book_next = False
        same, self._patient = event.patient == self._patient, event.patient
        if event.patient is not None:
            self._go_on_from_patient()
        if not same and (self._begun is None or event.patient is None):
            self._ask_soon()

    def _go_on_from_patient(self) -> None:
        if self._begun is None and self.form.finder.input.has_focus:
            known = self._chosen is not None or (self._may_choose and self._line.tests)
            (self.form.note if known else self.form.tests).focus()

    def on_patient_finder_looked(self) -> None:
        self._say_state()

    def on_patient_finder_nobody(self, event: PatientFinder.Nobody) -> None:
        event.stop()
        self.action_new_patient()

    # Offers

    def _ask_soon(self) -> None:
        """Asks when nobody types any more; from now on nothing is chosen that was offered for something else."""
        self._chosen, self._book_next = None, False
        self.form.show(())
        self.form.say_aloud(None, self._known)
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(DEBOUNCE, self._ask)

    def _ask(self) -> None:
        """Asks for offers; what was held for something else is given back first."""
        self._timer = None
        before = self._holding.hand_over()
        if self.form.says_unclear() or not self._line.tests:
            self.form.offers.show(())
            self.desk.ahead.release(self.form.offers)
            if before:
                self.call(reception.release, before, quiet=True, on_error=lambda _: None)
            return
        cell = self._cell if not self.form.when.value.strip() else None
        near = (cell.slot_id, cell.start) if cell is not None else None
        number = self._patient.mrn if self._patient is not None and self._patient.name else ""
        self.call(
            reception.offered, self._line, number, near, before, on_done=self._offered, on_error=self._no_offers,
            group="offers",
        )  # fmt: skip

    def _offered(self, answer: Offered) -> None:
        if self._timer is not None:
            # It was asked before the last letter: another answer will come.
            return
        found = answer.offers
        self.form.show(found, answer.already)
        self.desk.ahead.release(self.form.offers)
        self.form.say_problem(None)
        cell = self._cell
        if not found:
            self.form.say_problem(text("○ Nothing is free for that. Try other days.", "$text-warning"))
        elif cell is not None and self._may_choose and not self.form.when.value.strip():
            here = [one for one in found if any(part.slot_id == cell.slot_id for part in one.parts)]
            if here:
                self.form.offers.highlighted = found.index(here[0])
                self._choose(here[0])
            else:
                self._may_choose = False
                self._say_not_here("That place is not free for it.")
                self._ask_why(cell)
        self._say_state()

    def _say_not_here(self, why: str) -> None:
        self.form.say_problem(text(f"▲ {why} The nearest are these.", "$text-warning"))

    def _ask_why(self, cell: Cell) -> None:
        """Says so when it is not the place that is in the way."""
        if self._patient is not None and len(self._line.tests) == 1:
            args = (self._patient.mrn, self._line.tests[0], cell.start)
            how = {"on_done": self._why, "on_error": lambda _: None, "group": "why", "quiet": True}
            self.call(reception.elsewhere, *args, **how)

    def _why(self, reference: str | None) -> None:
        if reference is not None and self._chosen is None and self._timer is None:
            self._say_not_here(sentence("patient-overlap", {"other": reference}))

    def _no_offers(self, problem: BookcliError) -> None:
        cell, site = self._cell, self.desk.site
        away = isinstance(problem, Unavailable) and problem.code in OUTAGES
        if away and cell is not None and site is not None and len(self._line.tests) == 1 and self._may_choose:
            self._offered(Offered((of_cell(cell, site, self._line.tests[0]),)))
        else:
            self.form.say_problem(text(f"▲ {said(problem)}", "$text-error"))
            self.desk.ahead.release(self.form.offers)
        self.desk.explain(problem) if away else None

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        current = self.form.offers.current
        if current is not None and current == self._chosen and self._patient is not None:
            self.action_book()
        elif current is not None:
            self._choose(current)
            (self.form.finder.input if self._patient is None else self.form.note).focus()

    def on_option_list_option_highlighted(self) -> None:
        self._say_state()

    def on_descendant_focus(self) -> None:
        self._say_state()

    def _choose(self, offer: Offer) -> None:
        self._chosen = offer
        self._want()

    # Holding and booking

    def _want(self) -> None:
        self.form.say_aloud(self._chosen, self._known)
        if self._patient is not None and self._chosen is not None and not self._is_away:
            self._holding.want(self._patient.mrn, tuple(self._chosen.takes))
        self._say_state()

    @property
    def _is_away(self) -> bool:
        return self.desk.lights is not None and self.desk.lights.database == "away"

    def _tick(self) -> None:
        if not self._settling.under_way:
            self._holding.tick()
        self._say_state()

    def _held_changed(self) -> None:
        self._say_state()
        self.refresh_bindings()
        if self._book_next and not self._holding.on_its_way:
            self._book_next = False
            self._book()

    def _not_held(self, outcome: Outcome) -> None:
        """Somebody else has taken it meanwhile, or a rule is against it: what is free nearby is shown instead."""
        self._book_next = False
        self._refused(outcome)

    def _hold_failed(self, problem: BookcliError) -> None:
        if not (isinstance(problem, Unavailable) and problem.code in OUTAGES):
            self._book_next = False
            self.form.say_problem(text(f"▲ {said(problem)}", "$text-error"))
        self.desk.explain(problem) if isinstance(problem, Unavailable) else None

    def _refused(self, outcome: Outcome) -> None:
        self._chosen, self._may_choose = None, False
        self.form.say_aloud(None, self._known)
        self._holding.lost()
        why = sentence(outcome.reason or "refused", outcome.numbers)
        nearest = [Offer((slot,)) for slot in outcome.alternatives] if len(outcome.verdicts) == 1 else []
        why += " The nearest free places are these." if nearest else ""
        self.form.say_problem(text(f"✕ REFUSED  {why}", "$text-error"))
        refused = [(one.test, one.slot_id) for one in outcome.verdicts]
        self.form.offers.show(nearest or [one for one in self.form.offers.shown if one.takes != refused])
        self.form.offers.focus()
        self._say_state()

    def action_hold(self) -> None:
        self._holding.again()

    def action_book(self) -> None:
        """Books what was chosen; with nothing chosen yet what is under the cursor is chosen first."""
        if self._settling.under_way:
            return
        if self._patient is None:
            self.form.finder.input.focus()
            self.form.say_problem(text("▲ Who is it for?", "$text-warning"))
        elif self._chosen is None:
            self._choose_current()
        elif self._holding.on_its_way:
            self._book_next = True
        else:
            self._book()

    def _choose_current(self) -> None:
        current = self.form.offers.current
        if current is not None:
            self._choose(current)
        elif not self._line.tests:
            self.form.tests.focus()
            self.form.say_problem(text("▲ Which tests?", "$text-warning"))
        elif self._timer is not None or self.desk.calls.is_asking(self, "offers"):
            self.form.say_problem(text("… looks for what is free; Enter is for what is shown", "$text-muted"))

    def _book(self) -> None:
        assert self._patient is not None and self._chosen is not None
        self.form.say_problem(None)
        self._settling.begin(self._patient.mrn, tuple(self._chosen.takes), self.form.note.value)
        self._say_state()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        form = self.form
        if event.input is form.note:
            self.action_book()
            return
        here = self._cell is not None and self._may_choose and not form.when.value.strip()
        known = self._chosen is not None or (event.input is form.tests and here)
        after = form.after(event.input, self._patient, known=known)
        after.focus()
        if after is form.offers and (self._timer is not None or self.desk.calls.is_asking(self, "offers")):
            self.desk.ahead.hold(after)

    def _failed(self, problem: BookcliError) -> None:
        self.form.say_problem(text(f"▲ {said(problem)}", "$text-error"))
        self._say_state()

    def _answered(self, outcome: Outcome) -> None:
        self._say_state()
        if outcome.outcome == "refused":
            self._refused(outcome)
            return
        self._holding.booked()
        patient = self._patient
        who = f"{patient.name} {patient.mrn}".strip() if patient is not None else ""
        if outcome.outcome == "booked":
            say_booked(self.desk, outcome)
        self.desk.show(Answer(outcome, who), lambda then: self._finished(outcome, then))

    def _finished(self, outcome: Outcome, then: str | None) -> None:
        desk = self.desk
        self.dismiss(outcome)
        if then:
            desk.call_later(desk.open_appointment, then)

    def _say_state(self) -> None:
        if self.is_mounted:
            self.form.say_state(self._holding, self._settling, self._patient, self._chosen, away=self._is_away)

    # Leaving

    def action_new_patient(self) -> None:
        words = self.form.finder.input.value if self._patient is None else ""
        self.desk.show(NewPatient(words), self._new_patient)

    def _new_patient(self, patient: Patient | None) -> None:
        if patient is not None:
            self.form.finder.choose(patient)

    def action_leave(self) -> None:
        if not (self.unsaved or self._settling.under_way):
            self.dismiss(None)
            return
        more = self._settling.if_left()
        self.app.push_screen(Confirm("Leave without booking?", more, yes="Leave", no="Keep"), self._left)

    def on_unmount(self) -> None:
        # What is being booked must not be given back under way.
        (self._settling.leave if self._settling.under_way else self._holding.let_go)()
