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
    "typed", ["12", "+", "+49", "+999 123456", "call me", "030 90;DROP", "1" * 16, "+4930901820 ext 5"]
)
def test_what_is_no_phone_number_is_refused_without_repeating_it(typed: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        contacts.phone(typed)
    assert refusal.value.details == {"field": "phone"}
    assert typed not in refusal.value.message


def test_a_mail_address_is_normalised() -> None:
    assert contacts.email(" Ana.Müller@EXAMPLE.org ") == "Ana.Müller@example.org"
    assert contacts.email("") == ""


@pytest.mark.parametrize("typed", ["ana", "ana@", "@example.org", "ana@example", "a b@example.org", "ana@example..org"])
def test_what_is_no_mail_address_is_refused_without_repeating_it(typed: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        contacts.email(typed)
    assert refusal.value.code == "email-invalid"
    assert typed not in refusal.value.message
