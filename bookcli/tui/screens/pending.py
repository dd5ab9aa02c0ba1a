"""What this desk was asked while the database was away, and what became of it.

What must stay true: it works without the database, because the spool is a file of this desk; an end counts as told only
when this view was in front.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content

from ...core import clock
from ...core.context import Context
from ...core.errors import BookcliError, NotFound, Unavailable
from ...core.model.appointments import why
from ...core.model.requests import BookingRequest
from ..calls import Later, as_bug
from ..kit import Confirm, Notice, Table, View, said, text
from ..widgets.frame import length
from .reading import Reading

if TYPE_CHECKING:
    from ...core.services import desk, pending
    from ...core.services.pending import Item, Replayed
else:
    desk, pending = Later("desk"), Later("pending")

POLL_SECONDS = 2.0
WORDS = {
    "waiting": "◷ waiting, not booked",
    "unknown": "◐ unknown, perhaps booked",
    "booked": "✔ booked",
    "refused": "✕ refused",
    "expired": "✕ too late, it had begun",
    "damaged": "▲ damaged, cannot be read",
}
LOST = {
    "waiting": "It will never be sent: the patient gets no appointment by it.",
    "unknown": "Perhaps it is booked already: nobody would learn it.",
    "damaged": "What was asked cannot be read and will never be sent.",
}
"""What dropping it means, while it has not ended."""


class PendingScreen(View):
    """Shows everything in the spool of this desk, in the order it was asked; what has ended stays for a day."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "send", "Send now", id="pending.send"),
        Binding("x", "drop", "Drop…", id="pending.drop"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._items: list[Item] | None = None
        self._zones: Mapping[str, str] = {}
        self._drawn: list[tuple[str, ...]] = []

    def body(self) -> ComposeResult:
        yield Notice()
        yield Table(("Asked", "Patient", "What", "Outcome"), self._cells, _key)

    def on_mount(self) -> None:
        self.query_one(Table).display = False
        self.notice("loading", "What was kept is on its way.")
        self.set_interval(POLL_SECONDS, self._tick)

    def heading(self) -> Content:
        items = self._items or ()
        waiting = sum(item.outcome in ("waiting", "unknown") for item in items)
        return Content(f"Kept while the database was away  {waiting} waiting  {len(items) - waiting} ended")

    def _cells(self, item: Item) -> tuple[str, ...]:
        patients = dict.fromkeys(request.patient for request in _requests(item))
        asked = "; ".join(self._asked(request) for request in _requests(item))
        return _age(item), ", ".join(patients), asked, _outcome(item)

    def _asked(self, request: BookingRequest) -> str:
        place = request.place
        if place.slot is not None:
            return f"{request.test}, slot {place.slot}"
        day = f"{place.day:%d %b}" if place.day else ""
        if place.start is not None:
            day = f"{clock.to_local(place.start, self._zones.get(place.site or '', 'UTC')):%d %b %H:%M}"
        return f"{request.test}, {place.site} {day}".rstrip()

    # Reading

    def reload(self) -> None:
        """Reads the spool; what is shown stays until that is done."""
        self.call(_read, on_done=self._shown, on_error=self._failed, group="pending", quiet=True)
        if self._items is None and self.is_active:
            self.desk.ahead.until_first(self, "pending")

    def _tick(self) -> None:
        if self.is_active and not self.desk.calls.is_asking(self, "pending"):
            self.reload()

    def _shown(self, found: tuple[list[Item], Mapping[str, str]]) -> None:
        self._items, self._zones = found
        table, notice = self.query_one(Table), self.query_one(Notice)
        drawn = [(_key(item), *self._cells(item)) for item in self._items]
        if drawn != self._drawn:
            self._drawn = drawn
            table.show(self._items)
        table.display = bool(drawn)
        if drawn:
            notice.clear()
        else:
            notice.say("empty", "Nothing waits, and nothing has ended since yesterday.")
        if drawn and self.focused is None:
            table.focus()
        self.say_frame()
        untold = [item for item in self._items if item.name.state == "ended"]
        if untold and self.is_active:
            self.call(pending.mark_told, untold, quiet=True, on_error=lambda _: None)

    def _failed(self, problem: BookcliError) -> None:
        """Only the disk can be in the way: said in place of what it does not give."""
        self._items, self._drawn = None, []
        self.query_one(Table).display = False
        self.notice("error", text(said(problem)), hint="r tries again")

    # Keys

    def on_table_opened(self, event: Table.Opened) -> None:
        item: Item = event.row
        self.app.push_screen(Reading(f"Request {str(item.name.key)[:8]}", "\n".join(self._details(item))))

    def _details(self, item: Item) -> Iterator[str]:
        yield f"Outcome   {_outcome(item)}"
        if item.ended is not None and item.ended.reason:
            yield f"Why       {why(item.ended.reason)}"
        if item.kept is not None:
            by = f", by {item.kept.asked_by}" if item.kept.asked_by else ""
            yield f"Asked     {_age(item)}{by}"
        for request in _requests(item):
            yield f"Patient   {request.patient}"
            yield f"What      {self._asked(request)}"
            if request.note:
                yield f"Note      {' '.join(request.note.split())}"
        yield f"Key       {item.name.key}"

    def action_send(self) -> None:
        if not self.desk.calls.is_asking(self, "send"):
            self.call(_send, on_done=self._sent, group="send")

    def _sent(self, answer: tuple[Replayed, str]) -> None:
        done, ended = answer
        if done.ended:
            self.desk.did(f"{ended}.")
        if done.problem is None:
            elsewhere = "They were asked of another database, or cannot be read." if done.waiting else ""
            self.desk.toast(_waiting(done.waiting, elsewhere))
        elif isinstance(done.problem, Unavailable):
            # Said even when it is known that the database is away: a key was pressed, and nothing was sent.
            self.desk.toast(_waiting(done.waiting, said(done.problem)), "error")
        else:
            problem = done.problem
            self.desk.explain(problem if isinstance(problem, BookcliError) else as_bug(problem))
        self.reload()

    def action_drop(self) -> None:
        item: Item | None = self.query_one(Table).current
        if item is not None:
            what = "; ".join(f"{request.test} for {request.patient}" for request in _requests(item))
            more = LOST.get(item.outcome, "No appointment is changed: only this line goes.")
            question = Confirm(f"Drop the request {what or str(item.name.key)[:8]}?", more, yes="Drop", no="Keep")
            self.app.push_screen(question, partial(self._drop, item))

    def _drop(self, item: Item, agreed: bool | None) -> None:
        if agreed:
            self.call(_drop, item, on_done=self._dropped, on_error=self._not_dropped)

    def _dropped(self, _: object) -> None:
        self.desk.did("The request is forgotten.")
        self.reload()

    def _not_dropped(self, problem: BookcliError) -> None:
        self.desk.failed(problem)
        self.reload()


def _read(context: Context) -> tuple[list[Item], Mapping[str, str]]:
    return pending.items(context), pending.zones(context)


def _send(context: Context) -> tuple[Replayed, str]:
    """What a replay did, and the sentence about what has ended by it."""
    done = pending.replay(context)
    return done, desk.ends(context, done.ended) if done.ended else ""


def _drop(context: Context, item: Item) -> None:
    """Drops what was asked for as it is now. Raises NotFound when it has ended since it was shown, or has gone."""
    now = next((one for one in pending.items(context) if _key(one) == _key(item)), None)
    if now is None or now.outcome != item.outcome:
        raise NotFound("The request is not what it was: look again before you drop it.", code="request-changed")
    pending.drop(context, now)


def _key(item: Item) -> str:
    """Stays the same when it ends and when that is told."""
    return f"{item.name.place}-{item.name.key}"


def _requests(item: Item) -> tuple[BookingRequest, ...]:
    return item.kept.asked.requests if item.kept is not None else ()


def _age(item: Item) -> str:
    """In minutes, so that the table is drawn anew once a minute at most."""
    if item.kept is None:
        return ""
    seconds = (clock.now() - item.kept.asked_at).total_seconds()
    if seconds < 60:
        return "just now"
    return f"{length(seconds)} ago" if seconds >= 120 else "1 min ago"


def _outcome(item: Item) -> str:
    words = WORDS[item.outcome]
    if item.ended is None:
        return words
    if item.outcome == "refused":
        return f"{words}: {why(item.ended.reason or '')}"
    return " ".join((words, *item.ended.references))


def _waiting(number: int, more: str) -> str:
    if not number:
        return "Nothing waits."
    return f"{number} still wait{'s' if number == 1 else ''}. {more}".rstrip()
