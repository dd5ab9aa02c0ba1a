"""Phone numbers and mail addresses as they are typed and as they are kept."""

from __future__ import annotations

import pytest

from bookcli.core.errors import InvalidInput
from bookcli.core.formats import contacts


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("+49 (0)30 901820", "+4930901820"),
        ("0049 30 901820", "+4930901820"),
        ("+55 11 91234-5678", "+5511912345678"),
        (" 030  90 18 20 ", "030 90 18 20"),
        ("112", "112"),
        ("", ""),
    ],
)
def test_a_phone_number_is_kept_in_one_form_when_its_country_is_known(typed: str, kept: str) -> None:
    assert contacts.phone(typed) == kept


@pytest.mark.parametrize(
    "typed",
    [
        *("12", "+", "+49", "+999 123456", "call me", "030 90;DROP", "1" * 16, "+4930901820 ext 5"),
        *("+1 800 FLOWERS", "+49 30 901820abc", "+49 30 901820\udcff", "+49 30\x00901820", "+" + "1" * 100_000),
    ],
)
def test_what_is_no_phone_number_is_refused_without_repeating_it(typed: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        contacts.phone(typed)
    assert refusal.value.details == {"field": "phone"}
    assert typed not in refusal.value.message


@pytest.mark.parametrize(
    ("typed", "region", "kept"),
    [
        ("030 901820", "DE", "+4930901820"),
        ("(0171) 234-5678", "DE", "+491712345678"),
        ("020 7183 8750", "GB", "+442071838750"),
        ("112", "DE", "112"),
        ("12345", "DE", "12345"),
        ("+44 20 7183 8750", "DE", "+442071838750"),
        ("0044 20 7183 8750", "DE", "+442071838750"),
    ],
)
def test_a_number_without_a_country_is_one_of_the_region_when_it_can_be(typed: str, region: str, kept: str) -> None:
    assert contacts.phone(typed, region) == kept


def test_a_region_that_has_no_phone_numbers_is_a_mistake_in_the_settings() -> None:
    with pytest.raises(InvalidInput) as refusal:
        contacts.phone("030 901820", "QQ")
    assert refusal.value.code == "config-invalid"


def test_a_mail_address_is_normalised() -> None:
    assert contacts.email(" Ana.Müller@EXAMPLE.org ") == "Ana.Müller@example.org"
    assert contacts.email("") == ""


@pytest.mark.parametrize(
    "typed",
    [
        *("ana", "ana@", "@example.org", "ana@example", "a b@example.org", "ana@example..org", "x" * 300 + "@a.org"),
        *("a\x00@example.org", "a\udcff@example.org", "\u202eana@example.org", "Ana <ana@example.org>"),
    ],
)
def test_what_is_no_mail_address_is_refused_without_repeating_it(typed: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        contacts.email(typed)
    assert refusal.value.code == "email-invalid"
    assert typed not in refusal.value.message
