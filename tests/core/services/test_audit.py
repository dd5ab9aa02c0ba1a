"""Who did and who saw what: every look at a patient is a row, and no row says a name."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from bookcli.core import clock
from bookcli.core.context import Context
from bookcli.core.errors import BookcliError, InvalidInput, NotFound
from bookcli.core.model.audit import Filter
from bookcli.core.services import agenda, appointments, audit, exports, patients, schedules
from tests.clinic import Clinic

CANARY = "Canarinho"


def _book(clinic: Clinic, patient: int, test: str = "blood", index: int = 0) -> str:
    request = clinic.request(patient, test, clinic.slot(test, 1, index))
    return str(appointments.book(clinic.context, request).verdicts[0].reference)


def _noon(clinic: Clinic) -> Any:
    return clinic.row("SELECT starts_at FROM slot WHERE slot_id = %s", (clinic.slot("blood"),))[0]


LOOKS: dict[str, tuple[Callable[[Clinic, str], object], str, list[str]]] = {
    "show": (lambda c, ref: appointments.show(c.context, ref), "look-appointment", ["P1"]),
    "patient show": (lambda c, _: patients.get(c.context, "P1"), "look-patient", ["P1"]),
    "patient history": (lambda c, _: patients.appointments(c.context, "P1", past=True), "look-history", ["P1"]),
    "patient find": (lambda c, _: patients.find(c.context, "P1"), "look-search", ["P1"]),
    "agenda": (lambda c, _: agenda.day(c.context, "north", c.day(1)), "look-agenda", ["P1", "P2"]),
    "affected by a closure": (
        lambda c, _: schedules.affected(c.context, "north", "lab", _noon(c), _noon(c) + timedelta(hours=1)),
        "look-affected",
        ["P1", "P2"],
    ),
    "export of patients": (
        lambda c, _: list(exports.parts(c.context, exports.Export("patients"))),
        "look-export",
        sorted(f"P{n}" for n in range(1, 21)),
    ),
    "export of appointments": (
        lambda c, _: list(exports.parts(c.context, exports.Export("appointments"))),
        "look-export",
        ["P1", "P2"],
    ),
}


@pytest.mark.parametrize("what", LOOKS)
def test_a_look_at_patients_writes_one_row_with_all_of_them(clinic: Clinic, what: str) -> None:
    look, action, seen = LOOKS[what]
    references = [_book(clinic, patient) for patient in (1, 2)]
    (before,) = clinic.row("SELECT max(audit_id) FROM audit")
    assert look(clinic, references[0])
    ((audit_id,),) = clinic.rows("SELECT audit_id FROM audit WHERE audit_id > %s", (before,))
    entry = audit.show(clinic.context, audit_id)
    assert entry.action == action
    assert (list(entry.patients) or [entry.patient]) == seen
    assert entry.source.startswith("bookcli/")
    assert entry.reference == (references[0] if what == "show" else None)


def test_what_nobody_was_seen_by_writes_nothing(clinic: Clinic) -> None:
    (before,) = clinic.row("SELECT count(*) FROM audit")
    assert patients.find(clinic.context, "Nobody At All") == []
    assert agenda.day(clinic.context, "north", clinic.day(5)) == []
    with pytest.raises(NotFound):
        patients.get(clinic.context, "P999")
    assert clinic.row("SELECT count(*) FROM audit") == (before,)


def test_a_change_is_one_row_and_what_is_shown_after_it_another(clinic: Clinic) -> None:
    reference = _book(clinic, 1)
    (before,) = clinic.row("SELECT max(audit_id) FROM audit")
    patients.edit(clinic.context, "P1", {"phone": "030 1234567"})
    appointments.reschedule(clinic.context, reference, clinic.request("", "", clinic.slot("blood", 2)))
    written = clinic.rows("SELECT action FROM audit WHERE audit_id > %s ORDER BY audit_id", (before,))
    assert written == [("change-patient",), ("look-patient",), ("reschedule",)]


@pytest.mark.parametrize("what", LOOKS)
def test_nobody_looks_when_the_look_cannot_be_written_down(clinic: Clinic, what: str) -> None:
    references = [_book(clinic, patient) for patient in (1, 2)]
    clinic.owner.execute(
        "ALTER TABLE app.audit ADD CONSTRAINT full_up CHECK (NOT starts_with(action, 'look')) NOT VALID"
    )
    with pytest.raises(BookcliError):
        LOOKS[what][0](clinic, references[0])


def test_a_look_works_where_nothing_can_be_written(clinic: Clinic) -> None:
    reference = _book(clinic, 1)
    (before,) = clinic.row("SELECT count(*) FROM audit")
    clinic.run(f"ALTER DATABASE {clinic.owner.info.dbname} SET default_transaction_read_only = on")
    clinic.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'tests_desk'")
    clinic.context.close()
    assert appointments.show(clinic.context, reference)["patient"] == "P1"
    assert patients.get(clinic.context, "P1").mrn == "P1"
    assert clinic.row("SELECT count(*) FROM audit") == (before,)


def test_no_row_says_what_a_field_said(clinic: Clinic, tmp_path: Path) -> None:
    context = clinic.context
    fields = {"name": f"{CANARY} One", "note": CANARY, "email": f"{CANARY}@example.org", "phone": "+49 30 901820"}
    mrn = patients.add(context, fields).mrn
    patients.edit(context, mrn, {"name": f"{CANARY} Two", "birth_date": "1950-04-03"})
    assert patients.find(context, CANARY)
    request = clinic.request(mrn, "blood", clinic.slot("blood"), note=CANARY)
    reference = str(appointments.book(context, request).verdicts[0].reference)
    agenda.day(context, "north", clinic.day(1))
    start = _noon(clinic)
    schedules.close(context, "north", "lab", start, start + timedelta(hours=1), CANARY)
    appointments.cancel(context, reference, "pat")
    patients.merge(context, mrn, patients.add(context, {"name": CANARY}).mrn)
    audit.to_file(context, Filter(), "jsonl", tmp_path / "audit.jsonl")
    for text in ("".join(audit.parts(context, Filter())), (tmp_path / "audit.jsonl").read_text()):
        assert mrn in text
        assert CANARY not in text
        assert "901820" not in text
        assert "1950-04" not in text
    assert clinic.row("SELECT count(*) FROM audit a WHERE strpos(a::text, %s) > 0", (CANARY,)) == (0,)


def test_rows_are_found_by_whom_what_who_and_when(clinic: Clinic) -> None:
    context = clinic.context
    references = [_book(clinic, patient) for patient in (1, 2)]
    agenda.day(context, "north", clinic.day(1))
    appointments.cancel(context, references[1])

    def actions(**wanted: Any) -> list[str]:
        return [entry.action for entry in audit.list_(context, Filter(**wanted))]

    assert actions(patient="P2") == ["look-audit", "cancel", "look-agenda", "book", "create-patient"]
    assert actions(patient="P2", action="look") == ["look-audit", "look-audit", "look-agenda"]
    assert actions(reference=references[1].lower()) == ["cancel", "book"]
    assert actions(actor="nobody") == []
    assert len(actions(actor=audit.list_(context)[0].staff)) == clinic.row("SELECT count(*) FROM audit")[0]
    assert actions(actor="tests_desk") == ["look-audit", "look-audit", "cancel", "look-agenda", "book", "book"]
    today = clock.now().date()
    assert actions(reference=references[0], first=today - timedelta(days=1), last=today + timedelta(days=1)) == ["book"]
    assert actions(first=today + timedelta(days=1)) == []
    assert actions(last=today - timedelta(days=1)) == []
    assert len(audit.list_(context, most=3)) == 3


def test_the_rows_of_a_merged_record_are_the_persons(clinic: Clinic) -> None:
    patients.get(clinic.context, "P2")
    patients.merge(clinic.context, "P1", "P2")
    for number in ("P1", "P2"):
        found = audit.list_(clinic.context, Filter(patient=number, action="look-patient"))
        assert [entry.patient for entry in found] == ["P2"]
    assert "merge-patient" in [entry.action for entry in audit.list_(clinic.context, Filter(patient="P2"))]


def test_what_does_not_exist_is_not_found(context: Context) -> None:
    with pytest.raises(NotFound):
        audit.show(context, 999_999)
    with pytest.raises(NotFound):
        audit.list_(context, Filter(patient="P999"))
    with pytest.raises(InvalidInput):
        audit.list_(context, Filter(reference="no"))
    with pytest.raises(InvalidInput):
        audit.verify(context, "5")


def test_everything_is_sealed_and_proven(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_BATCH", 7)
    (rows,) = clinic.row("SELECT count(*) FROM audit")
    assert audit.verify(clinic.context).head == ""
    assert [audit.seal(clinic.context), audit.seal(clinic.context)] == [rows, 0]
    proof = audit.verify(clinic.context)
    assert (proof.intact, proof.sealed, proof.unsealed, proof.head_number) == (True, rows, 0, rows)
    patients.get(clinic.context, "P1")
    assert audit.verify(clinic.context).unsealed == 1
    assert audit.seal(clinic.context) == 1
    assert audit.verify(clinic.context, proof.head).intact
    other = audit.verify(clinic.context, f"{rows}:{'0' * 64}")
    assert (other.intact, other.problem, other.first_broken) == (False, "forged", rows)


def test_an_export_has_every_row_and_its_seal(clinic: Clinic) -> None:
    audit.seal(clinic.context)
    lines = "".join(audit.parts(clinic.context, Filter(), "jsonl")).splitlines()
    records = [json.loads(line) for line in lines]
    (rows,) = clinic.row("SELECT count(*) FROM audit")
    assert [record["seal"] for record in records] == [str(number) for number in range(1, rows + 1)]
    assert f"{records[-1]['seal']}:{records[-1]['hash']}" == audit.verify(clinic.context).head
