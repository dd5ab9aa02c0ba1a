"""Changes what is written down about a patient; only the fields that were changed are sent.

What must stay true: what another desk has changed meanwhile stays, in other fields and in the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from ...core.model.patients import Patient
from ...core.services import patients
from ..kit import literal
from ..undoing import Undo
from .patient_form import PatientForm


class EditPatient(PatientForm):
    """Opened with the record as it is; ends with it as it became, after it was said and how it is taken back."""

    FIELDS: ClassVar = {
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

    def __init__(self, patient: Patient) -> None:
        super().__init__({name: _shown(getattr(patient, name)) for name in self.FIELDS})
        self._patient = patient
        self._sent: dict[str, str] = {}
        self.HEADING = f"Edit {literal(patient.mrn)}"  # type: ignore[misc]

    def check(self, name: str, words: str) -> str:
        return words if words == self._before[name] else super().check(name, words)

    def go(self, values: Mapping[str, Any]) -> None:
        self._sent = {name: words for name, words in values.items() if words != self._before[name]}
        if self._sent:
            self.send(patients.edit, self._patient.mrn, self._sent, self._patient)
        else:
            self.dismiss(None)

    def saved(self, patient: Patient) -> None:
        number = literal(patient.mrn)
        args = (self._patient, self._sent)
        self.desk.did(
            f"Patient {number} is changed.", Undo(f"Patient {number} is as before.", patients.take_back, args)
        )
        self.dismiss(patient)


def _shown(value: object) -> str:
    """A field on one line: what a terminal would obey is shown instead, and not sent unless it is changed."""
    return literal(" ".join(str("" if value is None else value).split()))
