"""A patient in words, a fact on each line; drawing asks nobody anything.

What must stay true: what a record says is shown as characters, whatever it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from textual.content import Content

from ...core.model.patients import Patient
from ...core.model.text import visible

WORD = 10


def facts(patient: Patient) -> Content:
    """Every fact that is known, and below them what a desk should know before it books."""
    lines = [_line(word, words) for word, words in _facts(patient) if words]
    warned = [Content.styled(f"▲ {visible(one)}", "$text-warning") for one in patient.warnings]
    return Content("\n").join([*lines, *warned])


def brief(patient: Patient) -> Content:
    """What tells two people of one name apart, on one line, and how much is ahead of them."""
    born = f"born {patient.birth_date}" if patient.birth_date else "no birth date"
    ahead = f"{patient.appointments_ahead} ahead"
    known = "  ".join(visible(one) for one in (born, patient.phone, patient.email, ahead) if one)
    return Content.assemble((visible(patient.mrn), "bold"), f"  {visible(patient.name)}  {known}")


def _line(word: str, words: str) -> Content:
    return Content.assemble((f"{word:<{WORD}}", "$text-muted"), visible(words))


def _facts(patient: Patient) -> Iterator[tuple[str, str]]:
    yield "Name", patient.name
    yield "Number", patient.mrn
    yield "Born", patient.birth_date.isoformat() if patient.birth_date else ""
    yield "Sex", "" if patient.sex == "unknown" else patient.sex
    yield "Phone", patient.phone
    yield "E-mail", patient.email
    yield "Language", patient.language
    yield "Told by", patient.channel
    yield "Consent", patient.consent
    yield "Note", " ".join(patient.note.split())
