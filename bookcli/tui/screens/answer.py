"""What became of a booking, in the one word that counts, and what to say to the patient.

What must stay true: BOOKED is only said of what is; PENDING says that it is not.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Static

from ...core import clock
from ...core.context import Context
from ...core.model.appointments import Outcome, why
from ...core.model.pending import Ended
from ...core.services import pending
from ..kit import Dialog, paragraph, text, together
from ..widgets.frame import KeyLine

LOOK_SECONDS = 1.0
QUIET: dict[str, Any] = {"group": "kept", "quiet": True}
PENDING = (
    "PENDING — not booked.",
    "The database does not answer. The request is kept at this desk and sent as soon as it does.",
    "It is not booked yet. You will be called when it is, or when it cannot be.",
)
UNKNOWN = (
    "UNKNOWN — perhaps booked, perhaps not.",
    "The answer was lost. The request is kept at this desk and asked again; do not book it a second time.",
    "It is not certain yet. You will be called when it is known.",
)


class Answer(Dialog[str]):
    """Ends with a reference when somebody wants to see that appointment."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "open", "Open it", id="answer.open"),
        Binding("y", "copy", "Copy reference", id="answer.copy"),
        Binding("u", "undo", "Undo", id="answer.undo"),
    ]

    def __init__(self, outcome: Outcome, who: str) -> None:
        super().__init__()
        self._outcome, self._who = outcome, who
        self._ended: Ended | None = None

    def body(self) -> ComposeResult:
        booked = self._outcome.outcome == "booked"
        lines = list(self._booked() if booked else self._kept())
        yield Static(lines[0], classes="heading", id="word")
        yield Static(Content("\n").join(lines[1:]), classes="more", id="told")
        with Horizontal(classes="buttons"):
            yield Button(text("Done"), id="done", compact=True)
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one("#done", Button).focus()
        if self._outcome.outcome in ("pending", "unknown"):
            self.set_interval(LOOK_SECONDS, self._look)

    def _look(self) -> None:
        """Looks what became of a request that was kept."""
        if self._ended is None and not self.desk.calls.is_asking(self, "kept"):
            self.call(_end_of, self._outcome.request_key, on_done=self._became, on_error=lambda _: None, **QUIET)

    def _became(self, ended: Ended | None) -> None:
        self._ended = ended
        if ended is not None:
            lines = list(self._lines_of(ended))
            self.query_one("#word", Static).update(lines[0])
            self.query_one("#told", Static).update(Content("\n").join(lines[1:]))
            self.refresh_bindings()

    def _lines_of(self, ended: Ended) -> Iterator[Content]:
        if ended.outcome == "booked":
            yield Content.assemble(("✔ BOOKED  ", "bold $text-success"), (", ".join(ended.references), "bold"))
        else:
            yield Content.styled(f"✕ {ended.outcome.upper()} — not booked.", "bold $text-error")
        yield text(self._who)
        yield Content("It was kept while the database did not answer, and sent when it did.")
        if ended.outcome == "refused":
            yield text(why(ended.reason or ""))

    @property
    def reference(self) -> str:
        """Of what was booked, now or when the database was back; empty when nothing is."""
        if self._ended is not None:
            return next(iter(self._ended.references), "")
        return next((one.reference for one in self._outcome.verdicts if one.reference), "") or ""

    def _booked(self) -> Iterator[Content]:
        names = ", ".join(one.reference or "" for one in self._outcome.verdicts)
        yield Content.assemble(("✔ BOOKED  ", "bold $text-success"), (names, "bold"))
        yield text(self._who)
        for one in self._outcome.verdicts:
            assert one.starts_at is not None
            start = clock.to_local(one.starts_at, one.zone or "UTC")
            yield together(
                text(f"{start:%a %d %b %Y %H:%M}  ", "bold"),
                text(f"{one.test_name}, {one.resource}, {one.site_name}  {one.reference}"),
            )
        aloud = dict.fromkeys(one.preparation for one in self._outcome.verdicts if one.preparation)
        if aloud:
            yield Content("")
            yield Content.styled("Read aloud", "$text-muted")
            yield from (paragraph(one) for one in aloud)

    def _kept(self) -> Iterator[Content]:
        word, what, tell = PENDING if self._outcome.outcome == "pending" else UNKNOWN
        yield Content.styled(f"◷ {word}", "bold $text-warning")
        yield text(self._who)
        yield Content(what)
        yield Content("")
        yield Content.styled("Tell the patient", "$text-muted")
        yield Content(tell)
        yield Content("")
        yield Content.styled(f"Request {str(self._outcome.request_key)[:8]}", "$text-muted")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """There is nothing to open or to copy of what is not booked."""
        return action not in ("open", "copy", "undo") or bool(self.reference)

    def on_button_pressed(self) -> None:
        self.dismiss(None)

    def action_open(self) -> None:
        self.dismiss(self.reference)

    def action_undo(self) -> None:
        self.desk.action_undo()
        self.dismiss(None)

    def action_copy(self) -> None:
        if self.reference:
            self.app.copy_to_clipboard(self.reference)
            self.desk.toast(f"Copied {self.reference}.")


def _end_of(context: Context, key: uuid.UUID) -> Ended | None:
    """What became of a kept request, by its key; None while it waits."""
    return next((item.ended for item in pending.items(context) if item.name.key == key), None)
