"""Text from outside: what is kept, what is refused, how it is shown."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bookcli.core.errors import InvalidInput
from bookcli.core.model.text import clean_name, clean_note, fold, nearest, visible

ANY_TEXT = st.text(st.characters(), max_size=60) | st.text(
    st.sampled_from("aé \n\t\r\0\x1b\x9b\u202e\u2066\u200d\ud800\udc80\u2028ü\u0308'"), max_size=20
)


def _code(call: object, *args: object, **kwargs: object) -> str:
    with pytest.raises(InvalidInput) as caught:
        call(*args, **kwargs)  # type: ignore[operator]
    assert caught.value.details == {"field": kwargs.get("label", "note")}
    return caught.value.code


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Ada \u00a0 Lovelace ", "Ada Lovelace"),
        ("Zoe\u0308", "Zoë"),
        ("محمد علي", "محمد علي"),
        ("דוד\u200f", "דוד\u200f"),
        ("👩\u200d⚕️", "👩\u200d⚕️"),
        ("[/nope] [red]x", "[/nope] [red]x"),
        ("'; DROP TABLE patient; --", "'; DROP TABLE patient; --"),
        ("Ada\n", "Ada"),
    ],
)
def test_an_honest_name_is_kept_in_one_form(typed: str, kept: str) -> None:
    assert clean_name(typed, label="name") == kept


@pytest.mark.parametrize(
    "char", ["\0", "\x1b", "\x07", "\x7f", "\x85", "\x9b", "\n", "\t", "\u202e", "\u2066", "\u2069"]
)
def test_control_characters_are_refused_in_a_name(char: str) -> None:
    assert _code(clean_name, f"Ada{char}Lovelace", label="name") == "text-control-character"


@pytest.mark.parametrize("text", ["", "   ", "\u200b", "\u200d\u200d", "\u00a0"])
def test_a_name_that_shows_nothing_is_empty(text: str) -> None:
    assert _code(clean_name, text, label="name") == "text-empty"


def test_a_lone_surrogate_is_not_text() -> None:
    assert _code(clean_name, "Ada\udc80", label="name") == "text-not-unicode"


def test_the_limit_counts_characters_after_cleaning() -> None:
    assert clean_name(" " + "é" * 200 + " ", label="name") == "é" * 200
    assert clean_name("e\u0301" * 200, label="name") == "é" * 200
    assert _code(clean_name, "é" * 201, label="name") == "text-too-long"
    assert _code(clean_name, "x" * 10_000_000, label="name") == "text-too-long"
    assert _code(clean_name, "Ada", label="code", limit=2) == "text-too-long"


def test_a_note_keeps_its_lines_and_nothing_else() -> None:
    assert clean_note("fasting\r\nsince  8 pm\r\n") == "fasting\nsince 8 pm"
    assert clean_note(" \n ") == ""
    assert _code(clean_note, "a\tb\x1b") == "text-control-character"
    assert _code(clean_note, "x" * 2001) == "text-too-long"


@given(ANY_TEXT)
def test_a_refusal_never_repeats_the_text(text: str) -> None:
    secret = "Lovelace" + text
    try:
        cleaned = clean_name(secret, label="name", limit=12)
    except InvalidInput as problem:
        assert "Lovelace" not in problem.message + problem.hint + repr(problem.details)
    else:
        assert clean_name(cleaned, label="name", limit=12) == cleaned
        assert unicodedata.is_normalized("NFC", cleaned)
        assert len(cleaned.encode()) <= 48
        assert visible(cleaned) == cleaned


@given(ANY_TEXT)
def test_what_is_shown_cannot_steer_the_terminal(text: str) -> None:
    shown = visible(text)
    shown.encode()
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(char) in ("Cc", "Cs") or char in "\u202e\u2066" for char in shown)


def test_control_characters_are_shown_as_pictures() -> None:
    assert visible("\x1b[31m\n\t\x7f\x9b\u202e\udc80é") == "␛[31m␊␉␡\\x9b\\u202e\\udc80é"


@given(ANY_TEXT)
def test_folding_twice_changes_nothing_more(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_accents_and_case_do_not_count() -> None:
    assert fold("CARATOÍRA") == fold("caratoira")
    assert fold("Straße") == fold("STRASSE")
    assert fold("Żółć") == "zolc"


def test_what_was_meant_is_guessed_from_what_was_typed() -> None:
    tests = ["ultrasound", "x-ray", "blood-draw", "MRI", "ECG"]
    assert nearest("ultrasuond", tests) == ["ultrasound"]
    assert nearest("ULT", tests) == ["ultrasound"]
    assert nearest("mri", tests)[0] == "MRI"
    assert nearest("blóod", tests)[0] == "blood-draw"
    assert nearest("zzzz", tests) == []
    assert nearest("", tests) == []
    assert len(nearest("a", [f"a{n}" for n in range(9)])) == 3
