"""Codes, numbers and flags of the catalog."""

from __future__ import annotations

import pytest

from bookcli.core.errors import InvalidInput
from bookcli.core.model import catalog
from bookcli.core.model.text import slug


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("MRI (Kontrast) 2", "mri-kontrast-2"),
        ("Çağrı Kliniği", "cagri-klinigi"),
        ("日本", ""),
        ("a" * 39 + " b", "a" * 39),
    ],
)
def test_a_code_is_made_from_a_name(name: str, code: str) -> None:
    assert slug(name) == code


def test_a_code_that_is_typed_wins_over_the_name() -> None:
    assert catalog.code_of(" MRI-1 ", "Magnet") == "mri-1"
    assert catalog.code_of("", "Magnet 1") == "magnet-1"


@pytest.mark.parametrize(("code", "name"), [("", ""), ("", "日本"), ("-a", ""), ("a b", ""), ("a" * 41, ""), ("ü", "")])
def test_what_is_no_code_is_refused(code: str, name: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        catalog.code_of(code, name)
    assert refusal.value.code == "code-invalid"


@pytest.mark.parametrize("text", ["", "0", "1441", "ten", "-5", "1.5", "٣", "9" * 40])
def test_a_number_outside_its_bounds_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="between 1 and 1440"):
        catalog.checked_number("duration_minutes", text, catalog.TEST_NUMBERS["duration_minutes"])


def test_a_flag_is_yes_or_no() -> None:
    assert [catalog.checked_flag("active", text) for text in ("Yes", "0", "FALSE", "on")] == [True, False, False, True]
    with pytest.raises(InvalidInput):
        catalog.checked_flag("active", "perhaps")
