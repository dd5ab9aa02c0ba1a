"""What a patient's fields may be, and what a line typed into the search means."""

from __future__ import annotations

import re
from datetime import date

import pytest

from bookcli.core.errors import InvalidInput
from bookcli.core.model import patients
from bookcli.core.model.patients import understood

TODAY = date(2026, 11, 23)


@pytest.mark.parametrize("text", ["1980-05-01", "1.5.1980", "19800501", "1 may 1980", "May 1, 1980", " 1980/05/01 "])
def test_a_birth_date_is_read_as_people_write_it(text: str) -> None:
    assert patients.checked_birth_date(text, TODAY) == date(1980, 5, 1)


@pytest.mark.parametrize(
    "text", ["05/01/1980", "tomorrow", "+3d", "mon", "1 may", "1.5.80", "2026-11-24", "1980-02-30"]
)
def test_a_birth_date_needs_one_meaning_a_year_and_a_past(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        patients.checked_birth_date(text, TODAY)
    assert refusal.value.details == {"field": "birth_date"}
    assert text not in refusal.value.message + refusal.value.hint


def test_no_birth_date_is_allowed() -> None:
    assert patients.checked_birth_date("  ", TODAY) is None


@pytest.mark.parametrize(("text", "sex"), [("F", "female"), ("male", "male"), ("", "unknown"), ("d", "other")])
def test_a_sex_is_one_letter_or_the_word(text: str, sex: str) -> None:
    assert patients.checked_sex(text) == sex


@pytest.mark.parametrize("mrn", ["", "-1", "a b", "ü1", "x" * 41, "1\n2"])
def test_a_number_has_letters_digits_and_little_else(mrn: str) -> None:
    with pytest.raises(InvalidInput, match="number"):
        patients.checked_mrn(mrn)


@pytest.mark.parametrize("mrn", ["B-123", "B-12345", "b-1234", "B-1234\n5", "XB-1234"])
def test_a_new_number_matches_the_pattern_as_a_whole_and_is_not_repeated(mrn: str) -> None:
    pattern = re.compile("B-[0-9]{4}")
    assert patients.checked_new_mrn(" B-1234 ", pattern) == "B-1234"
    with pytest.raises(InvalidInput) as refusal:
        patients.checked_new_mrn(mrn, pattern)
    assert (refusal.value.code, refusal.value.details) == ("mrn-invalid", {"field": "mrn"})
    assert mrn not in refusal.value.message + refusal.value.hint


def test_a_pattern_never_allows_what_no_number_may_be() -> None:
    for mrn in ("ü1", "x" * 41, "a b"):
        with pytest.raises(InvalidInput):
            patients.checked_new_mrn(mrn, re.compile(".+"))


@pytest.mark.parametrize("language", ["d", "deutsch!", "de-", "a" * 9])
def test_a_language_is_a_code(language: str) -> None:
    with pytest.raises(InvalidInput):
        patients.checked_language(language)
    assert patients.checked_language("pt_BR") == "pt-BR"


def test_a_date_in_a_search_may_have_two_readings() -> None:
    wanted = understood("müller 05/01/1980")
    assert wanted.words == ("müller",)
    assert wanted.birth_dates == (date(1980, 1, 5), date(1980, 5, 1))


def test_a_date_in_words_is_not_taken_for_a_name() -> None:
    assert understood("1 May 1980 ana") == patients.Wanted("", "", ("ana",), (date(1980, 5, 1),))


def test_digits_are_the_end_of_a_phone_number_however_it_is_written() -> None:
    assert understood("(0171) 234-56").digits == "17123456"
    assert understood("123").digits == ""
    assert understood("ana 12345").digits == ""


def test_a_composed_and_a_decomposed_name_are_one_search() -> None:
    assert understood("Mu\u0308ller") == understood("M\u00fcller")
