"""Changes what is written down about a patient; only the fields that were changed are sent.

What must stay true: what another desk has changed meanwhile in other fields stays; what is wrong is said at its field.
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
from ..kit import Dialog, Field, literal, said, text
from ..widgets.frame import KeyLine

FIELDS = {
    "name": ("Name", ""),
    "birth_date": ("Birth date", "1980-03-21"),
    "sex": ("Sex", "female, male, other, unknown"),
    "phone": ("Phone", "+49 30 901820"),
    "email": ("E-mail", ""),
    "language": ("Language", "en, de"),
    "channel": ("Told by", "email, sms, none"),
    "consent": ("Consent", "given, declined"),
    "note": ("Note", ""),
}


class EditPatient(Dialog[Patient]):
    """Opened with the record as it is; ends with it as it became."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", id="edit.save"),
        Binding("down", "app.focus_next", show=False),
        Binding("up", "app.focus_previous", show=False),
    ]

    def __init__(self, patient: Patient) -> None:
        super().__init__()
        self._number = patient.mrn
        self._before = {name: _shown(getattr(patient, name)) for name in FIELDS}
        self._saving = False

    def body(self) -> ComposeResult:
        yield Static(text(f"Edit {self._number}"), classes="heading")
        for name, (label, example) in FIELDS.items():
            check = self._check(name)
            value = self._before[name]
            yield Field(label, check, value=value, id=name, placeholder=example, select_on_focus=False)
        yield Static(Content(""), id="wrong")
        yield KeyLine()

    def _check(self, name: str) -> Callable[[str], str]:
        def check(words: str) -> str:
            if words != self._before[name]:
                patients.validated(self.desk.context.settings, {name: words})
            return words

        return check

    def on_mount(self) -> None:
        self._field("name").input.focus()

    def _field(self, name: str) -> Field:
        return self.query_one(f"#{name}", Field)

    @property
    def _changed(self) -> dict[str, str]:
        typed = {name: self._field(name).input.value for name in FIELDS}
        return {name: words for name, words in typed.items() if words != self._before[name]}

    @property
    def unsaved(self) -> bool:
        return bool(self._changed)

    def action_leave(self) -> None:
        """Leaves, but not while nobody knows yet whether it is saved."""
        if not self._saving:
            super().action_leave()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input is self._field("note").input:
            self.action_save()
        else:
            self.focus_next()

    def action_save(self) -> None:
        wrong = [name for name in FIELDS if not self._holds(name)]
        if wrong:
            self._field(wrong[0]).input.focus()
        elif not self._changed:
            self.dismiss(None)
        elif not self._saving:
            self._saving = True
            self._say("")
            self.call(patients.edit, self._number, self._changed, on_done=self.dismiss, on_error=self._refused)

    def _holds(self, name: str) -> bool:
        try:
            self._field(name).value()
        except InvalidInput:
            return False
        return True

    def _refused(self, problem: BookcliError) -> None:
        self._saving = False
        field = str(problem.details.get("field", ""))
        if field in FIELDS:
            self._field(field).complain(problem)
            self._field(field).input.focus()
        else:
            self._say(f"▲ {said(problem)}")

    def _say(self, words: str) -> None:
        self.query_one("#wrong", Static).update(text(words, "$text-error"))


def _shown(value: object) -> str:
    """A field on one line: what a terminal would obey is shown instead, and not sent unless it is changed."""
    return literal(" ".join(str("" if value is None else value).split()))
