"""What may be a name to sign in with, a role and a password; no message repeats what was typed."""

from __future__ import annotations

import pytest

from bookcli.core.errors import InvalidInput
from bookcli.core.model.staff import ROLES, Stretching, checked_name, checked_role, new_password, normal_password


@pytest.mark.parametrize(
    ("typed", "name"), [(" A.Moreno ", "a.moreno"), ("x", "x"), ("night-import_2", "night-import_2"), ("9", "9")]
)
def test_a_name_is_lower_case(typed: str, name: str) -> None:
    assert checked_name(typed) == name


@pytest.mark.parametrize("typed", ["", " ", ".a", "a-", "a b", "ä", "a" * 41, "a\nb", "a\x00", "../a", "α", "a\n."])
def test_what_cannot_be_a_name_is_not_repeated(typed: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        checked_name(typed)
    assert refused.value.code == "staff-name-invalid"
    assert not typed.strip() or typed not in refused.value.message


def test_a_role_is_one_of_four_and_a_near_one_is_offered() -> None:
    assert [checked_role(f" {role.upper()}") for role in ROLES] == list(ROLES)
    with pytest.raises(InvalidInput) as refused:
        checked_role("manger")
    assert "manager" in refused.value.hint


def test_two_keyboards_make_the_same_password() -> None:
    assert normal_password("Zu\u0308rich \ufb01ve") == normal_password("Z\u00fcrich five")
    assert normal_password(" blanks count ") == " blanks count "


@pytest.mark.parametrize("typed", ["", "x" * 1025, "\ud800 lone half"])
def test_what_cannot_be_a_password_is_not_repeated(typed: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        normal_password(typed)
    assert refused.value.code == "password-invalid"
    assert not typed or typed not in str(refused.value) + refused.value.hint


@pytest.mark.parametrize(
    "typed", ["ten chars!", "four words are best", "ünïcödé ok", "abcde" * 51, "a.moreno and more"]
)
def test_a_long_password_is_taken(typed: str) -> None:
    assert new_password(typed, "a.moreno") == typed


@pytest.mark.parametrize(
    "typed", ["nine char", "aaaaaaaaaaaa", "abababababab", "a.moreno-123", "A.MORENO12", "x" * 257]
)
def test_a_password_that_is_easy_to_guess_is_refused(typed: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        new_password(typed, "a.moreno")
    assert typed not in refused.value.message + refused.value.hint


def test_stretching_is_weaker_when_any_cost_is() -> None:
    ours = Stretching(b"", 2, 65536, 1)
    assert not ours.weaker_than(ours)
    assert not ours.weaker_than(Stretching(b"", 1, 8192, 1))
    for more in (Stretching(b"", 3, 8192, 1), Stretching(b"", 1, 65537, 1), Stretching(b"", 1, 8192, 2)):
        assert ours.weaker_than(more)
