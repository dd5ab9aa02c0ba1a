"""Writes down a new patient from any dialog that asks who it is for; says who may be there already.

What must stay true: nobody is taken for somebody else but by a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from ...core.errors import BookcliError, OutcomeUnknown
from ...core.model.patients import Patient
from ...core.services import patients
from ..widgets.patient_finder import row
from .patient_form import PatientForm

DEBOUNCE = 0.3


class NewPatient(PatientForm):
    """Ends with the record that was made, or with one that was there already."""

    HEADING = "New patient"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+t", "take", "Take that one", id="patient.take")]
    FIELDS: ClassVar = {
        "name": ("Name", ""),
        "birth_date": ("Birth date", "1980-03-21"),
        "phone": ("Phone", "+49 30 901820"),
        "email": ("E-mail", "gets the confirmation"),
        "language": ("Language", "en, de"),
        "mrn": ("Number", "empty: the next one is given"),
    }

    def __init__(self, words: str = "") -> None:
        # A number or a birth date that nobody has is no name.
        super().__init__({} if any(char.isdigit() for char in words) else {"name": words})
        self._twins: list[Patient] = []
        self._sent: Mapping[str, str] = {}
        self._lost: Mapping[str, str] | None = None

    def below(self) -> ComposeResult:
        yield Static(id="twins")

    def check(self, name: str, words: str) -> str:
        patients.validated(self.desk.context.settings, {name: words}, new=name == "mrn")
        return words

    def on_mount(self) -> None:
        self._timer = self.set_timer(DEBOUNCE, self._look)

    def on_input_changed(self) -> None:
        self._timer.stop()
        self._timer = self.set_timer(DEBOUNCE, self._look)

    def _look(self) -> None:
        if self.typed("name"):
            how = {"on_error": lambda _: None, "group": "alike", "quiet": True}
            self.call(patients.likely_duplicates, self.texts(), on_done=self._alike, **how)

    def _alike(self, found: list[Patient]) -> None:
        self._twins = found
        words = Content.styled("May be there already; ^t takes the first:", "$text-warning")
        self.query_one("#twins", Static).update(
            Content("\n").join([words, *map(row, found[:3])]) if found else Content("")
        )
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Nobody can be taken when nobody is there."""
        return action != "take" or bool(self._twins)

    def action_take(self) -> None:
        if not self._busy:
            self.dismiss(self._twins[0])

    def go(self, values: Mapping[str, Any]) -> None:
        """Sends it; what may have been saved already, because its answer was lost, is looked for first."""
        if self._lost is None:
            self._sent = values
            self.send(patients.add, values)
        else:
            self.say("… looks whether it was saved")
            self.call(patients.as_written, self._lost, on_done=self._looked, on_error=super().failed)

    def _looked(self, found: list[Patient]) -> None:
        self._lost = None
        self.again()
        if not found:
            self.desk.toast("It had not been saved: it is sent again.")
            self.action_go()
            return
        self._alike(found)
        self.say(f"▲ {found[0].mrn} says the same: it was saved. ^t takes it; ^s saves another one all the same.")

    def failed(self, problem: BookcliError) -> None:
        super().failed(problem)
        if isinstance(problem, OutcomeUnknown):
            self._lost = self._sent
            self.say("◷ UNKNOWN — perhaps saved, perhaps not: the answer was lost. ^s looks before it saves.")
