"""Settings that have a form of their own: one clear sentence when they do not have it, and the value is not needed."""

from __future__ import annotations

import pytest

from bookcli.core.config import Settings
from bookcli.core.errors import InvalidInput


def test_settings_as_they_are_by_default_are_in_order() -> None:
    Settings().check()
    assert Settings().mrn_regex is None
    assert not Settings().mrn_must_be_typed


def test_a_pattern_is_compiled_once() -> None:
    settings = Settings(mrn_pattern="[0-9]+")
    assert settings.mrn_regex is settings.mrn_regex is not None


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("deadline", "soon"),
        *(("warm_days", text) for text in ("two", "-1", "401", "1.5")),
        *(("publish_days", text) for text in ("", "731", "²")),
        *(("mrn_pattern", text) for text in ("(", "[0-9]*", "(|x)", "a{9999999999}", "x" * 201)),
        *(("mrn_check", text) for text in ("verhoeff", "mod 97")),
        *(("phone_region", text) for text in ("Germany", "D3", "+49")),
    ],
)
def test_a_setting_that_cannot_be_used_is_named_in_one_sentence(setting: str, text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        Settings(**{setting: text}).check()
    assert refusal.value.code == "config-invalid"
    assert refusal.value.message.startswith(f"The setting {setting} must ")
    assert refusal.value.message.count(".") == 1
    assert refusal.value.hint == f"Correct BOOKCLI_{setting.upper()}."


@pytest.mark.parametrize("check", ["luhn", "LUHN ", "mod97-10"])
def test_a_check_digit_means_that_numbers_must_be_typed(check: str) -> None:
    settings = Settings(mrn_check=check)
    settings.check()
    assert settings.mrn_must_be_typed
