"""Exports: what was written can be read back, and a spreadsheet runs none of it."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from bookcli.core.config import Settings
from bookcli.core.context import Context
from bookcli.core.errors import NotFound
from bookcli.core.model.imports import NOUNS, Tally
from bookcli.core.services import appointments, catalog, exports, imports, schedules
from bookcli.core.services.import_plan import Options
from tests.clinic import Clinic, sign_in
from tests.servers import Server, load_schema


def text_of(context: Context, noun: str, **how: object) -> str:
    return "".join(exports.parts(context, exports.Export(noun, **how)))  # type: ignore[arg-type]


@pytest.fixture
def busy_clinic(clinic: Clinic) -> Clinic:
    """The clinic with hours and appointments: one was cancelled, one has a formula as its note; one is a hold."""
    catalog.save_site(clinic.context, {"code": "north", "phone": "+49 30 901820"})
    schedules.add(
        clinic.context,
        {
            "site": "north",
            "resource": "lab",
            "weekdays": "mon-fri",
            "opens": "08:00",
            "closes": "24:00",
            "slot_minutes": "30",
            "capacity": "4",
        },
    )
    for index, (test, note) in enumerate(
        [("mri", ""), ("blood", "=1+1"), ("xray", "zwei\nZeilen"), ("mri-contrast", "")]
    ):
        request = clinic.request(index + 1, test, clinic.slot(test, index=2 * index), note=note)
        assert appointments.book(clinic.context, request).outcome == "booked"
    appointments.cancel(clinic.context, clinic.row("SELECT reference FROM appointment_facts WHERE patient = 'P3'")[0])
    appointments.hold(clinic.context, clinic.request(9, "mri", clinic.slot("mri", index=12)))
    return clinic


@pytest.mark.parametrize("kind", exports.KINDS)
def test_an_export_read_into_a_fresh_database_exports_the_same(
    busy_clinic: Clinic, server: Server, tmp_path: Path, kind: str
) -> None:
    before = {noun: text_of(busy_clinic.context, noun, kind=kind) for noun in NOUNS}
    dsn = server.lend(server.template("empty_template", load_schema))
    try:
        with Context(Settings(database_url=dsn), busy_clinic.context.paths) as fresh:
            sign_in(fresh)
            for noun in NOUNS:
                _read_back(fresh, noun, tmp_path / f"{noun}.{kind}", before[noun])
                if noun == "schedules":
                    _copy_slots(busy_clinic.context, fresh)
            after = {noun: text_of(fresh, noun, kind=kind) for noun in NOUNS}
    finally:
        server.take_back(dsn)
    for noun in NOUNS:
        assert _lines(after[noun]) == _lines(before[noun])
        assert len(_lines(before[noun])) > 1


def _lines(text: str) -> list[str]:
    """The lines in any order, and without the references, which a database gives anew."""
    return sorted(re.sub(r"\b[0-9A-Z]{4}-[0-9A-Z]{4}\b", "", text).splitlines())


def _read_back(context: Context, noun: str, path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    tally = Tally()
    report = path.with_suffix(".report")
    imports.run(
        context, imports.Job(noun, str(path), report, imports.mapping_of(noun), options=Options(history=True)), tally
    )
    assert tally.rows and not tally.refused, report.read_text(encoding="utf-8")


def _copy_slots(source: Context, target: Context) -> None:
    """Slots are made from hours, which the small clinic lacks: the same ones are opened."""
    columns = "starts_at, ends_at, local_start, capacity"
    query = f"SELECT r.code, {columns} FROM app.slot JOIN app.resource r USING (resource_id)"
    for code, *slot in source.connection().execute(query.encode()).fetchall():
        target.connection().execute(
            b"INSERT INTO app.slot (site_id, resource_id, starts_at, ends_at, local_start, capacity)"
            b" SELECT site_id, resource_id, %s, %s, %s, %s FROM app.resource WHERE code = %s",
            (*slot, code),
        )


def test_formulas_are_neutralised_and_holds_left_out(busy_clinic: Clinic) -> None:
    text = text_of(busy_clinic.context, "appointments")
    assert "'=1+1" in text and ",=1+1" not in text
    assert len(text.splitlines()) == 6 and "P9" not in text  # one note has two lines


def test_a_site_and_local_days_choose_appointments(busy_clinic: Clinic) -> None:
    day = busy_clinic.day(1)
    assert text_of(busy_clinic.context, "appointments", site="Clinic North").count("north") == 3
    assert text_of(busy_clinic.context, "appointments", first=day, last=day).count("\n") == 6
    assert text_of(busy_clinic.context, "appointments", first=day + timedelta(days=1)).count("\n") == 1
    with pytest.raises(NotFound):
        text_of(busy_clinic.context, "appointments", site="nowhere")


def test_the_file_is_private_and_complete_or_absent(busy_clinic: Clinic, tmp_path: Path) -> None:
    path = tmp_path / "patients.csv"
    exports.to_file(busy_clinic.context, exports.Export("patients"), path)
    assert path.stat().st_mode & 0o777 == 0o600 and len(path.read_text(encoding="utf-8").splitlines()) == 21
    with pytest.raises(NotFound):
        exports.to_file(busy_clinic.context, exports.Export("appointments", site="nowhere"), tmp_path / "none.csv")
    assert sorted(found.name for found in tmp_path.glob("*.csv*")) == ["patients.csv"]
