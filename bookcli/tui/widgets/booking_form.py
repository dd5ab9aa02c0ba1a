"""The fields of the book dialog and the lines that say how things stand; it decides nothing.

What must stay true: what is held, refused or waited for is told by words and glyphs, not by a colour alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, Static

from ...core import clock
from ...core.model import quick_line
from ...core.model.board import Place
from ...core.model.offers import Offer
from ...core.model.patients import Patient
from ...core.model.quick_line import Line
from ...core.model.text import visible
from ...core.services.reception import Known
from .frame import KeyLine
from .offer_list import OfferList, when
from .patient_finder import PatientFinder, labelled

if TYPE_CHECKING:
    from ..holding import Holding
    from ..settling import Settling

MOST_NAMED = 8


@dataclass(frozen=True, slots=True)
class Begun:
    """What is known already when the dialog opens: of whom, what was typed for what and when, and what was chosen."""

    patient: Patient
    tests: str
    when: str
    offers: tuple[Offer, ...]
    chosen: Offer
    already: str = ""


class BookingForm(Vertical):
    """`finder`, `tests`, `when`, `offers` and `note` are in the order in which they have the focus."""

    DEFAULT_CSS = """
    BookingForm { height: auto; }
    BookingForm .meaning { width: auto; max-width: 34; padding-left: 2; color: $text-muted; }
    BookingForm #problem, BookingForm #aloud, BookingForm #state { height: auto; margin-left: 9; }
    BookingForm OfferList { margin-left: 9; }
    """

    def __init__(self, tests: str, when: str, where: str) -> None:
        super().__init__()
        self._first = (tests, when)
        self._unclear = ""
        self._proposed = self._already = ""
        self.finder = PatientFinder(ahead=True)
        self.tests = Input(tests, placeholder="mri + blood", compact=True, select_on_focus=False)
        self.when = Input(when, placeholder=where, compact=True, select_on_focus=False)
        self.note = Input(placeholder="for whoever performs it", compact=True, select_on_focus=False, max_length=2000)
        self.offers = OfferList()

    def compose(self) -> ComposeResult:
        yield Static(Content("Book"), classes="heading")
        yield self.finder
        yield labelled("Tests", self.tests, Static(id="tests-mean", classes="meaning"))
        yield labelled("When", self.when, Static(id="when-means", classes="meaning"))
        yield Static(Content(""), id="problem")
        yield self.offers
        yield labelled("Note", self.note)
        yield Static(Content(""), id="aloud")
        yield Static(Content(""), id="state")
        yield KeyLine()

    def on_mount(self) -> None:
        for name in ("problem", "aloud", "state"):
            self._say(f"#{name}", None)

    @property
    def typed(self) -> bool:
        """Whether something was typed or chosen that leaving would lose."""
        tests, days = self._first
        return bool(
            (self.finder.input.value and not tests and not days)
            or self.note.value
            or self.tests.value not in (tests, self._proposed)
            or self.when.value != days
        )

    def suggest(self, tests: Sequence[str]) -> None:
        """Says which tests there are here; the only one is typed already."""
        if len(tests) == 1 and not self.tests.value:
            self._proposed = tests[0]
            self.tests.value = tests[0]
        names = " · ".join(map(visible, tests[:MOST_NAMED]))
        self.tests.placeholder = names + (" …" if len(tests) > MOST_NAMED else "")

    def understand(self, known: Known, site: Place | None, day: date | None) -> Line:
        """What tests and days were typed, as the quick line understands them; `day` when no other was. It is said."""
        zone = site.zone if site is not None else "UTC"
        today = clock.today(zone)
        tests_known = quick_line.Known.of([(code, name) for code, (name, _) in known.tests.items()])
        tests = quick_line.understand(self.tests.value.replace(" ", " + "), tests_known, today)
        when = quick_line.understand(self.when.value, quick_line.Known({}, {}), today)
        days = when.days or ((day, day) if day is not None and not self.when.value.strip() else None)
        line = replace(when, tests=tests.tests, days=days, site=site.code if site is not None else "")
        unknown = [word.text for word in (*tests.unknown, *when.unknown)]
        unknown += [word.text for word in (*tests.words, *when.words) if word.kind in ("name", "number")]
        words = ", ".join(map(visible, unknown))
        unclear = f"It is not clear what is meant by {words}." if words else ""
        self._unclear = f"{visible(when.no_day)} is no day." if when.no_day else unclear
        self._say_meaning(line, known, unknown)
        return line

    def show(self, offers: Sequence[Offer], already: str = "") -> None:
        """Shows what is offered, and what the patient has of the same already, if there is such a sentence."""
        self._already = already
        self.offers.show(offers)

    def says_unclear(self) -> bool:
        """Whether a word is not understood; then it says so, and nothing is offered for the others."""
        self.say_problem(Content.styled(f"▲ {self._unclear}", "$text-warning") if self._unclear else None)
        return bool(self._unclear)

    def _say_meaning(self, line: Line, known: Known, unknown: Sequence[str]) -> None:
        """Says how tests and days are understood, and which words are not."""
        names = [visible(known.tests[code][0] or code) for code in line.tests if code in known.tests]
        self._mean("#tests-mean", ", ".join(names))
        days = ""
        if self.when.value.strip() and line.days is not None:
            first, last = line.days
            days = f"{first:%a %d %b}" + (f" – {last:%a %d %b}" if last != first else "")
            days += f" {line.hours[0]:%H:%M}–{line.hours[1]:%H:%M}".replace("23:59", "24:00") if line.hours else ""
            days += f" from {line.at:%H:%M}" if line.at else ""
        missing = "".join(f" {visible(word)}?" for word in unknown)
        self._mean("#when-means", (days + missing).strip())

    def _mean(self, where: str, words: str) -> None:
        self.query_one(where, Static).update(Content(words))

    def say_problem(self, words: Content | None) -> None:
        """Says what stands in the way, or that nothing does."""
        self._say("#problem", words)

    def say_aloud(self, offer: Offer | None, known: Known) -> None:
        """What is to be read to the patient before these tests."""
        codes = dict.fromkeys(part.test for part in offer.parts) if offer is not None else {}
        words = [known.tests[code][1] for code in codes if code in known.tests and known.tests[code][1]]
        told = " ".join(visible(" ".join(one.split())) for one in words)
        self._say("#aloud", Content.assemble(("Read aloud  ", "$text-muted"), told) if words else None)

    def say_state(
        self, holding: Holding, settling: Settling, patient: Patient | None, chosen: Offer | None, *, away: bool
    ) -> None:
        """How it stands with the place, and what Enter does where the cursor is."""
        state = _state(holding, settling, patient, chosen, away=away)
        enter = "" if settling.under_way else self._enter(patient, chosen, away=away)
        already = f"▲ {visible(self._already)}" if self._already and patient is not None else ""
        words = [Content.styled(already, "$text-warning"), state or Content(""), Content.styled(enter, "$text-muted")]
        words = [one for one in words if one.plain]
        self._say("#state", Content("\n").join(words) if words else None)

    def after(self, field: Widget, patient: Patient | None, *, known: bool) -> Widget:
        """Where Enter goes on from tests or days; `known`: which offer it is to be."""
        if known:
            return self.note if patient is not None else self.finder.input
        return self.when if field is self.tests else self.offers

    def _enter(self, patient: Patient | None, chosen: Offer | None, *, away: bool) -> str:
        here, current = self.screen.focused, self.offers.current
        if here is self.finder.input:
            return self.finder.enter
        if here in (self.tests, self.when):
            return "Enter goes on"
        if here is self.note and patient is None:
            return "Enter goes on to the patient"
        if chosen is not None and patient is not None and (here is self.note or current == chosen):
            return "Enter keeps it" if away else "Enter books"
        if current is None:
            return ""
        return "Enter takes this offer" if away or patient is None else "Enter holds this offer"

    def _say(self, where: str, words: Content | None) -> None:
        line = self.query_one(where, Static)
        line.display = words is not None
        line.update(words if words is not None else Content(""))


def _state(
    holding: Holding, settling: Settling, patient: Patient | None, chosen: Offer | None, *, away: bool
) -> Content | None:
    if settling.under_way:
        return _under_way(settling)
    if chosen is None or patient is None:
        return None
    held = holding.held
    if held is not None:
        left = max(int(held.seconds), 0)
        until = clock.to_local(held.until, chosen.parts[0].zone)
        style = "$text-warning" if left >= 60 else "bold $text-warning"
        words = f"◐ Held {left // 60}:{left % 60:02d}, until {until:%H:%M}  {when(chosen)}"
        return Content.styled(words, style)
    if holding.on_its_way:
        return Content.styled("… asks for the place", "$text-muted")
    if holding.expired:
        words = "▲ No longer held: others may take it. ^r holds it again."
        return Content.styled(words, "bold $text-warning")
    if away:
        words = "▲ Not held: no database. A request is kept: PENDING — not booked."
        return Content.styled(words, "bold $text-warning")
    return Content.styled(f"○ Not held  {when(chosen)}", "$text-muted")


def _under_way(settling: Settling) -> Content:
    if settling.problem is None:
        return Content.styled("… books", "$text-muted")
    if settling.unknown:
        words = "UNKNOWN — perhaps booked, perhaps not. The answer was lost; it is asked again. Do not book it twice."
        return Content.styled(f"◷ {words}", "bold $text-warning")
    left = f" The place is held for {max(int(settling.held.seconds), 0)} s more." if settling.held is not None else ""
    words = f"PENDING — not booked. The database does not answer; it is asked again.{left}"
    return Content.styled(f"◷ {words}", "bold $text-warning")
