"""The form for what is written down about a patient: fields, what is wrong with each, and saving once.

What must stay true: nothing that was typed is lost by an answer; what is wrong is said at its field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import Input, Static

from ...core.errors import BookcliError, InvalidInput
from ...core.model.patients import Patient
from ...core.services import patients
from ..kit import Dialog, Field, said, text
from ..widgets.frame import KeyLine


class PatientForm(Dialog[Patient]):
    """Opened with what stands in the fields. Override `save`, which sends what was typed, and what else differs."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+s", "save", "Save", id="patient.save"),
        Binding("down", "app.focus_next", "Next field", id="patient.next", show=False),
        Binding("up", "app.focus_previous", "Field before", id="patient.before", show=False),
    ]
    FIELDS: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Label and example of each field, in the order in which they are asked."""

    def __init__(self, before: Mapping[str, str]) -> None:
        super().__init__()
        self._before = before
        self._saving = False

    def body(self) -> ComposeResult:
        for name, (label, example) in self.FIELDS.items():
            options: dict[str, Any] = {"placeholder": example, "select_on_focus": False}
            yield Field(label, self._check(name), value=self._before.get(name, ""), id=name, **options)
        yield from self.below()
        yield Static(id="wrong")
        yield KeyLine()

    def below(self) -> ComposeResult:
        """What stands between the fields and what is wrong with all of them."""
        yield from ()

    def save(self) -> None:
        """Sends what was typed, by `send`."""
        raise NotImplementedError

    def send(self, service: Callable[..., Patient], *args: Any) -> None:
        """Saves beside the screen; the dialog ends with the record as it is then."""
        self._saving = True
        self.say("")
        self.call(service, *args, on_done=self.saved, on_error=self.refused)

    def saved(self, patient: Patient) -> None:
        """It is written down."""
        self.dismiss(patient)

    def check(self, name: str, words: str) -> None:
        """Raises InvalidInput for what may not stand in a field."""
        patients.validated(self.desk.context.settings, {name: words})

    def _check(self, name: str) -> Callable[[str], str]:
        def checked(words: str) -> str:
            self.check(name, words)
            return words

        return checked

    def on_mount(self) -> None:
        self.field(next(iter(self.FIELDS))).input.focus()

    def field(self, name: str) -> Field:
        """One of the fields."""
        return self.query_one(f"#{name}", Field)

    @property
    def typed(self) -> dict[str, str]:
        """What stands in the fields."""
        return {name: self.field(name).input.value for name in self.FIELDS}

    @property
    def changed(self) -> dict[str, str]:
        """Of that what stands there only since the form was opened."""
        return {name: words for name, words in self.typed.items() if words != self._before.get(name, "")}

    @property
    def unsaved(self) -> bool:
        return bool(self.changed)

    def action_leave(self) -> None:
        """Leaves, but not while nobody knows yet whether it is saved."""
        if self._saving:
            self.say("… Wait: it is being saved.")
        else:
            super().action_leave()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input is self.field(list(self.FIELDS)[-1]).input:
            self.action_save()
        else:
            self.focus_next()

    def action_save(self) -> None:
        wrong = [name for name in self.FIELDS if not self._holds(name)]
        if wrong:
            self.field(wrong[0]).input.focus()
        elif not self._saving:
            self.save()

    def _holds(self, name: str) -> bool:
        try:
            self.field(name).value()
        except InvalidInput:
            return False
        return True

    def refused(self, problem: BookcliError) -> None:
        """It is not written down, or nobody knows."""
        self._saving = False
        name = str(problem.details.get("field") or ("mrn" if problem.code == "mrn-taken" else ""))
        if name in self.FIELDS:
            self.field(name).complain(problem)
            self.field(name).input.focus()
        else:
            self.say(f"▲ {said(problem)}")

    def say(self, words: str) -> None:
        """What is wrong with all of it."""
        self.query_one("#wrong", Static).update(text(words, "$text-error"))
