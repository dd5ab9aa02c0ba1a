"""Patients: added once, found by what people know of them, merged without losing an appointment."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from bookcli.core.context import Context
from bookcli.core.db import engine, kernel
from bookcli.core.errors import BookcliError, InvalidInput, NotFound, Refused
from bookcli.core.model.text import fold
from bookcli.core.services import appointments, patients
from tests.clinic import Clinic

ANA = {
    "name": "Jürgen Müller-Lüdenscheidt",
    "birth_date": "1.5.1980",
    "sex": "m",
    "phone": "+49 171 2345678",
    "email": "J@Example.org",
    "language": "de",
    "note": "Wheelchair",
}


def _found(context: Context, words: str) -> list[str]:
    return [patient.mrn for patient in patients.find(context, words)]


def _book(clinic: Clinic, mrn: str, test: str, slot: int) -> str:
    outcome = appointments.book(clinic.context, clinic.request(mrn, test, slot))
    assert outcome.outcome == "booked"
    return str(outcome.verdicts[0].reference)


@pytest.mark.both_servers
def test_what_is_found_on_a_screen_is_what_the_database_finds(clinic: Clinic) -> None:
    letters = "ÄÉÑßÆæÐðØøÞþĐđĦħİıŁłŊŋŒœŦŧŻćśźőűřšžğç"
    for letter in letters:
        assert (fold(letter),) == clinic.row("SELECT app.fold(%s)", (letter,)), letter


@pytest.mark.both_servers
def test_a_patient_is_stored_as_clean_as_it_is_shown(context: Context) -> None:
    added = patients.add(context, ANA)
    assert added == patients.get(context, added.mrn)
    assert (added.name, added.sex, added.phone, added.email) == (ANA["name"], "male", "+491712345678", "J@example.org")
    assert str(added.birth_date) == "1980-05-01"
    assert (added.merged_into, added.appointments_ahead, added.next_start) == (None, 0, None)


def test_a_number_belongs_to_one_patient(context: Context) -> None:
    patients.add(context, {"mrn": "X-1", "name": "Ana"})
    with pytest.raises(Refused) as refusal:
        patients.add(context, {"mrn": "X-1", "name": "Bea"})
    assert refusal.value.code == "mrn-taken"
    assert patients.get(context, "X-1").name == "Ana"


def test_two_desks_that_use_a_number_at_the_same_moment_make_one_patient(context: Context) -> None:
    told: list[str] = []

    def desk(name: str) -> None:
        with Context(context.settings, context.paths) as own:
            try:
                patients.add(own, {"mrn": "X-1", "name": name})
                told.append("added")
            except BookcliError as refusal:
                told.append(refusal.code)

    desks = [threading.Thread(target=desk, args=[f"Desk {n}"]) for n in range(6)]
    for one in desks:
        one.start()
    for one in desks:
        one.join()
    assert sorted(told) == ["added"] + ["mrn-taken"] * 5


def test_a_given_number_never_falls_on_somebody_who_has_it(context: Context, owner: engine.Connection) -> None:
    owner.execute("SELECT setval('patient_number', 200000)")
    patients.add(context, {"mrn": "P200001", "name": "Imported"})
    assert patients.add(context, {"name": "New"}).mrn == "P200002"
    assert patients.get(context, "P200001").name == "Imported"


CLINIC_FORMAT = {"mrn_pattern": "H-[0-9]{6}", "mrn_check": "luhn"}
RIGHT, WRONG_DIGIT, WRONG_FORM = "H-123455", "H-123456", "K-123455"


def _with(context: Context, **settings: str) -> Context:
    """The same database at a desk with these settings."""
    return Context(replace(context.settings, **settings), context.paths)


@pytest.mark.parametrize("mrn", [WRONG_DIGIT, WRONG_FORM, "P1"])
def test_a_new_number_must_have_the_format_of_the_clinic(context: Context, mrn: str) -> None:
    with _with(context, **CLINIC_FORMAT) as strict:
        with pytest.raises(InvalidInput) as refusal:
            patients.add(strict, {"mrn": mrn, "name": "Ana"})
        assert refusal.value.code == "mrn-invalid"
        assert mrn not in refusal.value.message + refusal.value.hint
        assert patients.add(strict, {"mrn": RIGHT, "name": "Ana"}).mrn == RIGHT


@pytest.mark.parametrize("setting", CLINIC_FORMAT)
def test_no_number_is_given_where_it_would_not_have_the_format(
    context: Context, owner: engine.Connection, setting: str
) -> None:
    with _with(context, **{setting: CLINIC_FORMAT[setting]}) as strict, pytest.raises(InvalidInput) as refusal:
        patients.add(strict, {"name": "Ana"})
    assert (refusal.value.code, refusal.value.details) == ("mrn-missing", {"field": "mrn"})
    assert "Type it" in refusal.value.hint
    assert owner.execute("SELECT count(*) FROM patient").fetchone() == (0,)


def test_an_older_number_without_the_format_stays_a_patients_number(clinic: Clinic) -> None:
    with _with(clinic.context, **CLINIC_FORMAT) as strict:
        assert _found(strict, "P1")[0] == "P1"
        assert patients.edit(strict, "P1", {"note": "Wheelchair", "mrn": "P1"}).note == "Wheelchair"
        assert _book(Clinic(strict, clinic.owner), "P1", "mri", clinic.slot("mri"))
        assert patients.merge(strict, "P2", "P1") == 1
        assert patients.get(strict, "P1").merged_into == "P2"


@pytest.mark.parametrize("number", ["", "?", "a\x00b", "a\udcffb", "x" * 1_000_000])
def test_what_can_be_no_number_belongs_to_nobody(clinic: Clinic, number: str) -> None:
    for ask in (
        lambda: patients.get(clinic.context, number),
        lambda: patients.edit(clinic.context, number, {"note": "x"}),
        lambda: patients.merge(clinic.context, number, "P1"),
        lambda: patients.appointments(clinic.context, number),
    ):
        with pytest.raises(NotFound) as refusal:
            ask()
        assert refusal.value.code == "patient-unknown"


def test_a_phone_number_without_a_country_is_of_the_region_that_is_set(context: Context) -> None:
    with _with(context, phone_region="de") as german:
        mrn = patients.add(german, {"name": "Ana", "phone": "0171 2345678"}).mrn
        assert patients.get(german, mrn).phone == "+491712345678"
        assert _found(german, "0171 2345678") == [mrn]


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("name", " "),
        ("name", "a\x1bb"),
        ("birth_date", "1981"),
        ("sex", "q"),
        ("phone", "x"),
        ("email", "x"),
        ("mrn", "?"),
    ],
)
def test_a_field_that_cannot_be_used_is_named_but_never_repeated(context: Context, field: str, text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        patients.add(context, {**ANA, field: text})
    assert refusal.value.details == {"field": field}
    assert f" {text} " not in f" {refusal.value.message} {refusal.value.hint} "


def test_a_patient_without_a_name_is_refused(context: Context) -> None:
    with pytest.raises(InvalidInput):
        patients.add(context, {"mrn": "X-1"})
    with pytest.raises(InvalidInput) as refusal:
        patients.add(context, {"name": "Ana", "shoe": "42"})
    assert refusal.value.code == "field-unknown"


def test_editing_changes_only_what_is_given_and_can_empty_it(context: Context) -> None:
    added = patients.add(context, ANA)
    edited = patients.edit(context, added.mrn, {"phone": "", "birth_date": ""})
    assert (edited.phone, edited.birth_date, edited.name, edited.note) == ("", None, added.name, added.note)
    with pytest.raises(InvalidInput) as refusal:
        patients.edit(context, added.mrn, {"mrn": "OTHER"})
    assert refusal.value.code == "mrn-fixed"
    with pytest.raises(NotFound):
        patients.edit(context, "NOBODY", {"name": "Ana"})


def test_an_edit_of_what_another_desk_has_changed_since_is_refused_and_so_is_taking_it_back(context: Context) -> None:
    before = patients.add(context, ANA)
    fields = {"birth_date": "2.5.1980", "email": "", "sex": "f"}
    edited = patients.edit(context, before.mrn, fields, before)
    assert patients.edit(context, before.mrn, fields, before) == edited, "the same again, when the answer was lost"
    assert patients.take_back(context, before, fields) == before
    patients.edit(context, before.mrn, {"note": "Walks"})
    patients.edit(context, before.mrn, {"email": "k@example.org"})
    with pytest.raises(Refused, match="changed that record"):
        patients.edit(context, before.mrn, fields, before)
    with pytest.raises(Refused) as refusal:
        patients.take_back(context, before, {"email": ""})
    assert refusal.value.code == "changed-since"
    assert patients.edit(context, before.mrn, {"birth_date": ""}, before).birth_date is None
    assert patients.take_back(context, before, {"birth_date": ""}).birth_date == before.birth_date


@pytest.mark.both_servers
@pytest.mark.parametrize(
    "words",
    [
        *("muller", "LÜD", "lude jur", "Ju\u0308rgen", "1980-05-01", "1 may 1980", "mull 01/05/1980", "19800501"),
        *("0171 2345678", "+491712345678", "345678", "p-7", " P-7 "),
    ],
)
def test_a_patient_is_found_by_whatever_is_known(context: Context, words: str) -> None:
    patients.add(context, {**ANA, "mrn": "P-7"})
    patients.add(context, {"name": "Somebody Else", "birth_date": "1990-01-01", "phone": "030 12345"})
    assert _found(context, words) == ["P-7"]


@pytest.mark.parametrize("words", ["", "  ", "urgen", "%", "_", "\\", "mull 1980-05-02", "jurgen smith", "9999"])
def test_nobody_is_found_by_what_does_not_fit(context: Context, words: str) -> None:
    patients.add(context, {**ANA, "mrn": "P-7"})
    assert _found(context, words) == []


@pytest.mark.parametrize(
    ("words", "mrn"),
    [
        ("o'brien", "P13"),
        ("smith zoe", "P13"),
        ("lukasz", "P3"),
        ("ipek", "P18"),
        ("नेहा", "P11"),
        ("王小", "P8"),
        ("n'd", "P19"),
    ],
)
def test_names_of_every_script_are_found(clinic: Clinic, words: str, mrn: str) -> None:
    assert _found(clinic.context, words) == [mrn]


def test_the_exact_number_comes_first_and_there_is_a_limit(context: Context) -> None:
    for n in range(5):
        patients.add(context, {"mrn": f"BER-{n}", "name": f"Anton Ber-{4 - n}"})
    assert _found(context, "ber-3")[0] == "BER-3"
    assert _found(context, "BER-3")[0] == "BER-3"
    assert len(patients.find(context, "anton", most=3)) == 3


def test_the_number_of_a_merged_record_finds_the_survivor(clinic: Clinic) -> None:
    reference = _book(clinic, "P2", "mri", clinic.slot("mri"))
    assert patients.merge(clinic.context, "P1", "P2") == 1
    assert patients.merge(clinic.context, "P1", "P2") == 0
    assert _found(clinic.context, "P2") == ["P1"]
    assert patients.get(clinic.context, "P2").merged_into == "P1"
    assert [row["reference"] for row in patients.appointments(clinic.context, "P2")] == [reference]
    with pytest.raises(Refused) as refusal:
        patients.edit(clinic.context, "P2", {"name": "Ana"})
    assert (refusal.value.code, refusal.value.details) == ("patient-merged", {"survivor": "P1"})
    assert clinic.sound()


def test_records_with_appointments_at_the_same_time_are_not_merged(clinic: Clinic) -> None:
    _book(clinic, "P1", "mri", clinic.slot("mri"))
    _book(clinic, "P2", "blood", clinic.slot("blood"))
    with pytest.raises(Refused) as refusal:
        patients.merge(clinic.context, "P1", "P2")
    assert refusal.value.code == "patient-overlap"
    with pytest.raises(NotFound):
        patients.merge(clinic.context, "P1", "NOBODY")
    with pytest.raises(Refused):
        patients.merge(clinic.context, "P1", "P1")


@pytest.mark.both_servers
def test_a_patient_shows_what_is_ahead(clinic: Clinic) -> None:
    context = clinic.context
    _book(clinic, "P1", "blood", clinic.slot("blood", 2))
    first = _book(clinic, "P1", "mri", clinic.slot("mri", 1))
    appointments.hold(context, clinic.request(1, "mri", clinic.slot("mri", 3)), 60)
    gone = _book(clinic, "P1", "mri", clinic.slot("mri", 4))
    appointments.cancel(context, gone)
    patient = patients.get(context, "P1")
    assert (patient.appointments_ahead, patient.next_zone) == (3, "Europe/Berlin")
    assert patient.next_start == appointments.show(context, first)["starts_at"]
    assert len(patients.appointments(context, "P1")) == 3
    assert [row["status"] for row in patients.appointments(context, "P1", past=True)][-1] == "cancelled"


def test_a_hold_that_ran_out_is_nobodys(clinic: Clinic) -> None:
    appointments.hold(clinic.context, clinic.request(1, "mri", clinic.slot("mri")), 60)
    clinic.owner.execute("UPDATE appointment SET held_until = now() - interval '1 s'")
    assert patients.get(clinic.context, "P1").appointments_ahead == 0
    assert patients.appointments(clinic.context, "P1", past=True) == []


def test_the_past_is_shown_only_when_asked_for(clinic: Clinic) -> None:
    slot = clinic.slot("mri")
    _book(clinic, "P1", "mri", slot)
    back = timedelta(days=30)
    clinic.owner.execute(
        "UPDATE appointment SET during = tstzrange(lower(during) - %s, upper(during) - %s)", (back, back)
    )
    assert patients.appointments(clinic.context, "P1") == []
    assert len(patients.appointments(clinic.context, "P1", past=True)) == 1
    with pytest.raises(NotFound):
        patients.appointments(clinic.context, "NOBODY")


def test_the_audit_of_a_patient_names_fields_and_never_values(context: Context, owner: engine.Connection) -> None:
    added = patients.add(context, ANA)
    patients.edit(context, added.mrn, {"name": "Renamed Person"})
    written = str(owner.execute("SELECT before, after FROM audit").fetchall())
    assert "name" in written
    assert not any(value in written for value in (*ANA.values(), "Renamed Person") if len(value) > 2)


def test_a_batch_of_an_import_may_mix_given_and_missing_numbers(context: Context) -> None:
    rows = [{"name": "A"}, {"name": "B", "mrn": "B1"}, {"name": "C"}, {"name": "B again", "mrn": "B1"}]
    saved = kernel.save(context.connection(), "patients", rows)
    assert [one.verdict for one in saved] == ["created", "created", "created", "again"]
    assert len({one.code for one in saved}) == 3


def test_who_declined_messages_under_one_number_has_declined_them(context: Context) -> None:
    for mrn, consent in (("M1", "yes"), ("M2", "no"), ("M3", "")):
        patients.add(context, {"mrn": mrn, "name": "Ana", "consent": consent})
    patients.merge(context, "M3", "M1")
    assert patients.get(context, "M3").consent == ""
    patients.merge(context, "M3", "M2")
    assert patients.get(context, "M3").consent == "declined"


@pytest.mark.parametrize(("field", "text"), [("channel", "pigeon"), ("consent", "perhaps")])
def test_how_somebody_is_told_is_one_of_a_few_words(context: Context, field: str, text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        patients.add(context, {"mrn": "M1", "name": "Ana", field: text})
    assert refusal.value.code == f"{field}-invalid" and text not in str(refusal.value)
    known = patients.add(context, {"mrn": "M1", "name": "Ana", "channel": "E-Mail", "consent": "Yes"})
    assert (known.channel, known.consent) == ("email", "given")


@pytest.mark.both_servers
def test_a_search_says_what_comes_next_and_what_a_desk_should_know(clinic: Clinic) -> None:
    reference = _book(clinic, "P1", "mri", clinic.slot("mri", 2))
    missed = _book(clinic, "P1", "mri", clinic.slot("mri", 3))
    clinic.run(
        "UPDATE appointment SET during = tstzrange(now() - interval '1 h', now())"
        " WHERE app.reference_of(appointment_id) = %s",
        (missed,),
    )
    appointments.set_status(clinic.context, missed, "noshow")
    (found,) = patients.find(clinic.context, "ana muller")
    assert (found.next_reference, found.next_test, found.next_site) == (reference, "mri", "north")
    assert found.warnings == (
        "Did not come once in the last year.",
        "There is no e-mail address for messages.",
        "Cannot be called: no phone number.",
        "The birth date is not known.",
    )
    assert patients.add(clinic.context, {**ANA, "phone": "+49 171 1"}).warnings == ()


def test_somebody_who_is_probably_there_already_is_named_before_a_record_is_added(context: Context) -> None:
    there = patients.add(context, ANA).mrn

    def likely(**fields: str) -> list[str]:
        return [one.mrn for one in patients.likely_duplicates(context, fields)]

    assert likely(name="jurgen muller-ludenscheidt") == [there]
    assert likely(name="Jürgen Müller-Lüdenscheidt", birth_date="1 may 1980") == [there]
    assert likely(name="Jürgen Müller-Lüdenscheidt", birth_date="2 may 1981") == []
    assert likely(name="Juergen Müller", birth_date="1.5.1980") == [there]
    assert likely(name="J. Müller", phone="+49 171 2345678") == [there]
    assert likely(name="Hans Müller") == []
    assert likely(name="Eva Braun", phone="+49 171 2345678") == [], "a family has one phone"
    assert likely(name="", birth_date="what") == []
