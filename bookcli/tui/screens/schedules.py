"""When the site is open: weekly hours, how far slots are published from them, and what is closed ahead.

What must stay true: nothing is done by one key alone, except asking; and looking at it is no look at a patient.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from ...core import clock
from ...core.errors import BookcliError, NotAllowed
from ...core.model.board import Place
from ...core.model.schedules import Closure, Weekly, shown_time, shown_weekdays, weekly
from ..calls import Later
from ..kit import Confirm, Notice, Table, literal, said, text
from ..live import Following
from ..undoing import Undo
from .affected import Affected
from .closing import Closing, Result, span
from .weekly_hours import Done, EndHours, Publishing, WeeklyHours

if TYPE_CHECKING:
    from ...core.services import opening_hours, schedules
    from ...core.services.opening_hours import OpeningHours
else:
    opening_hours, schedules = Later("opening_hours"), Later("schedules")

PERMISSION = "manage-schedules"
NOT_ALLOWED = "Your role may read the schedules, and not change them."
BURST_SECONDS = 1.0
"""Changes that are told so shortly one after another are read together."""


class Line(NamedTuple):
    """A line of the hours: of a resource, without hours when it has none, and how far it is published."""

    resource: str
    open: Weekly | None
    published: date | None


class HoursTable(Table[Line]):
    """The weekly hours; down from the last of them goes on to the closures."""

    def action_cursor_down(self) -> None:
        below = self.screen.query_one(ClosuresTable)
        if self.cursor_row >= len(self.shown) - 1 and below.display:
            below.focus()
        else:
            super().action_cursor_down()


class ClosuresTable(Table[Closure]):
    """The closures ahead; up from the first of them goes back to the hours."""

    def action_cursor_up(self) -> None:
        above = self.screen.query_one(HoursTable)
        if self.cursor_row <= 0 and above.display:
            above.focus()
        else:
            super().action_cursor_up()


class SchedulesScreen(Following):
    """Shows the hours and closures of the site, and changes them for whoever may.

    Hours that another desk adds or ends are told to nobody; they are read once a minute.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("a", "add", "Add hours", id="schedules.add"),
        Binding("e", "edit", "Change", id="schedules.edit"),
        Binding("x", "end", "End", id="schedules.end"),
        Binding("p", "publish", "Publish", id="schedules.publish"),
        Binding("c", "close", "Close", id="schedules.close"),
        Binding("o,delete", "reopen", "Re-open", id="schedules.reopen", key_display="o"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._found: OpeningHours | None = None

    def body(self) -> ComposeResult:
        yield Notice()
        yield HoursTable(("Resource", "Days", "Open", "Slots", "Takes", "Published", "Counts"), _hours, _key)
        yield Static(Content(""), id="closed")
        yield ClosuresTable(("Closed", "When", "Why"), self._closure, lambda one: str(one.closure_id))

    def on_mount(self) -> None:
        for table in self.query(Table):
            table.display = False
        self.notice("loading", "The schedules are on their way.")

    def heading(self) -> Content:
        site = literal(self.desk.site.name) if self.desk.site is not None else ""
        if self._found is None:
            return Content(site)
        until = self._published([line for line in self._lines() if line.open is not None])
        may = "" if self._may else f"  {NOT_ALLOWED}"
        return Content.assemble((site, "bold"), f"  {until}  {len(self._found.closures)} closed ahead", may)

    def _published(self, lines: list[Line]) -> str:
        """How far all that has hours is published."""
        days = [line.published for line in lines if line.published is not None]
        if not lines:
            return "no weekly hours"
        return f"published to {min(days):%a %d %b %Y}" if len(days) == len(lines) else "not all published"

    def as_of(self) -> float | None:
        return time.monotonic() - self._read_at if self._found is not None and self._failing else None

    @property
    def _may(self) -> bool:
        """Whether who sits here may change anything; the database decides, this only says so first."""
        return self.desk.person is None or PERMISSION in self.desk.person.permissions

    @property
    def _today(self) -> date:
        return clock.today(self.desk.site.zone if self.desk.site is not None else "UTC")

    # Reading

    @property
    def has_answer(self) -> bool:
        return self._found is not None

    @property
    def burst(self) -> float:
        return BURST_SECONDS

    def forget(self) -> None:
        self._found = None

    def question(self, site: Place) -> tuple[Callable[..., Any], *tuple[Any, ...]]:
        return opening_hours.of_site, site.code

    def show_answer(self, found: OpeningHours) -> None:
        self._found = found
        above, below, notice = self.query_one(HoursTable), self.query_one(ClosuresTable), self.query_one(Notice)
        lines = self._lines()
        above.display, below.display = bool(lines), bool(found.closures)
        above.show(lines)
        below.show(found.closures)
        self.query_one("#closed", Static).update(
            text("" if found.closures else "Nothing is closed ahead; c closes.", "$text-muted")
        )
        if lines:
            notice.clear()
        else:
            notice.say("empty", "There is no resource here.")
        if self.focused is None:
            (above if lines else below).focus()
        self.say_frame()

    def _lines(self) -> list[Line]:
        """The hours that count from today on, and the resources in use that have none."""
        found = self._found
        if found is None:
            return []
        today, published, codes = self._today, found.published, _codes(found)
        counting = [
            one
            for one in found.hours
            if one.resource in codes and (one.valid_until is None or one.valid_until >= today)
        ]
        lines = [Line(one.resource, one, published.get(one.resource)) for one in weekly(counting)]
        open_ones = {line.resource for line in lines}
        lines += [Line(code, None, published.get(code)) for code in codes if code not in open_ones]
        return sorted(lines, key=lambda line: line.resource)

    def show_problem(self, problem: BookcliError) -> None:
        if isinstance(problem, NotAllowed):
            self._found = None
        if self._found is None:
            for table in self.query(Table):
                table.display = False
            self.query_one("#closed", Static).update(Content(""))
            self.notice("error", text(said(problem)), hint="r tries again")
        self.say_frame()

    def _closure(self, one: Closure) -> Iterable[object]:
        zone = self.desk.site.zone if self.desk.site is not None else "UTC"
        return one.resource or "the whole site", span((one.start, one.end), zone), one.reason

    # Keys

    def _asked(self) -> tuple[OpeningHours, Place] | None:
        """What the keys are about; None, which was said, when nothing can be changed."""
        if not self._may:
            self.desk.toast(NOT_ALLOWED, "warning")
        elif self._found is None or self.desk.site is None:
            self.desk.toast("The schedules are not there yet: r reads them again.", "warning")
        else:
            return self._found, self.desk.site
        return None

    def _at(self) -> Line | None:
        """The line of hours under the cursor."""
        line: Line | None = self.query_one(HoursTable).current
        return line

    def on_table_opened(self, event: Table.Opened) -> None:
        if isinstance(event.row, Closure):
            one = event.row
            heading = f"Booked while {one.resource or 'the whole site'} is closed"
            self.app.push_screen(Affected(heading, (one.site, one.resource or ""), (one.start, one.end)))
        elif event.row.open is not None:
            self.action_edit()
        else:
            self.action_add()

    def action_add(self) -> None:
        if asked := self._asked():
            codes, line = _codes(asked[0]), self._at()
            code = line.resource if line is not None else ""
            self.app.push_screen(WeeklyHours(asked[1].code, codes, self._today, code=code), self._did)

    def action_edit(self) -> None:
        asked, line = self._asked(), self._at()
        if asked and line is not None and line.open is not None:
            form = WeeklyHours(asked[1].code, _codes(asked[0]), self._today, line.open)
            self.app.push_screen(form, self._did)

    def action_end(self) -> None:
        line = self._at()
        if self._asked() and line is not None and line.open is not None:
            self.app.push_screen(EndHours(self._today, line.open), self._did)

    def action_publish(self) -> None:
        if asked := self._asked():
            self.app.push_screen(Publishing(asked[1].code, _codes(asked[0]), self._today), self._did)

    def _did(self, done: Done | None) -> None:
        if done is not None:
            self.desk.did(done.sentence, done.undo)

    def action_close(self) -> None:
        if asked := self._asked():
            line = self._at()
            form = Closing(asked[1], _codes(asked[0]), asked[0].closures, line.resource if line is not None else "")
            self.app.push_screen(form, self._was_closed)

    def _was_closed(self, result: Result | None) -> None:
        if result is None:
            return
        self.desk.did(result.sentence, result.undo)
        if result.left:
            asked = result.asked
            heading = f"Booked still: {asked.words}"
            undoable = result.undo is not None
            self.desk.show(Affected(heading, (asked.place.code, asked.resource), asked.period, undoable=undoable))

    def action_reopen(self) -> None:
        asked = self._asked()
        one: Closure | None = self.query_one(ClosuresTable).current
        if asked is None or one is None:
            return
        question = f"Re-open {one.resource or 'the whole site'}, {span((one.start, one.end), asked[1].zone)}?"
        more = "Its slots can be booked again. Who was moved away from it stays where they are."
        self.app.push_screen(Confirm(question, more, yes="Re-open", no="Keep closed"), partial(self._reopen, one))

    def _reopen(self, one: Closure, agreed: bool | None) -> None:
        if agreed:
            self.call(
                schedules.reopen, one.closure_id, on_done=partial(self._reopened, one), on_error=self._not_reopened
            )

    def _reopened(self, one: Closure, opened: int) -> None:
        again = (one.site, one.resource or "", one.start, one.end, one.reason)
        undo = Undo("Closed again; who was booked meanwhile stays booked.", schedules.close, again)
        self.desk.did(f"Re-opened {one.resource or 'the whole site'}: {opened} slots are open again.", undo)
        self.reload()

    def _not_reopened(self, problem: BookcliError) -> None:
        self.desk.failed(problem)
        self.reload()


def _codes(found: OpeningHours) -> list[str]:
    return [one.code for one in found.resources]


def _key(line: Line) -> str:
    return f"{line.resource} {line.open.schedule_ids if line.open is not None else ''}"


def _hours(line: Line) -> Iterable[object]:
    published = f"to {line.published:%d %b %Y}" if line.published is not None else "▲ nothing"
    if line.open is None:
        return line.resource, "○ none", "", "", "", published, ""
    hours = line.open.hours
    since = f"from {hours.valid_from:%d %b %Y}" if hours.valid_from else ""
    until = f"to {hours.valid_until:%d %b %Y}" if hours.valid_until else ""
    return (
        line.resource,
        shown_weekdays(line.open.weekdays),
        f"{shown_time(hours.opens)}–{shown_time(hours.closes)}",
        f"{hours.slot_minutes} min",
        str(hours.capacity),
        published,
        f"{since} {until}".strip(),
    )
