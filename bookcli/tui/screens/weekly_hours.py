"""Weekly hours: adds them, has others from a day on, or ends them; and publishes slots from them.

What must stay true: slots that are there stay as they are, booked or not, and that is said before it is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.binding import Binding, BindingType

from ...core.errors import BookcliError, InvalidInput, OutcomeUnknown, Unavailable
from ...core.model.catalog import checked_number
from ...core.model.periods import parse_day, parse_time
from ...core.model.schedules import (
    Published,
    Weekly,
    check_hours,
    parse_closing,
    parse_weekdays,
    shown_time,
    shown_weekdays,
)
from ..calls import Later
from ..kit import Confirm, said
from ..undoing import Undo
from .form import Form, a_resource

if TYPE_CHECKING:
    from ...core.services import opening_hours, schedules
else:
    opening_hours, schedules = Later("opening_hours"), Later("schedules")

FIELDS = {
    "resource": ("Resource", "mri-1"),
    "weekdays": ("Weekdays", "mon-fri, mon,wed, daily"),
    "opens": ("Opens", "8:00"),
    "closes": ("Closes", "16:00; 24:00 ends the day"),
    "slot_minutes": ("Slot minutes", "30"),
    "capacity": ("Takes", "how many at once"),
    "valid_from": ("From day", "empty: since ever"),
    "valid_until": ("Until day", "empty: for ever"),
}
NEVER_TOUCHED = "Slots that are there stay as they are, booked or not."


@dataclass(frozen=True, slots=True)
class Done:
    """What was done, said, and how it is taken back, if it can be."""

    sentence: str
    undo: Undo | None = None


def brief(line: Weekly) -> str:
    """Hours on one line."""
    open_from, until = shown_time(line.hours.opens), shown_time(line.hours.closes)
    return f"{line.resource} {shown_weekdays(line.weekdays)} {open_from}–{until}"


class WeeklyHours(Form[Done]):
    """Adds hours at a site, or has others from a day on instead of `line`."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+s", "go", "Save", id="hours.save")]

    def __init__(
        self, site: str, codes: Sequence[str], today: date, line: Weekly | None = None, code: str = ""
    ) -> None:
        self._site, self._codes, self._today, self._line = site, list(codes), today, line
        if line is None:
            values = {"resource": code, "capacity": "1", "valid_from": "today"}
            super().__init__("Add weekly hours", FIELDS, values)
            return
        fields = {name: words for name, words in FIELDS.items() if name != "resource"}
        more = f"The old hours end the day before. {NEVER_TOUCHED}"
        super().__init__(f"Change {brief(line)}", fields, _values(line, today), more)

    def first(self) -> str:
        return "weekdays"

    def check(self, name: str, words: str) -> Any:
        words = words.strip()
        if name == "resource":
            return a_resource(words, self._codes)
        if name in ("valid_from", "valid_until"):
            return self._day(name, words)
        if not words:
            raise InvalidInput("This is needed.", code="field-missing")
        if name == "closes":
            return self._closes(words)
        if name == "weekdays":
            parse_weekdays(words)
        elif name == "opens":
            parse_time(words)
        else:
            checked_number(FIELDS[name][0].lower(), words, (1, 1440 if name == "slot_minutes" else 100_000))
        return words

    def _day(self, name: str, words: str) -> str:
        if not words and name == "valid_from" and self._line is not None:
            raise InvalidInput("Say from which day on.", hint="today, tomorrow, mon, 1 dec", code="field-missing")
        day = parse_day(words, self._today) if words else None
        first = self.typed("valid_from")
        if name == "valid_until" and day and first and day < parse_day(first, self._today):
            raise InvalidInput("The hours end before they begin.", code="hours-invalid")
        return day.isoformat() if day else ""

    def _closes(self, words: str) -> str:
        closes = parse_closing(words)
        try:
            opens, minutes = parse_time(self.typed("opens")), int(self.typed("slot_minutes") or 1)
        except (InvalidInput, ValueError):
            return words
        check_hours(opens, closes, minutes)
        return words

    def go(self, values: Mapping[str, Any]) -> None:
        resource = values["resource"] if self._line is None else self._line.resource
        fields = {**values, "site": self._site, "resource": resource}
        if self._line is None:
            self.call(schedules.added, fields, on_done=partial(self._added, fields), on_error=self._failed)
        else:
            ids = self._line.schedule_ids
            self.call(schedules.change, ids, fields, on_done=partial(self._changed, fields), on_error=self._failed)

    def _added(self, fields: Mapping[str, Any], ids: list[int]) -> None:
        what = f"{fields['resource']} {fields['weekdays']}"
        if not ids:
            self.dismiss(Done(f"{what}: those hours were there already."))
            return
        first = date.fromisoformat(fields["valid_from"]) if fields["valid_from"] else self._today
        undo = Undo("", opening_hours.withdraw, (ids, first))
        self.dismiss(Done(f"Added hours of {what} on {_days(len(ids))}; p publishes slots from them.", undo))

    def _changed(self, fields: Mapping[str, Any], days: int) -> None:
        since = f"{date.fromisoformat(fields['valid_from']):%a %d %b %Y}"
        self.dismiss(Done(f"{fields['resource']} has other hours on {_days(days)} from {since}. {NEVER_TOUCHED}"))

    def _failed(self, problem: BookcliError) -> None:
        self.failed(problem)
        if isinstance(problem, OutcomeUnknown):
            self.say("◷ UNKNOWN — perhaps saved, perhaps not. Save again: the same hours twice are one.")
        elif problem.code == "hours-overlap":
            self.field("weekdays").complain(problem)
            self.field("weekdays").input.focus()
            self.say("")


class EndHours(Form[Done]):
    """Ends hours after a day, which is typed and then asked about."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+s", "go", "End them…", id="hours.end")]

    def __init__(self, today: date, line: Weekly) -> None:
        self._today, self._line = today, line
        fields = {"last_day": ("Last day", "today, fri, 31 dec")}
        more = f"Nothing is published from them after that day. {NEVER_TOUCHED}"
        super().__init__(f"End {brief(line)}", fields, {"last_day": "today"}, more)

    def check(self, name: str, words: str) -> date:
        return parse_day(words, self._today)

    def meaning(self) -> str:
        return f"{parse_day(self.typed('last_day'), self._today):%A %d %B %Y}"

    def go(self, values: Mapping[str, Any]) -> None:
        last: date = values["last_day"]
        question = f"End {brief(self._line)} on {last:%a %d %b %Y}?"
        more = "u does not take that back: the hours would have to be added again."
        self.desk.show(Confirm(question, more, yes="End them"), partial(self._agreed, last))

    def _agreed(self, last: date, agreed: bool | None) -> None:
        if not agreed:
            self.again()
            return
        done = Done(f"{brief(self._line)} end on {last:%a %d %b %Y}. {NEVER_TOUCHED}")
        args = (self._line.schedule_ids, last)
        self.call(schedules.end, *args, on_done=lambda _: self.dismiss(done), on_error=self._failed)

    def _failed(self, problem: BookcliError) -> None:
        self.failed(problem)
        if isinstance(problem, OutcomeUnknown):
            self.say("◷ UNKNOWN — perhaps ended, perhaps not. Do it again: ending them twice is ending them once.")


class Publishing(Form[Done]):
    """Publishes the slots of a site from today until a day: a dry run first, then the question."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+s", "go", "Dry run", id="publish.look")]

    def __init__(self, site: str, codes: Sequence[str], today: date) -> None:
        self._site, self._codes, self._today = site, list(codes), today
        fields = {
            "resource": ("Resource", "all, or one of them"),
            "until": ("Until day", "+4w, 31 dec, 2026-12-31"),
        }
        super().__init__("Publish slots from the weekly hours", fields, {"resource": "all"}, NEVER_TOUCHED)

    def check(self, name: str, words: str) -> Any:
        if name == "resource":
            return a_resource(words, self._codes, everything=True)
        day = parse_day(words, self._today)
        if day < self._today:
            raise InvalidInput("That day is over.", code="date-unclear")
        return day

    def meaning(self) -> str:
        until = parse_day(self.typed("until"), self._today)
        return f"{self._today:%a %d %b %Y} to {until:%a %d %b %Y}: {_days((until - self._today).days + 1)}"

    def go(self, values: Mapping[str, Any]) -> None:
        look, shown = partial(self._service, dry_run=True), partial(self._looked, values)
        self.call(look, self._today, values["until"], values["resource"], on_done=shown, on_error=self.failed)

    def _service(self, context: Any, first: date, last: date, resource: str, *, dry_run: bool) -> Published:
        done: Published = schedules.publish(context, first, last, site=self._site, resource=resource, dry_run=dry_run)
        return done

    def _looked(self, values: Mapping[str, Any], found: Published) -> None:
        if not found.published:
            self.again()
            self.say(f"○ Nothing is missing: {_slots(found.present)} are there already." if found.slots else NO_HOURS)
            return
        there = (
            f"{_slots(found.present)} are there already, or lie over others." if found.present else "None is there yet."
        )
        more = (
            f"Until {values['until']:%A %d %B %Y}. {there}\nNone is changed. What is published is not taken back by u."
        )
        question = Confirm(f"Publish {_slots(found.published)}?", more, yes="Publish", no="Cancel")
        self.desk.show(question, partial(self._agreed, values))

    def _agreed(self, values: Mapping[str, Any], agreed: bool | None) -> None:
        if not agreed:
            self.again()
            return
        args = (self._today, values["until"], values["resource"])
        publish, done = partial(self._service, dry_run=False), partial(self._published, values["until"])
        self.call(publish, *args, on_done=done, on_error=self._not_published)

    def _published(self, until: date, done: Published) -> None:
        there = f"; {done.present} were there" if done.present else ""
        self.dismiss(Done(f"Published {_slots(done.published)} until {until:%a %d %b %Y}{there}."))

    def _not_published(self, problem: BookcliError) -> None:
        self.failed(problem)
        if isinstance(problem, OutcomeUnknown | Unavailable):
            self.say(f"▲ {problem.message} Some days are perhaps published: do it again, twice is once.")
        else:
            self.say(f"▲ {said(problem)}")


NO_HOURS = "○ The weekly hours give no slots then. a adds hours."


def _values(line: Weekly, today: date) -> dict[str, str]:
    """What a form about these hours begins with."""
    hours = line.hours
    return {
        "weekdays": shown_weekdays(line.weekdays),
        "opens": shown_time(hours.opens),
        "closes": shown_time(hours.closes),
        "slot_minutes": str(hours.slot_minutes),
        "capacity": str(hours.capacity),
        "valid_from": max(hours.valid_from or today, today + timedelta(days=1)).isoformat(),
        "valid_until": hours.valid_until.isoformat() if hours.valid_until else "",
    }


def _days(number: int) -> str:
    return f"{number} day{'' if number == 1 else 's'}"


def _slots(number: int) -> str:
    return f"{number} slot{'' if number == 1 else 's'}"
