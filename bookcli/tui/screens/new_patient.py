"""Writes down a new patient without leaving what one is doing; says who may be there already.

What must stay true: what is wrong is said at its field, and nothing that was typed is lost by an answer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Static

from ...core.errors import BookcliError, InvalidInput
from ...core.model.patients import Patient
from ...core.services import patients
from ..kit import Dialog, Field, said, text
from ..widgets.frame import KeyLine
from ..widgets.patient_finder import row

FIELDS = {
    "name": ("Name", ""),
    "birth_date": ("Birth date", "1980-03-21"),
    "phone": ("Phone", "+49 30 901820"),
    "email": ("E-mail", "gets the confirmation"),
    "language": ("Language", "en, de"),
    "mrn": ("Number", "empty: the next one is given"),
}
DEBOUNCE = 0.3


class NewPatient(Dialog[Patient]):
    """Ends with the record that was made, or with one that was there already."""

    HEADING = "New patient"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", id="patient.save"),
        Binding("ctrl+t", "take", "Take that one", id="patient.take"),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(self, words: str = "") -> None:
        super().__init__()
        # A number or a birth date that nobody has is no name.
        self._words = "" if any(char.isdigit() for char in words) else words
        self._saving = False
        self._twins: list[Patient] = []

    def body(self) -> ComposeResult:
        for name, (label, example) in FIELDS.items():
            value = self._words if name == "name" else ""
            check = self._check(name)
            yield Field(label, check, value=value, id=name, placeholder=example, select_on_focus=False)
        yield Static(Content(""), id="twins")
        yield Static(Content(""), id="wrong")
        yield KeyLine()

    def _check(self, name: str) -> Callable[[str], str]:
        def check(words: str) -> str:
            patients.validated(self.desk.context.settings, {name: words}, new=name == "mrn")
            return words

        return check

    def on_mount(self) -> None:
        self._field("name").input.focus()
        self._timer = self.set_timer(DEBOUNCE, self._look)

    def _field(self, name: str) -> Field:
        return self.query_one(f"#{name}", Field)

    @property
    def _typed(self) -> dict[str, str]:
        return {name: self._field(name).input.value for name in FIELDS}

    @property
    def unsaved(self) -> bool:
        return any(words for name, words in self._typed.items() if (name, words) != ("name", self._words))

    def action_leave(self) -> None:
        """Leaves, but not while nobody knows yet whether it is saved."""
        if not self._saving:
            super().action_leave()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._timer.stop()
        self._timer = self.set_timer(DEBOUNCE, self._look)

    def _look(self) -> None:
        if self._typed["name"].strip():
            self.call(
                patients.likely_duplicates, self._typed, on_done=self._alike, on_error=lambda _: None, group="alike",
                quiet=True,
            )  # fmt: skip

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
        if not self._saving:
            self.dismiss(self._twins[0])

    def on_input_submitted(self, event: Input.Submitted) -> None:
        last = list(FIELDS)[-1]
        if event.input is self._field(last).input:
            self.action_save()
        else:
            self.focus_next()

    def action_save(self) -> None:
        wrong = [name for name in FIELDS if not self._holds(name)]
        if wrong:
            self._field(wrong[0]).input.focus()
        elif not self._saving:
            self._saving = True
            self.call(patients.add, self._typed, on_done=self.dismiss, on_error=self._refused)

    def _holds(self, name: str) -> bool:
        field = self._field(name)
        try:
            field.value()
        except InvalidInput:
            return False
        return True

    def _refused(self, problem: BookcliError) -> None:
        self._saving = False
        field = problem.details.get("field") or ("mrn" if problem.code == "mrn-taken" else "")
        if field in FIELDS:
            self._field(str(field)).complain(problem)
            self._field(str(field)).input.focus()
        else:
            self.query_one("#wrong", Static).update(text(f"▲ {said(problem)}", "$text-error"))
