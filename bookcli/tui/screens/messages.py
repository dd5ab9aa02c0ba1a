"""What patients are told: what failed and what waits first, and a key to send it, to stop it and to read it.

What must stay true: it is read when it comes to the front or is asked for, and not by itself: every look is audited.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from ...core import clock
from ...core.errors import BookcliError, NotAllowed, Unavailable
from ...core.model.messages import STATES, Letter
from ..calls import Later
from ..kit import Confirm, Notice, Table, View, literal, said, text
from ..widgets.message_words import DROPPED, why
from .reading import Reading

if TYPE_CHECKING:
    from ...core.services import notifications
else:
    notifications = Later("notifications")

GLYPHS = {"waiting": "◷", "sending": "▶", "sent": "✔", "failed": "▲", "cancelled": "✕"}
FILTERS = ("", "failed", "waiting", *(state for state in STATES if state not in ("failed", "waiting")))
OVERTAKEN = frozenset({"not-booked", "booked", "offer-over"})
"""Reasons that sending would not change."""
NO_SENDER = (
    "What it says cannot be shown here: this desk does not know whom letters come from. Whoever set it up can tell it."
)
NOWHERE = "It is about no appointment: nothing was booked."
Fact = Mapping[str, Any]


class MessagesScreen(View):
    """Shows the messages of the site: those that failed, those that wait, then the newest of the others."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "retry", "Send now", id="messages.retry"),
        Binding("x", "stop", "Stop…", id="messages.stop"),
        Binding("v", "preview", "What it says", id="messages.preview"),
        Binding("f", "filter", "State", id="messages.filter"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Fact] | None = None
        self._state = ""
        self._read_at = 0.0
        self._failing = False

    def body(self) -> ComposeResult:
        yield Notice()
        yield Table(("State", "Message", "By", "Reference", "Due", "Why"), _cells, lambda row: str(row["id"]))
        yield Static(Content(""), id="why")

    def on_mount(self) -> None:
        self.query_one(Table).display = False
        self.notice("loading", "The messages are on their way.")

    def heading(self) -> Content:
        site = literal(self.desk.site.name) if self.desk.site is not None else ""
        if self._rows is None:
            return Content(site)
        counts = [f"{sum(row['state'] == state for row in self._rows)} {state}" for state in ("failed", "waiting")]
        said_so = f"only {_word(self._state)}" if self._state else "  ".join(counts)
        return Content.assemble((site, "bold"), f"  {said_so}")

    def as_of(self) -> float | None:
        return time.monotonic() - self._read_at if self._rows is not None and self._failing else None

    # Reading

    def placed(self) -> None:
        self._rows = None
        self.reload()

    def reload(self) -> None:
        """Asks for the messages when they can be seen; coming to the front asks too."""
        if self.is_active:
            site = self.desk.site.code if self.desk.site is not None else ""
            ask = partial(self.call, on_done=self._shown, on_error=self._failed, group="messages")
            ask(notifications.to_look_after, site, self._state)
            if self._rows is None:
                self.desk.ahead.until_first(self, "messages")

    def _shown(self, rows: list[Fact]) -> None:
        self._rows, self._read_at, self._failing = rows, time.monotonic(), False
        table, notice = self.query_one(Table), self.query_one(Notice)
        table.display = bool(rows)
        table.show(rows)
        self._say_why()
        if rows:
            notice.clear()
        else:
            more = f" that is {_word(self._state)}" if self._state else ""
            notice.say("empty", f"There is no message{more} here.", "f another state" if self._state else "")
        if rows and self.focused is None:
            table.focus()
        self.say_frame()

    def _failed(self, problem: BookcliError) -> None:
        self._failing = True
        self.desk.explain(problem)
        if isinstance(problem, NotAllowed):
            self._rows = None
        if self._rows is None:
            self.query_one(Table).display = False
            self.notice("error", text(said(problem)), hint="r tries again")

    def on_data_table_row_highlighted(self) -> None:
        self._say_why()

    def _say_why(self) -> None:
        """The whole reason of the message under the cursor: a column has no room for it."""
        row: Fact | None = self.query_one(Table).current
        reason = why(row) if row is not None else ""
        self.query_one("#why", Static).update(text(f"Why: {reason}" if reason else "", "$text-muted"))

    def action_filter(self) -> None:
        self._state = FILTERS[(FILTERS.index(self._state) + 1) % len(FILTERS)]
        self.reload()

    # What can be done with the message under the cursor

    def on_table_opened(self, event: Table.Opened) -> None:
        if event.row["reference"]:
            self.desk.open_appointment(event.row["reference"])
        else:
            self.desk.toast(NOWHERE)

    def action_preview(self) -> None:
        row: Fact | None = self.query_one(Table).current
        if row is not None and row["reference"]:
            what = (row["reference"], row["kind"], row["channel"] or "")
            self.call(
                notifications.preview,
                *what,
                on_done=partial(self._read, row),
                on_error=self._not_read,
                group="preview",
            )
        elif row is not None:
            self.desk.toast(NOWHERE)

    def _read(self, row: Fact, letter: Letter) -> None:
        if self.is_active:
            heading = f"{row['kind']} about {row['reference']}: what it would say now"
            self.app.push_screen(Reading(heading, "\n".join((*_head(row, letter), "", letter.text.rstrip()))))

    def _not_read(self, problem: BookcliError) -> None:
        """A setting that is missing is said in the words of a desk."""
        if problem.code == "config-invalid":
            self.desk.toast(NO_SENDER, "warning")
        else:
            self.desk.failed(problem)

    def action_retry(self) -> None:
        row: Fact | None = self.query_one(Table).current
        if row is None:
            return
        if row["state"] == "cancelled" and row["reason"] in OVERTAKEN:
            self.desk.toast(f"It cannot be sent: {why(row)}.", "warning")
            return
        send = partial(self._change, notifications.retry, row, "will be sent now")
        if row["state"] in ("failed", "waiting"):
            send(True)
            return
        more = "The patient would get it twice." if row["state"] == "sent" else why(row)
        question = Confirm(f"It is {_word(row['state'])}. Send it all the same?", more, yes="Send", no="Keep")
        self.app.push_screen(question, send)

    def action_stop(self) -> None:
        row: Fact | None = self.query_one(Table).current
        if row is not None:
            about = f" about {row['reference']}" if row["reference"] else ""
            question = Confirm(f"Stop the {row['kind']}{about}?", "It will not be sent.", yes="Stop", no="Keep")
            self.app.push_screen(question, partial(self._change, notifications.stop, row, "will not be sent"))

    def _change(self, service: Callable[..., Any], row: Fact, done: str, agreed: bool | None) -> None:
        if agreed:
            told = partial(self._changed, f"The {row['kind']} {row['reference']}".rstrip() + f" {done}.")
            self.call(service, row["id"], on_done=told, on_error=self._not_changed)

    def _changed(self, sentence: str, _: object) -> None:
        self.desk.did(sentence)
        self.reload()

    def _not_changed(self, problem: BookcliError) -> None:
        self.desk.failed(problem)
        if not isinstance(problem, Unavailable):
            self.reload()


def _word(state: str) -> str:
    return DROPPED if state == "cancelled" else state


def _cells(row: Fact) -> tuple[object, ...]:
    state, due = row["state"], clock.to_local(row["due_at"], row["zone"])
    shown = f"{GLYPHS.get(state, '○')} {_word(state)}"
    return shown, row["kind"], row["channel"] or "", row["reference"], f"{due:%d %b %H:%M}", why(row)


def _head(row: Fact, letter: Letter) -> tuple[str, ...]:
    """Whom it goes to, what is in its subject, and why it has not gone."""
    to = letter.recipient or ("the webhook" if letter.channel == "webhook" else "nobody: there is no address")
    lines = [f"By        {letter.channel}", f"To        {to}"]
    if letter.subject:
        lines.append(f"Subject   {letter.subject}")
    if letter.attachments:
        lines.append("Attached  " + ", ".join(one.name for one in letter.attachments))
    tried = f", tried {row['attempts']} times" if row["attempts"] > 1 else ""
    because = f" ({why(row)}{tried})" if why(row) else tried
    return (*lines, f"State     {_word(row['state'])}{because}")
