"""Patients: add, edit, find, merge, and what they have booked; no error here says anything about a person."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from datetime import date, timedelta
from typing import Any

from .. import clock
from ..config import Settings
from ..context import Context
from ..db import appointments as appointment_queries
from ..db import kernel
from ..db import patients as queries
from ..errors import InvalidInput, NotFound, OutcomeUnknown, Refused
from ..formats import check_digits, contacts
from ..model import patients as rules
from ..model.appointments import sentence
from ..model.patients import FIELDS, Patient
from ..model.text import clean_name, clean_note, fold
from .attempts import after_saving, once


def validated(settings: Settings, fields: Mapping[str, str], *, new: bool = False) -> dict[str, Any]:
    """The given fields, cleaned and JSON-ready: any of `FIELDS`.

    An empty mrn is left out: a number will be given. Other empty fields empty what is there. `new`: nobody has the
    number yet, so it must have the clinic's own format. Raises InvalidInput with `details={"field": …}`.
    """
    for field in fields:
        if field not in FIELDS:
            raise InvalidInput(
                f"A patient has no field {field[:40]}.", hint="One of " + ", ".join(FIELDS), code="field-unknown"
            )
    clean: dict[str, Any] = {field: _CHECKS[field](text) for field, text in fields.items() if field in _CHECKS}
    if fields.get("mrn", "").strip():
        clean["mrn"] = new_number(settings, fields["mrn"]) if new else rules.checked_mrn(fields["mrn"])
    elif new and settings.mrn_must_be_typed:
        raise InvalidInput(
            "The number is needed: numbers have a format of their own here, and bookcli gives none that has it.",
            hint="Type it, such as with --mrn.",
            code="mrn-missing",
            details={"field": "mrn"},
        )
    if "phone" in fields:
        clean["phone"] = contacts.phone(fields["phone"], settings.phone_country)
    if "birth_date" in fields:
        # A day of grace: somewhere it is tomorrow already.
        birth_date = rules.checked_birth_date(fields["birth_date"], clock.now().date() + timedelta(days=1))
        clean["birth_date"] = birth_date.isoformat() if birth_date else None
    return clean


_CHECKS = {
    "name": lambda text: clean_name(text, label="name"),
    "sex": rules.checked_sex,
    "email": contacts.email,
    "language": rules.checked_language,
    "channel": rules.checked_channel,
    "consent": rules.checked_consent,
    "note": clean_note,
}


def new_number(settings: Settings, text: str) -> str:
    """A number nobody has yet, in the format that `mrn_pattern` and `mrn_check` ask for.

    A number that is only looked up need not have it: it may be older. Raises InvalidInput `mrn-invalid`.
    """
    mrn = rules.checked_new_mrn(text, settings.mrn_regex)
    if not check_digits.holds(settings.mrn_check_digit, mrn):
        raise rules.refused("mrn", "number", "its check digit is wrong: read it again, digit by digit")
    return mrn


def add(context: Context, fields: Mapping[str, str]) -> Patient:
    """Creates a record; without an mrn it gets the next number. Raises Refused `mrn-taken`, InvalidInput.

    When the answer is lost, OutcomeUnknown: it is not sent again, because a second record may be the result.
    """
    clean = validated(context.settings, {"name": "", **fields}, new=True)
    try:
        saved = once(lambda: kernel.save(context.connection(), "patients", [{**clean, "new": True}])[0])
    except OutcomeUnknown as unknown:
        raise OutcomeUnknown(unknown.message, hint="Look whether the patient is there: bookcli patient find") from None
    if saved.verdict == "mrn-taken" or not saved.code:
        raise Refused("That number already belongs to a patient.", hint="bookcli patient show", code="mrn-taken")
    with after_saving(f"Patient {saved.code}"):
        return get(context, saved.code)


def edit(context: Context, mrn: str, fields: Mapping[str, str], before: Patient | None = None) -> Patient:
    """Changes the given fields, but never the number; with `before` only if they hold still what that says.

    Raises NotFound, Refused `patient-merged`, `changed-since`, InvalidInput.
    """
    clean = validated(context.settings, fields)
    return _change(context, mrn, clean, _values(before, clean) if before is not None else None)


def take_back(context: Context, before: Patient, fields: Mapping[str, str]) -> Patient:
    """Takes back an edit of these fields, as long as they hold what it wrote. Raises as `edit`."""
    wrote = validated(context.settings, fields)
    return _change(context, before.mrn, _values(before, wrote), wrote)


def _values(patient: Patient, fields: Iterable[str]) -> dict[str, Any]:
    """What a record says in some fields, JSON-ready."""
    values = {field: getattr(patient, field) for field in fields}
    return {field: value.isoformat() if isinstance(value, date) else value for field, value in values.items()}


def _change(context: Context, mrn: str, clean: Mapping[str, Any], still: Mapping[str, Any] | None) -> Patient:
    number, survivor = _number(context, mrn)
    _check_stands(survivor)
    if clean.get("mrn", number) != number:
        raise InvalidInput("The number of a patient cannot be changed.", hint="bookcli patient merge", code="mrn-fixed")
    row = {**clean, "mrn": number, **({"still": still} if still is not None else {})}
    saved = once(lambda: kernel.save(context.connection(), "patients", [row])[0])
    if saved.verdict == "changed-since":
        raise Refused(sentence(saved.verdict), hint="Look at it as it is now.", code=saved.verdict)
    with after_saving(f"Patient {number}"):
        return get(context, number)


def _check_stands(survivor: str | None) -> None:
    if survivor:
        raise Refused(
            f"That record was merged into {survivor}.",
            hint=f"bookcli patient edit {survivor}",
            code="patient-merged",
            details={"survivor": survivor},
        )


def to_edit(context: Context, mrn: str) -> Patient:
    """The record of a number, before it is asked what is to be changed in it. Raises as `edit`; the look is audited."""
    found = get(context, mrn)
    _check_stands(found.merged_into)
    return found


def get(context: Context, mrn: str) -> Patient:
    """The record of a number; a merged one says into which. The look is audited. Raises NotFound `patient-unknown`."""
    number = mrn.strip()
    found = queries.look_at(context.connection(), number) if rules.may_be_mrn(number) else None
    if found is None:
        raise _nobody()
    return found


def _number(context: Context, mrn: str) -> tuple[str, str | None]:
    """(the number, the number of the record it was merged into or None); says nothing else, so it is no look."""
    number = mrn.strip()
    found = queries.survivor_of(context.connection(), number) if rules.may_be_mrn(number) else None
    if found is None:
        raise _nobody()
    return found


def _nobody() -> NotFound:
    return NotFound(sentence("patient-unknown"), hint="bookcli patient find", code="patient-unknown")


def find(context: Context, words: str, *, most: int = 20) -> list[Patient]:
    """Who may be meant: beginnings of names in any order, a number, a birth date, the end of a phone number.

    Accents and case do not count; the number of a merged record finds the survivor. Nothing typed finds nobody.
    """
    wanted = rules.understood(words)
    if wanted == rules.understood(""):
        return []
    return queries.find(context.connection(), wanted, most)


def likely_duplicates(context: Context, fields: Mapping[str, str], *, most: int = 5) -> list[Patient]:
    """Who may be the person that is about to be added: the same name, or a name in common and the same birth date,
    phone number or e-mail address. What cannot be read in `fields` does not count. Records merged away are left out.
    """
    wanted = _readable(context.settings, fields)
    name, birth, phone = str(wanted.get("name", "")), wanted.get("birth_date"), str(wanted.get("phone", ""))
    asked = [name, *(_words_of(name) if birth or phone else ()), phone]
    found = {one.mrn: one for words in dict.fromkeys(asked) if words for one in find(context, words, most=100)}
    return [one for one in found.values() if _is_likely(one, wanted)][:most]


def as_written(context: Context, fields: Mapping[str, str]) -> list[Patient]:
    """Who was written down with these fields, when nobody knows whether it was done: by the number if one was given,
    else the same name and birth date. Empty when nobody was. The looks are audited."""
    clean = validated(context.settings, {"name": "", **fields}, new=True)
    born = str(clean.get("birth_date") or "")
    if clean.get("mrn"):
        with contextlib.suppress(NotFound):
            return [get(context, str(clean["mrn"]))]
        return []
    found = find(context, str(clean["name"]), most=100)
    return [
        one
        for one in found
        if _words_of(one.name) == _words_of(str(clean["name"]))
        and (one.birth_date.isoformat() if one.birth_date else "") == born
    ]


def _words_of(name: str) -> list[str]:
    """The words of a name, accents and case ignored."""
    return fold(name).replace("-", " ").replace("'", " ").split()


def _readable(settings: Settings, fields: Mapping[str, str]) -> dict[str, Any]:
    clean: dict[str, Any] = {}
    for field in ("name", "birth_date", "phone", "email"):
        with contextlib.suppress(InvalidInput):
            clean |= validated(settings, {field: fields.get(field, "")})
    return clean


def _is_likely(patient: Patient, wanted: Mapping[str, Any]) -> bool:
    theirs, ours = set(_words_of(patient.name)), set(_words_of(str(wanted.get("name", ""))))
    born = patient.birth_date.isoformat() if patient.birth_date else None
    if theirs == ours and (born is None or wanted.get("birth_date") in (None, born)):
        return True
    same = ((born, "birth_date"), (patient.phone, "phone"), (patient.email, "email"))
    return bool(theirs & ours) and any(known and known == wanted.get(field) for known, field in same)


def merge(context: Context, survivor: str, duplicate: str) -> int:
    """Makes two records one person; how many appointments moved. Safe to repeat.

    Raises NotFound, Refused (`patient-overlap`, `already-merged`).
    """
    if not (rules.may_be_mrn(survivor) and rules.may_be_mrn(duplicate)):
        raise _nobody()
    verdict, moved, numbers = once(lambda: kernel.merge_patients(context.connection(), survivor, duplicate))
    if verdict == "merged":
        return moved
    if verdict == "patient-unknown":
        raise _nobody()
    if verdict == "patient-overlap":
        raise Refused(
            "Both records have an appointment at the same time.",
            hint="Cancel or reschedule one of them first.",
            code=verdict,
            details=numbers,
        )
    raise Refused("One of the records was merged already, or both are the same.", code=verdict, details=numbers)


def appointments(context: Context, mrn: str, *, past: bool = False) -> list[dict[str, Any]]:
    """Rows of `app.appointment_facts`, ascending: what stands and is not over, with `past` everything ever made.

    Raises NotFound `patient-unknown`.
    """
    number, _ = _number(context, mrn)
    return appointment_queries.of_patient(context.connection(), number, past=past)
