"""The form for what is written down about a patient.

What must stay true: what stands in a field is sent as it was typed, and only the core decides what it means.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from ...core.errors import BookcliError
from ...core.model.patients import Patient
from ...core.services import patients
from .form import Form


class PatientForm(Form[Patient]):
    """Opened with what stands in the fields. Override `go`, which sends what was typed, and what else differs."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+s", "go", "Save", id="patient.save")]
    FIELDS: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Label and example of each field, in the order in which they are asked."""

    def __init__(self, before: Mapping[str, str]) -> None:
        super().__init__("", self.FIELDS, before)

    def first(self) -> str:
        return next(iter(self.FIELDS))

    def check(self, name: str, words: str) -> str:
        patients.validated(self.desk.context.settings, {name: words})
        return words

    def send(self, service: Callable[..., Patient], *args: Any) -> None:
        """Saves beside the screen; the dialog ends with the record as it is then."""
        self.call(service, *args, on_done=self.saved, on_error=self.failed)

    def saved(self, patient: Patient) -> None:
        """It is written down."""
        self.dismiss(patient)

    def failed(self, problem: BookcliError) -> None:
        if problem.code == "mrn-taken":
            problem.details.setdefault("field", "mrn")
        super().failed(problem)
