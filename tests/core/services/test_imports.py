"""Imports: every row gets a verdict, nothing is booked twice, and what a file holds wrong stays one row's problem."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bookcli.core.context import Context
from bookcli.core.errors import InvalidInput, NotFound, Unavailable
from bookcli.core.model.imports import RowVerdict, Tally
from bookcli.core.model.requests import BookingRequest
from bookcli.core.services import appointments, import_lanes, imports
from bookcli.core.services.import_plan import Options, Planned
from tests.clinic import Clinic

COUNTED = ("appointment", "request", "audit", "occupancy", "patient", "notification")


class Desk:
    """Writes files into a directory of its own and imports them; `report` is the last one."""

    def __init__(self, clinic: Clinic, directory: Path) -> None:
        self.clinic = clinic
        self.directory = directory
        self.report: list[dict[str, str]] = []

    def write(self, content: str | bytes, name: str = "rows.csv") -> Path:
        path = self.directory / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def run(self, content: str | bytes | Path, noun: str = "appointments", **how: object) -> Tally:
        path = content if isinstance(content, Path) else self.write(content)
        options = Options(**{name: how.pop(name) for name in Options.__slots__ if name in how})  # type: ignore[arg-type]
        mapping = imports.mapping_of(noun, "", how.pop("items", ()), how.pop("constants", ()))  # type: ignore[arg-type]
        shape = imports.FileFormat(**{name: how.pop(name) for name in ("kind", "encoding", "delimiter") if name in how})  # type: ignore[arg-type]
        report = self.directory / "report.csv"
        tally = Tally()
        job = imports.Job(noun, str(path), report, mapping, shape, options, **how)  # type: ignore[arg-type]
        imports.run(self.clinic.context, job, tally)
        with report.open(encoding="utf-8", newline="") as stream:
            self.report = list(csv.DictReader(stream))
        return tally

    def verdicts(self) -> list[str]:
        return [row["bookcli_verdict"] for row in self.report]

    def counts(self) -> dict[str, int]:
        """How many rows there are; that somebody saw that nothing is new is a row of the audit, and no change."""
        only = {"audit": " WHERE action NOT LIKE 'look-%%'"}
        return {
            table: int(self.clinic.row(f"SELECT count(*) FROM {table}{only.get(table, '')}")[0]) for table in COUNTED
        }


@pytest.fixture
def desk(clinic: Clinic, tmp_path: Path) -> Desk:
    directory = tmp_path / "files"
    directory.mkdir()
    return Desk(clinic, directory)


def by_day(clinic: Clinic, patients: int = 3) -> str:
    rows = [f"P{n},blood,north,{clinic.day(2)}" for n in range(1, patients + 1)]
    return "\n".join(["patient,test,site,day", *rows, ""])


def test_a_row_that_names_a_day_takes_its_first_free_slot(desk: Desk) -> None:
    assert desk.run(by_day(desk.clinic)).verdicts == {"booked": 3}
    starts = desk.clinic.rows("SELECT DISTINCT slot_id FROM appointment")
    assert starts == [(desk.clinic.slot("blood", day=2),)]
    assert desk.report[0]["bookcli_reference"] and desk.report[0]["patient"] == "P1"
    assert desk.clinic.sound()


def test_the_same_file_twice_changes_nothing(desk: Desk) -> None:
    desk.run(by_day(desk.clinic))
    first, before = desk.report, desk.counts()
    assert desk.run(by_day(desk.clinic)).verdicts == {"booked": 3}
    assert desk.counts() == before
    assert desk.report == first


def test_identical_rows_are_as_many_appointments_as_rows(desk: Desk) -> None:
    row = f"P1,blood,north,{desk.clinic.day(2)}\n"
    for _ in range(2):
        assert desk.run("patient,test,site,day\n" + row * 3).verdicts == {"booked": 3}
        assert desk.counts()["appointment"] == 3


def test_site_names_local_starts_and_resources_are_understood(desk: Desk) -> None:
    day = desk.clinic.day(3)
    rows = [
        "patient,test,site,resource,start",
        f"P1,mri,CLINIC NORTH,mri-1,{day}T08:30",
        f"P2,blood,north,,{day}T09:00",
        f"P3,xray,clinica sul,,{day} 10:00",
        f"P4,mri,north,mri-9,{day}T08:30",
        f"P5,mri,nrth,,{day}T08:30",
        f"P6,mri,north,,{day}",
        f"P7,mri,north,,{day}T08:10",
    ]
    desk.run("\n".join(rows) + "\n")
    expected = ["booked", "booked", "booked", "slot-unknown", "site-unknown", "time-unclear", "slot-unknown"]
    assert desk.verdicts() == expected
    assert "north" in desk.report[4]["bookcli_reason"]
    assert desk.clinic.row("SELECT local_start::time::text FROM appointment_facts WHERE patient = 'P3'") == (
        "10:00:00",
    )


def test_a_refused_row_says_why_and_the_others_are_booked(desk: Desk) -> None:
    slot = desk.clinic.slot("mri")
    desk.run(f"patient,test,slot\nP1,mri,{slot}\nP2,mri,{slot}\nP99,mri,{slot}\nP3,nothing,{slot}\n,mri,{slot}\n")
    assert desk.verdicts() == ["booked", "slot-full", "patient-unknown", "test-unknown", "patient-missing"]
    assert all(row["bookcli_reason"] for row in desk.report[1:])
    assert desk.clinic.sound()


def test_the_corrected_report_can_be_fed_back(desk: Desk) -> None:
    slots = [desk.clinic.slot("mri", index=n) for n in range(2)]
    desk.run(f"patient,test,slot\nP1,mri,{slots[0]}\nP2,mri,{slots[0]}\n")
    text = (desk.directory / "report.csv").read_text(encoding="utf-8")
    lines = text.splitlines()
    corrected = desk.write("\n".join([*lines[:2], lines[2].replace(str(slots[0]), str(slots[1]))]) + "\n", "again.csv")
    assert desk.run(corrected).verdicts == {"booked": 2}
    assert desk.counts()["appointment"] == 2
    assert list(desk.report[0])[:5] == [*imports.REPORT_COLUMNS, "patient"]


def test_a_corrected_row_with_an_id_books_once_and_a_changed_one_is_not_booked_again(desk: Desk) -> None:
    slots = [desk.clinic.slot("mri", index=n) for n in range(3)]
    desk.run(f"patient,test,slot\nP1,mri,{slots[0]}\n")
    header = "id,patient,test,slot\n"
    assert desk.run(f"{header}7,P2,mri,{slots[0]}\n").verdicts == {"slot-full": 1}
    for _ in range(2):
        assert desk.run(f"{header}7,P2,mri,{slots[1]}\n").verdicts == {"booked": 1}
    reference = desk.report[0]["bookcli_reference"]
    assert desk.run(f"{header}7,P2,mri,{slots[2]}\n").verdicts == {"key-reused": 1}
    assert desk.report[0]["bookcli_reference"] == reference
    assert desk.run(f"{header}7,P2,mri,{slots[2]}\n", retry_refused=True).verdicts == {"key-reused": 1}
    assert desk.counts()["appointment"] == 2


@pytest.mark.parametrize("column", ["", "id,"])
def test_a_refusal_is_kept_until_somebody_asks_to_retry(desk: Desk, column: str) -> None:
    slot = desk.clinic.slot("mri")
    desk.run(f"patient,test,slot\nP1,mri,{slot}\n")
    rows = f"{column}patient,test,slot\n{'7,' if column else ''}P2,mri,{slot}\n"
    assert desk.run(rows).verdicts == {"slot-full": 1}
    appointments.cancel(desk.clinic.context, desk.clinic.row("SELECT reference FROM appointment_facts")[0])
    assert desk.run(rows).verdicts == {"slot-full": 1}
    assert desk.run(rows, retry_refused=True).verdicts == {"booked": 1}
    assert desk.run(rows, retry_refused=True).verdicts == {"booked": 1}
    assert desk.clinic.row("SELECT count(*) FROM appointment WHERE active") == (1,)


def test_unknown_patients_are_created_and_known_ones_left_alone(desk: Desk) -> None:
    day = desk.clinic.day(2)
    rows = [
        "patient,test,site,day,patient_name,birth_date",
        f"P1,blood,north,{day},Somebody Else,1990-01-01",
        f"N1,blood,north,{day},Neu Ünbekannt,1990-01-01",
        f"N1,blood,north,{desk.clinic.day(3)},Neu Ünbekannt,1990-01-01",
        f"N2,blood,north,{day},Jemand,yesterday-ish",
        f"N3,blood,north,{day},,",
    ]
    desk.run("\n".join(rows) + "\n", create_patients=True)
    assert desk.verdicts() == ["booked", "booked", "booked", "birth-date-invalid", "patient-unknown"]
    assert desk.clinic.row("SELECT name FROM patient WHERE mrn = 'P1'") == ("Ana Müller",)
    assert desk.clinic.row("SELECT name, birth_date::text FROM patient WHERE mrn = 'N1'") == (
        "Neu Ünbekannt",
        "1990-01-01",
    )
    assert "yesterday" not in desk.report[3]["bookcli_reason"]


def test_history_records_how_the_past_ended_without_messages(desk: Desk) -> None:
    day = desk.clinic.day(1)
    rows = f"patient,test,site,day,status\nP1,blood,north,{day},fulfilled\nP2,blood,north,{day},noshow\n"
    desk.run(rows)
    assert desk.verdicts() == ["status-needs-history"] * 2
    desk.run(rows, history=True)
    assert desk.verdicts() == ["booked", "booked"]
    assert desk.clinic.rows("SELECT status::text FROM appointment ORDER BY 1") == [("fulfilled",), ("noshow",)]
    assert desk.counts()["notification"] == 0 and desk.clinic.sound()


def test_a_dry_run_gives_the_verdicts_and_keeps_nothing(desk: Desk) -> None:
    slot = desk.clinic.slot("mri")
    before = desk.counts()
    rows = f"patient,test,slot,patient_name\nP1,mri,{slot},\nP2,mri,{slot},\nN1,mri,{desk.clinic.slot('mri', 2)},Neu\n"
    tried = desk.run(rows, dry_run=True, create_patients=True)
    assert desk.counts() == before
    assert tried.verdicts == desk.run(rows, create_patients=True).verdicts == {"booked": 2, "slot-full": 1}


def test_half_written_rows_are_named_and_the_rest_is_booked(desk: Desk) -> None:
    day = desk.clinic.day(2)
    desk.run(f'patient,test,site,day\nP1,blood,north,{day}\nP2,blood\nP3,blood,north,{day},x\nP4,blood,"nor\n')
    assert desk.verdicts() == ["booked", "too-few-fields", "too-many-fields", "unclosed-quote"]
    assert [row["bookcli_line"] for row in desk.report] == ["2", "3", "4", "5"]


def test_a_byte_order_mark_semicolons_and_latin_1_are_read(desk: Desk) -> None:
    text = by_day(desk.clinic).replace("north", "Clínica Sul").replace("blood", "xray")
    assert desk.run("\ufeff" + text.replace(",", ";")).verdicts == {"booked": 3}
    with pytest.raises(InvalidInput, match="not UTF-8") as refusal:
        desk.run(text.encode("latin-1"))
    assert "latin-1" in refusal.value.hint
    assert desk.run(text.encode("latin-1"), encoding="latin-1").verdicts == {"booked": 3}
    assert desk.counts()["appointment"] == 3


def test_json_lines_and_mapped_columns_are_read(desk: Desk) -> None:
    day = desk.clinic.day(2)
    path = desk.write(f'{{"MRN": "P1", "DAY": "{day}"}}\n{{"MRN": 7, "DAY": "{day}"}}\nnot json\n', "rows.jsonl")
    desk.run(path, items=["patient=MRN", "day=DAY"], constants=["test=blood", "site=north"])
    assert desk.verdicts() == ["booked", "patient-unknown", "broken-json"]


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "not-a-table"),
        (b"%PDF-1.7 \x00\x01", "not-a-table"),
        (b"name,zone\nNorth,Europe/Berlin\n", "column-missing"),
        (b"patient|test|site|day\nP1|blood|north|2030-01-01\n", ""),
        (b"patient,test,,day\nP1,blood,north,2030-01-01\n", "header-empty"),
    ],
)
def test_a_file_of_the_wrong_kind_is_refused_as_a_whole(desk: Desk, content: bytes, code: str) -> None:
    before = desk.counts()
    if not code:
        assert desk.run(content).rows == 1
        return
    with pytest.raises(InvalidInput) as refusal:
        desk.run(content)
    assert refusal.value.code == code
    assert desk.counts() == before and not (desk.directory / "report.csv").exists()


def test_a_directory_a_missing_file_and_a_report_that_cannot_be_written_are_named(desk: Desk) -> None:
    with pytest.raises(InvalidInput, match="is a directory"):
        desk.run(desk.directory)
    with pytest.raises(NotFound):
        desk.run(desk.directory / "nothing.csv")
    (desk.directory / "report.csv").mkdir()
    with pytest.raises(InvalidInput) as refusal:
        desk.run(by_day(desk.clinic))
    assert refusal.value.code == "file-not-writable"
    assert desk.counts()["appointment"] == 0


def test_a_file_that_may_not_be_read_is_named(desk: Desk) -> None:
    path = desk.write(by_day(desk.clinic))
    path.chmod(0)
    nobody = 65534
    os.seteuid(nobody if os.geteuid() == 0 else os.geteuid())  # root may read everything
    try:
        with pytest.raises(InvalidInput, match="may not read") as refusal:
            desk.run(path)
    finally:
        os.seteuid(os.getuid())
    assert refusal.value.code == "file-unreadable"


def test_a_line_far_down_that_cannot_be_read_refuses_the_file_before_its_first_row(desk: Desk) -> None:
    rows = by_day(desk.clinic).encode() + b"\n" * 5000 + b"P4,blood,north,M\xfcller\n"
    with pytest.raises(InvalidInput, match=r"Line 500\d is not UTF-8"):
        desk.run(rows)
    assert desk.counts()["appointment"] == 0


def test_the_report_is_private_and_its_formulas_do_not_run(desk: Desk) -> None:
    day = desk.clinic.day(2)
    desk.run(f"patient,test,site,day,note\nP1,blood,north,{day},=cmd|' /C calc'!A0\n")
    report = desk.directory / "report.csv"
    assert report.stat().st_mode & 0o777 == 0o600
    assert desk.report[0]["note"] == "'=cmd|' /C calc'!A0"
    assert desk.clinic.row("SELECT note FROM appointment") == ("=cmd|' /C calc'!A0",)
    assert desk.run(report).verdicts == {"booked": 1} and desk.counts()["appointment"] == 1


def test_a_control_character_stops_only_its_row(desk: Desk) -> None:
    rows = [f"P{n},blood,{desk.clinic.slot('blood', index=n)},1" for n in range(1, 9)]
    rows[4] = f"P5,blood,{desk.clinic.slot('blood', index=5)},\u202e"
    desk.run("patient,test,slot,note\n" + "\n".join(rows) + "\n")
    assert desk.verdicts() == ["booked"] * 4 + ["text-control-character"] + ["booked"] * 3


def test_a_batch_the_database_refuses_is_halved_until_the_wrong_row_stands_alone() -> None:
    rows = [Planned(n, n + 2, BookingRequest(patient=f"P{n}"), lane=0) for n in range(9)]
    asked: list[int] = []

    def attempt(part: Sequence[Planned]) -> import_lanes.Decided:
        asked.append(len(part))
        if any(row.position == 5 for row in part):
            raise InvalidInput("A value is not allowed here.", code="value-not-storable")
        return {row.position: RowVerdict(row.line, "booked") for row in part}

    decided = import_lanes.settle(rows, attempt)
    assert [decided[n].verdict for n in range(9)] == ["booked"] * 5 + ["value-not-storable"] + ["booked"] * 3
    assert asked[0] == 9 and len(asked) < 9


@pytest.mark.parametrize("sqlstate", ["57014", "53200", "54000"])
def test_a_batch_that_is_too_much_at_once_is_halved_until_it_is_not(sqlstate: str) -> None:
    def attempt(part: Sequence[Planned]) -> import_lanes.Decided:
        if len(part) > 2:
            raise Unavailable("The database does not answer.", details={"sqlstate": sqlstate})
        return {row.position: RowVerdict(row.line, "booked") for row in part}

    rows = [Planned(n, n + 2, BookingRequest(), lane=0) for n in range(9)]
    assert {n: one.verdict for n, one in import_lanes.settle(rows, attempt).items()} == dict.fromkeys(
        range(9), "booked"
    )


def test_a_server_that_is_away_stops_the_import() -> None:
    def attempt(_: Sequence[Planned]) -> import_lanes.Decided:
        raise Unavailable("The database does not answer.", details={"sqlstate": "57P01"})

    with pytest.raises(Unavailable):
        import_lanes.settle([Planned(n, n + 2, BookingRequest(), lane=0) for n in range(2)], attempt)


def test_catalog_hours_and_patients_are_saved_once(desk: Desk) -> None:
    files = {
        "sites": "code,name,zone\nwest,West,Europe/Berlin\nwest,West,Europe/Berlin\nbad,Bad,Mars/One\n",
        "tests": "code,name,duration_minutes\nct,CT,20\nct2,CT,none\n",
        "resources": "site,code,name,tests\nWest,ct-1,CT 1,ct\nwest,ct-2,CT 2,nothing\n",
        "schedules": "site,resource,weekdays,opens,closes,slot_minutes,capacity\nwest,ct-1,mon-fri,08:00,24:00,30,1\n",
        "patients": "mrn,name,birth_date\nX1,Xaver,1980-02-03\nX1,Xaver,1980-02-03\nX2,,\n",
    }
    first = {noun: (desk.run(text, noun), desk.verdicts())[1] for noun, text in files.items()}
    assert first == {
        "sites": ["created", "unchanged", "zone-unknown"],
        "tests": ["created", "number-invalid"],
        "resources": ["created", "test-unknown"],
        "schedules": ["created"],
        "patients": ["created", "unchanged", "name-missing"],
    }
    before = desk.counts()
    for noun, text in files.items():
        assert "created" not in desk.run(text, noun).verdicts
    assert desk.counts() == before


def test_a_dry_run_of_the_catalog_keeps_nothing(desk: Desk) -> None:
    assert desk.run("name,zone\nClinic West,Europe/Berlin\n", "sites", dry_run=True).verdicts == {"created": 1}
    assert desk.run("mrn,name\nX1,Xaver\n", "patients", dry_run=True).verdicts == {"created": 1}
    assert desk.clinic.row("SELECT count(*) FROM site WHERE code = 'clinic-west'") == (0,)
    assert desk.clinic.row("SELECT count(*) FROM patient WHERE mrn = 'X1'") == (0,)


STRICT = {"mrn_pattern": "H-[0-9]{6}", "mrn_check": "luhn"}
MIXED = "mrn,name\nH-123455,Ana\nH-123456,Bea\nP2,Renamed\nX9,Cem\n"


@pytest.fixture
def strict(clinic: Clinic, desk: Desk) -> Iterator[Desk]:
    """The desk at a clinic whose new numbers have a format; P1 to P20 are older than that."""
    with Context(replace(clinic.context.settings, **STRICT), clinic.context.paths) as context:
        yield Desk(Clinic(context, clinic.owner), desk.directory)


@pytest.mark.parametrize("dry_run", [True, False])
def test_an_import_of_patients_holds_new_numbers_to_the_format_and_changes_old_records(
    strict: Desk, dry_run: bool
) -> None:
    strict.run(MIXED, "patients", dry_run=dry_run)
    assert strict.verdicts() == ["created", "mrn-invalid", "changed", "mrn-invalid"]
    assert not any(mrn in row["bookcli_reason"] for row in strict.report for mrn in ("H-123456", "X9"))


def test_an_import_of_appointments_creates_no_patient_without_the_format_and_books_for_old_ones(strict: Desk) -> None:
    day = strict.clinic.day(2)
    rows = [f"{mrn},blood,north,{day},Somebody" for mrn in ("P1", "H-123455", "H-123456")]
    content = "\n".join(["patient,test,site,day,patient_name", *rows, ""])
    strict.run(content, create_patients=True)
    assert strict.verdicts() == ["booked", "booked", "mrn-invalid"]
    assert strict.clinic.row("SELECT count(*) FROM patient WHERE mrn LIKE 'H-%%'") == (1,)
    assert strict.clinic.sound()


def test_a_setting_that_is_wrong_stops_an_import_before_its_first_row(clinic: Clinic, desk: Desk) -> None:
    settings = replace(clinic.context.settings, mrn_pattern="(")
    with Context(settings, clinic.context.paths) as context, pytest.raises(InvalidInput) as refusal:
        Desk(Clinic(context, clinic.owner), desk.directory).run(MIXED, "patients")
    assert refusal.value.code == "config-invalid"
    assert not (desk.directory / "report.csv").exists()
