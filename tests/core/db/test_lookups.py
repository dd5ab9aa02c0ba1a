"""Looking up a reference: the appointment it names and no other."""

from __future__ import annotations

import pytest

from bookcli.core.errors import NotFound
from bookcli.core.model.references import reference_of
from bookcli.core.services import appointments
from tests.clinic import Clinic


@pytest.mark.both_servers
def test_a_reference_names_one_appointment(clinic: Clinic) -> None:
    booked = [
        appointments.book(clinic.context, clinic.request(patient, "blood", clinic.slot("blood"))).verdicts[0]
        for patient in (1, 2, 3)
    ]
    shown = [appointments.show(clinic.context, str(verdict.reference))["patient"] for verdict in booked]
    assert shown == ["P1", "P2", "P3"]
    with pytest.raises(NotFound):
        appointments.show(clinic.context, reference_of(10**6))
