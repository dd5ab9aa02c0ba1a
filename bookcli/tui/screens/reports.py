"""Reports as pictures: how full the machines were, who did not come, how long people wait for a place.

What must stay true: a picture is always named by the site and the period that it is of, whatever was asked for since.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from ...core import clock
from ...core.context import Context
from ...core.errors import BookcliError, NotAllowed
from ...core.model import reports as figures
from ..calls import Later
from ..kit import Notice, View, literal, said, text
from ..widgets.picture import Drawing, Picture, Styles
from ..widgets.report_pictures import Names, heat, noshow, waits
from .days import Period, period_in_words

if TYPE_CHECKING:
    from ...core.services import reports
else:
    reports = Later("reports")

Draw = Callable[[int, Styles], Drawing]
NOT_FOR_YOU = "Reports are for whoever may manage schedules, and you may not."
EARLIER = "[ earlier · ] later · d another period"


@dataclass(frozen=True, slots=True)
class Question:
    """Which picture, of which first and last day; of all sites when `site` is empty."""

    kind: str
    days: tuple[date, date]
    site: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked, the picture, None of nothing; its sum in words, and when it was read by the monotonic clock."""

    question: Question
    draw: Draw | None
    sum: str
    read_at: float


@dataclass(frozen=True, slots=True)
class Kind:
    """A picture: its title, what its signs mean, how it is made of rows, and what is said when there are none."""

    title: str
    legend: str
    service: Callable[[Context, tuple[date, date], str], list[dict[str, Any]]]
    made: Callable[[list[dict[str, Any]], Names], tuple[Draw, str]]
    nothing: str


def _heat(rows: list[dict[str, Any]], names: Names) -> tuple[Draw, str]:
    grid = figures.grid(rows)
    taken = grid.taken[None, None]
    share = figures.percent(taken.booked, taken.capacity)
    return partial(heat, grid, names), f"{share}% taken, {taken.booked} of {taken.capacity}"


def _noshow(rows: list[dict[str, Any]], names: Names) -> tuple[Draw, str]:
    found = figures.worst_first(rows)
    whole = figures.all_missed(found)
    share = figures.percent(whole.missed, whole.appointments)
    return partial(noshow, found, names), f"{share}% did not come, {whole.missed} of {whole.appointments}"


def _waits(rows: list[dict[str, Any]], names: Names) -> tuple[Draw, str]:
    found = figures.longest_first(rows)
    return partial(waits, found, names), f"{sum(one.appointments for one in found)} appointments"


KINDS = {
    "full": Kind("How full", "▁ none … █ all; blank: no slots", reports.utilisation, _heat, "There were no slots"),
    "noshow": Kind(
        "No-shows", "worst first, then the few", reports.noshow, _noshow, "Of no appointment is noted who came"
    ),
    "waits": Kind(
        "Lead time", "longest first; median and 90 % in days", reports.lead_time, _waits, "There were no appointments"
    ),
}


class ReportsScreen(View):
    """Shows one of three pictures of the site or of all, of the last four weeks unless another period was chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "next(1)", "Next picture", id="reports.next"),
        Binding("X", "next(-1)", "Picture before", id="reports.previous", show=False),
        *(
            Binding(key, f"picture('{kind}')", KINDS[kind].title, id=f"reports.{kind}", show=False)
            for key, kind in (("f", "full"), ("n", "noshow"), ("w", "waits"))
        ),
        Binding("a", "everywhere", "All sites", id="reports.everywhere"),
        Binding("left_square_bracket", "step(-1)", "Earlier", id="reports.earlier", key_display="["),
        Binding("right_square_bracket", "step(1)", "Later", id="reports.later", key_display="]"),
        Binding("d", "period", "Period", id="reports.period"),
        Binding("t", "recent", "Last four weeks", id="reports.recent", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._kind = "full"
        self._days: tuple[date, date] | None = None
        self._everywhere = False
        self._answers: dict[str, Answer] = {}
        self._failing = False

    def body(self) -> ComposeResult:
        yield Static(id="pictures")
        yield Notice()
        yield Picture()
        yield Static(id="fact")

    def on_mount(self) -> None:
        self._show_picture(shown=False)
        self._say_pictures()
        self.notice("loading", "The picture is on its way.")

    # What is said around the picture

    def heading(self) -> Content:
        answer = self._answers.get(self._kind)
        question = answer.question if answer is not None else self._question()
        known = {one.code: one.name for one in self.desk.places}
        site = literal(known.get(question.site, question.site)) if question.site else "All sites"
        told = f"  {answer.sum}" if answer is not None and answer.sum else ""
        return Content.assemble((site, "bold"), f"  {period_in_words(question.days)}{told}")

    def as_of(self) -> float | None:
        answer = self._answers.get(self._kind)
        return time.monotonic() - answer.read_at if answer is not None and self._failing else None

    def _say_pictures(self) -> None:
        """The pictures by name, the one that is shown among them; a click shows another one."""
        tabs = [
            Content.styled(
                f" {kind.title} ", f"{'bold reverse' if name == self._kind else ''} @click=screen.picture('{name}')"
            )
            for name, kind in KINDS.items()
        ]
        legend = Content.styled(f"   {KINDS[self._kind].legend}", "$text-muted")
        self.query_one("#pictures", Static).update(Content.assemble(*tabs, legend))

    def on_picture_moved(self, event: Picture.Moved) -> None:
        self.query_one("#fact", Static).update(text(event.fact))

    # Reading

    def _question(self) -> Question:
        site = self.desk.site
        days = self._days or figures.recent(self._today())
        return Question(self._kind, days, site.code if site is not None and not self._everywhere else "")

    def _today(self) -> date:
        return clock.today(self.desk.site.zone if self.desk.site is not None else "UTC")

    def placed(self) -> None:
        self._answers, self._everywhere = {}, False
        if self.is_mounted:
            self._draw()
        self.reload()

    def reload(self) -> None:
        """Asks for the picture when it can be seen; what is shown stays until the answer is there."""
        if self.is_active:
            question = self._question()
            asked = partial(self._failed, question)
            self.call(_read, question, on_done=self._shown, on_error=asked, group="report")
            if self._kind not in self._answers:
                self.desk.ahead.until_first(self, "report")

    def _shown(self, answer: Answer) -> None:
        self._answers[answer.question.kind] = answer
        self._failing = False
        self._draw()

    def _draw(self) -> None:
        """Shows what was read of the picture that is chosen."""
        answer = self._answers.get(self._kind)
        self._say_pictures()
        self._show_picture(shown=answer is not None and answer.draw is not None)
        picture, notice = self.query_one(Picture), self.query_one(Notice)
        if answer is None:
            notice.say("loading", "The picture is on its way.")
        elif answer.draw is None:
            more = "" if answer.question.site == "" else " · a all sites"
            words = f"{KINDS[self._kind].nothing} {_from_to(answer.question.days)}."
            notice.say("empty", words, EARLIER + more)
        else:
            notice.clear()
            picture.show(answer.draw)
            if self.focused is None:
                picture.focus()
        self.say_frame()

    def _show_picture(self, *, shown: bool) -> None:
        self.query_one(Picture).display = shown
        self.query_one("#fact").display = shown

    def _failed(self, question: Question, problem: BookcliError) -> None:
        self._failing = True
        forbidden = problem.code == "forbidden"
        if isinstance(problem, NotAllowed):
            self._answers = {}
        answer = self._answers.get(self._kind)
        if answer is not None and answer.question != question:
            self.desk.failed(problem)
        elif not forbidden:
            self.desk.explain(problem)
        if answer is None:
            self._show_picture(shown=False)
            self.notice("error", text(NOT_FOR_YOU if forbidden else said(problem)), hint="r tries again")
        self.say_frame()

    # Keys

    def action_next(self, by: int) -> None:
        kinds = list(KINDS)
        self.action_picture(kinds[(kinds.index(self._kind) + by) % len(kinds)])

    def action_picture(self, kind: str) -> None:
        self._kind = kind
        self._draw()
        self.reload()

    def action_everywhere(self) -> None:
        self._everywhere = not self._everywhere
        self.reload()

    def action_step(self, by: int) -> None:
        self._go(figures.stepped(self._question().days, by))

    def action_recent(self) -> None:
        self._go(None)

    def action_period(self) -> None:
        self.app.push_screen(Period(self._today()), lambda days: self._go(days) if days is not None else None)

    def _go(self, days: tuple[date, date] | None) -> None:
        self._days = days
        self.reload()


def _read(context: Context, question: Question) -> Answer:
    """The picture of a question. Raises NotFound, NotAllowed, Unavailable."""
    kind = KINDS[question.kind]
    rows = kind.service(context, question.days, question.site)
    if not rows:
        return Answer(question, None, "", time.monotonic())
    draw, words = kind.made(rows, Names(*reports.names(context), several=not question.site))
    return Answer(question, draw, words, time.monotonic())


def _from_to(days: tuple[date, date]) -> str:
    first, last = (f"{day:%a %d %b %Y}" for day in days)
    return f"on {first}" if first == last else f"from {first} to {last}"
