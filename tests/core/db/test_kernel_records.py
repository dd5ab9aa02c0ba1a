"""What saving, merging and publishing answer, and that references are the same in SQL and in Python."""

from __future__ import annotations

import random
from typing import Any

import pytest

from bookcli.core.db import kernel
from bookcli.core.errors import InvalidInput
from bookcli.core.model.references import appointment_id_of, reference_of
from bookcli.core.services import appointments
from tests.clinic import Clinic

pytestmark = pytest.mark.both_servers


def _saved(clinic: Clinic, kind: str, *rows: dict[str, Any]) -> list[str]:
    return [saved.verdict for saved in kernel.save(clinic.context.connection(), kind, rows)]


@pytest.mark.parametrize(
    ("kind", "row", "other"),
    [
        ("sites", {"code": "east", "name": "East", "zone": "Asia/Tokyo"}, {"name": "Far East"}),
        ("tests", {"code": "ecg", "name": "ECG", "duration_minutes": 20}, {"lead_minutes": 60}),
        (
            "resources",
            {"site": "north", "code": "ecg-1", "name": "ECG 1", "tests": ["blood"]},
            {"tests": ["mri", "blood"]},
        ),
        ("patients", {"mrn": "X1", "name": "Someone", "birth_date": "1980-02-29"}, {"phone": "+49 30 1"}),
    ],
)
def test_a_record_is_created_then_unchanged_then_changed(
    clinic: Clinic, kind: str, row: dict[str, Any], other: dict[str, Any]
) -> None:
    changes = "SELECT count(*) FROM audit WHERE action NOT LIKE 'look-%%'"
    audited = clinic.row(changes)[0]
    assert _saved(clinic, kind, row) == ["created"]
    assert _saved(clinic, kind, row) == ["unchanged"]
    assert _saved(clinic, kind, row | other) == ["changed"]
    assert clinic.row(changes) == (audited + 2,)


def test_a_record_that_names_what_does_not_exist_is_not_saved(clinic: Clinic) -> None:
    resource = {"code": "x", "site": "north", "tests": ["mri"]}
    assert _saved(clinic, "resources", resource | {"site": "nowhere"}, resource | {"tests": ["nothing"]}) == [
        "site-unknown",
        "test-unknown",
    ]
    hours = {"site": "north", "resource": "none", "weekday": 1, "opens": "08:00", "closes": "12:00"}
    assert _saved(clinic, "schedules", hours | {"slot_minutes": 30, "capacity": 1}) == ["resource-unknown"]
    assert _saved(clinic, "patients", {"mrn": "X2"}) == ["name-missing"]


def test_hours_that_overlap_are_not_saved_and_the_same_twice_are_one(clinic: Clinic) -> None:
    hours = {"site": "north", "resource": "lab", "weekday": 1, "opens": "08:00", "closes": "12:00"}
    hours |= {"slot_minutes": 30, "capacity": 1}
    later = hours | {"opens": "11:00", "closes": "13:00"}
    assert _saved(clinic, "schedules", hours, hours, later, later | {"weekday": 2}) == [
        "created",
        "unchanged",
        "hours-overlap",
        "created",
    ]


def test_patients_without_a_number_get_one_each(clinic: Clinic) -> None:
    rows = kernel.save(clinic.context.connection(), "patients", [{"name": "A"}, {"name": "A"}])
    assert [row.verdict for row in rows] == ["created", "created"]
    assert len({row.code for row in rows} | {row.id for row in rows}) == 4


def test_merging_moves_appointments_and_the_old_number_still_books(clinic: Clinic) -> None:
    connection = clinic.owner
    moved = appointments.book(clinic.context, clinic.request(2, "mri", clinic.slot("mri"))).verdicts[0]
    assert kernel.merge_patients(connection, "P1", "P2")[:2] == ("merged", 1)
    assert appointments.show(clinic.context, moved.reference or "")["patient"] == "P1"
    assert kernel.merge_patients(connection, "P1", "P2")[:2] == ("merged", 0), "safe to repeat"
    outcome = appointments.book(clinic.context, clinic.request(2, "blood", clinic.slot("blood", 2)))
    assert outcome.verdicts[0].patient == "P1"
    assert (
        appointments.book(clinic.context, clinic.request(2, "blood", clinic.slot("blood"))).reason == "patient-overlap"
    )
    assert kernel.merge_patients(connection, "P3", "P1")[0] == "merged"
    outcome = appointments.book(clinic.context, clinic.request(2, "blood", clinic.slot("blood", 3)))
    assert outcome.verdicts[0].patient == "P3", "a chain of merges ends at the survivor"
    assert clinic.sound()


def test_records_with_appointments_at_the_same_time_are_not_merged(clinic: Clinic) -> None:
    first = appointments.book(clinic.context, clinic.request(1, "mri", clinic.slot("mri"))).verdicts[0]
    appointments.book(clinic.context, clinic.request(2, "blood", clinic.slot("blood")))
    connection = clinic.owner
    assert kernel.merge_patients(connection, "P1", "P2") == ("patient-overlap", 0, {"other": first.reference})
    assert kernel.merge_patients(connection, "P1", "nobody")[0] == "patient-unknown"
    assert kernel.merge_patients(connection, "P1", "P1")[0] == "already-merged"
    assert clinic.sound()


def test_publishing_a_period_twice_is_harmless(clinic: Clinic) -> None:
    rows = clinic.rows(
        "SELECT resource_id, starts_at::text, ends_at::text, local_start::text, capacity FROM slot LIMIT 20"
    )
    names = ("resource_id", "starts_at", "ends_at", "local_start", "capacity")
    assert kernel.publish(clinic.context.connection(), [dict(zip(names, row, strict=True)) for row in rows]) == (0, 20)


def test_references_are_the_same_in_sql_and_in_python(clinic: Clinic) -> None:
    chance = random.Random(35)
    ids = [1, 2, 2**35 - 1, *(chance.randrange(1, 2**35) for _ in range(2000))]
    rows = clinic.rows(
        "SELECT n, reference_of(n), appointment_id_of(reference_of(n)), appointment_id_of(lower(reference_of(n)))"
        " FROM unnest(%s::bigint[]) n",
        (ids,),
    )
    assert rows == [(n, reference_of(n), n, n) for n in ids]
    wrong = ["", "7F3K", "0000-0000", reference_of(5)[:-1] + "*", "x" * 65, "٣٤٥٦-٧٨٩٠"]
    for text in [*wrong, *(_mistyped(reference_of(n), chance) for n in ids[:300])]:
        (answer,) = clinic.row("SELECT appointment_id_of(%s)", (text,))
        assert answer == _id_or_none(text), text


def _mistyped(reference: str, chance: random.Random) -> str:
    place = chance.choice([0, 1, 2, 3, 5, 6, 7, 8])
    return reference[:place] + chance.choice("0123456789ABCDEFGHJKMNPQRSTVWXYZ") + reference[place + 1 :]


def _id_or_none(text: str) -> int | None:
    try:
        return appointment_id_of(text)
    except InvalidInput:
        return None
