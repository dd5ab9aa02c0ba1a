"""The library looks at every text itself, whoever calls it: hostile text gets a short error and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bookcli.core.errors import BookcliError, InvalidInput, NotFound
from bookcli.core.model.requests import BookingRequest, Place
from bookcli.core.services import appointments, catalog, patients, slots, visits
from bookcli.core.services.slots import Search
from tests.clinic import Clinic

HOSTILE = {
    "nul": "a\x00b",
    "surrogate": "a\udcffb",
    "escape": "\x1b[31m",
    "right-to-left": "\u202eb",
    "long": "x" * 1_000_000,
}
PATIENT = ("mrn", "name", "birth_date", "sex", "phone", "email", "language", "channel", "consent", "note")
CALLS: dict[str, Callable[[Clinic, str], Any]] = {
    **{
        f"a new patient's {field}": lambda clinic, text, field=field: patients.add(
            clinic.context, {"name": "Ana", field: text}
        )
        for field in PATIENT
    },
    **{
        f"a patient's {field}": lambda clinic, text, field=field: patients.edit(clinic.context, "P1", {field: text})
        for field in PATIENT
    },
    "a field's name": lambda clinic, text: patients.edit(clinic.context, "P1", {text: "x"}),
    "whom to edit": lambda clinic, text: patients.edit(clinic.context, text, {"name": "Ana"}),
    "whom to merge": lambda clinic, text: patients.merge(clinic.context, "P1", text),
    "whom to show": lambda clinic, text: patients.get(clinic.context, text),
    "who visits": lambda clinic, text: visits.offers(clinic.context, text, ["mri"], site="north", on="tomorrow"),
    "whom to book for": lambda clinic, text: _book(clinic, patient=text),
    "what to book": lambda clinic, text: _book(clinic, test=text),
    "a note": lambda clinic, text: _book(clinic, note=text),
    "what to show": lambda clinic, text: appointments.show(clinic.context, text),
    "what to cancel": lambda clinic, text: appointments.cancel(clinic.context, text),
    "why to cancel": lambda clinic, text: appointments.cancel(clinic.context, "7F3K-Q2MG", text),
    "a test to find": lambda clinic, text: slots.find(clinic.context, Search(text, (clinic.day(), clinic.day()))),
    "a site to find": lambda clinic, text: slots.find(
        clinic.context, Search("mri", (clinic.day(), clinic.day()), sites=[text])
    ),
    "a site's name": lambda clinic, text: catalog.save_site(clinic.context, {"name": text, "zone": "Europe/Berlin"}),
    "a site's phone": lambda clinic, text: catalog.save_site(clinic.context, {"code": "north", "phone": text}),
    "a site's zone": lambda clinic, text: catalog.save_site(clinic.context, {"code": "north", "zone": text}),
    "a test's preparation": lambda clinic, text: catalog.save_test(
        clinic.context, {"code": "mri", "preparation": text}
    ),
}


def _book(clinic: Clinic, *, patient: str = "P1", test: str = "mri", note: str = "") -> Any:
    request = BookingRequest(patient, test, Place(slot=clinic.slot("mri")), note=note)
    return appointments.book(clinic.context, request)


@pytest.mark.parametrize("call", CALLS)
def test_text_that_cannot_be_stored_is_refused_by_the_library_itself(clinic: Clinic, call: str) -> None:
    before = clinic.row("SELECT count(*) FROM audit")
    for name, text in HOSTILE.items():
        with pytest.raises(BookcliError) as refusal:
            CALLS[call](clinic, text)
        assert isinstance(refusal.value, InvalidInput | NotFound), name
        assert len(refusal.value.message) + len(refusal.value.hint) < 500, name
        assert len(str(refusal.value.details)) < 500, name
    assert clinic.row("SELECT count(*) FROM audit") == before
    assert clinic.sound()
