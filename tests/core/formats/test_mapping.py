"""Mappings: somebody's columns become our fields, exactly or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookcli.core.errors import BookcliError, InvalidInput, NotFound
from bookcli.core.formats.conversions import conversion, integer
from bookcli.core.formats.mapping import Mapping

FIELDS = ("patient", "name", "sex", "test", "start", "born")
ROW = {"PATIENTID": "91353189799141.0", "GENDER": "F", "DAY": "16/05/2016", "AT": "2016-05-16 09:39:12"}
WHOLE = """
[columns]
patient = "PATIENTID"
sex = "GENDER"
born = "DAY"
start = "AT"
[constants]
test = "consult"
[convert]
patient = "integer"
born = "date:%d/%m/%Y"
start = "moment:%Y-%m-%d %H:%M:%S"
sex = {M = "male", F = "female"}
[templates]
name = "Patient {PATIENTID|integer}"
"""


def _load(tmp_path: Path, content: str) -> Mapping:
    path = tmp_path / "mapping.toml"
    path.write_text(content, encoding="utf-8")
    return Mapping.load(path, fields=FIELDS)


def test_a_whole_mapping_fills_every_field(tmp_path: Path) -> None:
    assert _load(tmp_path, WHOLE).apply(ROW) == {
        "patient": "91353189799141", "sex": "female", "born": "2016-05-16", "start": "2016-05-16T09:39:12",
        "test": "consult", "name": "Patient 91353189799141",
    }  # fmt: skip


def test_items_on_the_command_line_map_and_convert() -> None:
    mapping = Mapping.from_items(["patient=PATIENTID|integer", "sex = GENDER"], fields=FIELDS)
    assert mapping.apply(ROW | {"test": "mri"}) == {"patient": "91353189799141", "sex": "F", "test": "mri"}


def test_columns_with_a_fields_own_name_need_no_mapping() -> None:
    assert Mapping(fields=frozenset(FIELDS)).apply({"patient": "1", "other": "2"}) == {"patient": "1"}


@pytest.mark.parametrize(
    ("content", "code", "hint"),
    [
        ('[columns]\npatinet = "A"', "field-unknown", "patient"),
        ('[column]\npatient = "A"', "mapping-unclear", "columns"),
        ('columns = "A"', "mapping-unclear", "columns"),
        ("[columns]\npatient = [1]", "mapping-unclear", "patient"),
        ('[convert]\npatient = "integr"', "conversion-unknown", "integer"),
        ('[convert]\nborn = "date:%Q"', "conversion-unknown", "date"),
        ('[convert]\nborn = "date"', "conversion-unknown", "date"),
        ('[convert]\nborn = "date:%H:%M"', "conversion-unknown", "date"),
        ("[convert]\nborn = 7", "mapping-unclear", "integer"),
        ('[templates]\nname = "{}"', "mapping-unclear", "PATIENTID"),
        ('[templates]\nname = "{A|nope}"', "conversion-unknown", "integer"),
        ("nonsense", "mapping-unclear", ""),
    ],
)
def test_a_mapping_with_a_mistake_is_refused_as_a_whole(tmp_path: Path, content: str, code: str, hint: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        _load(tmp_path, content)
    assert caught.value.code == code
    assert hint in caught.value.hint


@pytest.mark.parametrize("item", ["patient", "=A", "patient=", "patinet=A", "patient=A|nope"])
def test_an_item_with_a_mistake_is_refused(item: str) -> None:
    with pytest.raises(InvalidInput):
        Mapping.from_items([item], fields=FIELDS)
    with pytest.raises(InvalidInput):
        Mapping.from_items(["sex=A", "sex=B"], fields=FIELDS)


def test_a_missing_mapping_or_column_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Mapping.load(tmp_path / "missing.toml")
    for mapping in (Mapping.from_items(["patient=PATIENT_ID"]), _load(tmp_path, '[templates]\nname = "{PATIENT_ID}"')):
        with pytest.raises(InvalidInput) as caught:
            mapping.apply(ROW)
        assert caught.value.code == "column-unknown"
        assert "PATIENTID" in caught.value.hint


def test_a_value_that_cannot_be_converted_is_refused_by_its_field_and_not_repeated(tmp_path: Path) -> None:
    for change, field, code in (
        ({"PATIENTID": "39217.84439"}, "patient", "not-an-integer"),
        ({"DAY": "2016-05-16"}, "born", "date-unclear"),
        ({"GENDER": "Lovelace"}, "sex", "value-unknown"),
    ):
        with pytest.raises(BookcliError) as caught:
            _load(tmp_path, WHOLE).apply(ROW | change)
        assert (caught.value.code, caught.value.details["field"]) == (code, field)
        assert next(iter(change.values())) not in caught.value.message + caught.value.hint


def test_a_table_of_values_may_have_a_default_and_leaves_empty_alone(tmp_path: Path) -> None:
    mapping = _load(tmp_path, '[columns]\nsex = "S"\n[convert]\nsex = {F = "female", "*" = "unknown"}')
    assert [mapping.apply({"S": value})["sex"] for value in ("F", "x", "")] == ["female", "unknown", ""]
    mapping = _load(tmp_path, '[columns]\nsex = "S"\n[convert]\nsex = ["strip", "upper", {F = "female", "" = "none"}]')
    assert [mapping.apply({"S": value})["sex"] for value in (" f ", " ")] == ["female", "none"]


@given(st.integers(-(10**30), 10**30))
def test_whole_numbers_are_exact_however_a_spreadsheet_wrote_them(number: int) -> None:
    for written in (f"{number}", f"{number}.0", f" {number}.000 ", f"{number}e0"):
        assert integer(written) == str(number)


@pytest.mark.parametrize(
    "text", ["39217.84439", "1e-3", "NaN", "inf", "1_000", "0x10", "1,5", "٣", "9" * 41, "1e999", "-"]
)
def test_what_is_not_a_whole_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        integer(text)
    assert caught.value.code == "not-an-integer"


def test_empty_stays_empty() -> None:
    for name in ("integer", "upper", "lower", "strip", "date:%d/%m/%Y", "moment:%d/%m/%Y %H:%M"):
        assert conversion(name)("") == ""


def test_exponents_of_spreadsheets_are_whole_numbers_too() -> None:
    assert integer("9.1353189799141E+13") == "91353189799141"
