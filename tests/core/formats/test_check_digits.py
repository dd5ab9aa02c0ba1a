"""Check digits: published numbers hold, and one wrong digit or two that changed places are seen."""

from __future__ import annotations

import pytest

from bookcli.core.config import MRN_CHECKS
from bookcli.core.formats.check_digits import holds

PUBLISHED = {
    "luhn": ["79927398713", "4539 1488 0343 6467".replace(" ", "")],
    "mod11-10": ["07945", "002006673085"],
    "mod97-10": ["79444"],
    "mod37-36": ["A12425GABC1234002M"],
}
"""Examples of the standards, and of the registries that use them."""


def test_every_check_there_is_has_examples() -> None:
    assert {"none", *PUBLISHED} == set(MRN_CHECKS)


@pytest.mark.parametrize(("check", "number"), [(check, number) for check in PUBLISHED for number in PUBLISHED[check]])
def test_a_published_number_holds_and_no_digit_of_it_can_be_another(check: str, number: str) -> None:
    assert holds(check, number)
    for place, digit in enumerate(number):
        for other in set("0123456789") - {digit}:
            if digit.isdigit():
                assert not holds(check, number[:place] + other + number[place + 1 :])


@pytest.mark.parametrize("check", ["mod97-10", "luhn"])
def test_two_neighbours_that_changed_places_are_seen(check: str) -> None:
    number = PUBLISHED[check][0]
    for place in range(len(number) - 1):
        one, other = number[place : place + 2]
        # Luhn cannot tell 09 from 90.
        if one != other and {one, other} != {"0", "9"}:
            assert not holds(check, number[:place] + other + one + number[place + 2 :])


@pytest.mark.parametrize(
    ("check", "number"),
    [("luhn", "H-7992739871/3"), ("mod97-10", "HOSPITAL.794-44"), ("mod37-36", "a1-2425gabc1234002m")],
)
def test_separators_a_prefix_and_case_do_not_count(check: str, number: str) -> None:
    assert holds(check, number)


@pytest.mark.parametrize("check", sorted(PUBLISHED))
@pytest.mark.parametrize("number", ["0", "1", "-", ""])
def test_a_check_digit_alone_holds_nothing(check: str, number: str) -> None:
    assert not holds(check, number)
    assert holds("none", number)
