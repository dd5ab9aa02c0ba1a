"""What became of a booking, in the one word that counts, and what to say to the patient.

What must stay true: BOOKED is only said of what is; PENDING says that it is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Static

from ...core import clock
from ...core.model.appointments import Outcome, Verdict
from ..kit import Dialog, paragraph, text, together
from ..widgets.frame import KeyLine

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
    """Ends with `open` when somebody wants to see the appointment."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "open", "Open it", id="answer.open"),
        Binding("y", "copy", "Copy reference", id="answer.copy"),
        Binding("u", "undo", "Undo", id="answer.undo"),
    ]

    def __init__(self, outcome: Outcome, who: str) -> None:
        super().__init__()
        self._outcome, self._who = outcome, who

    def body(self) -> ComposeResult:
        booked = self._outcome.outcome == "booked"
        lines = list(self._booked() if booked else self._kept())
        yield Static(lines[0], classes="heading")
        yield Static(Content("\n").join(lines[1:]), classes="more")
        with Horizontal(classes="buttons"):
            yield Button(text("Done"), id="done", compact=True)
        yield KeyLine()

    def on_mount(self) -> None:
        self.query_one("#done", Button).focus()

    @property
    def _first(self) -> Verdict | None:
        return next((one for one in self._outcome.verdicts if one.reference), None)

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
        return action not in ("open", "copy", "undo") or self._first is not None

    def on_button_pressed(self) -> None:
        self.dismiss(None)

    def action_open(self) -> None:
        self.dismiss("open")

    def action_undo(self) -> None:
        self.desk.action_undo()
        self.dismiss(None)

    def action_copy(self) -> None:
        if self._first is not None:
            self.app.copy_to_clipboard(self._first.reference or "")
            self.desk.toast(f"Copied {self._first.reference}.")
