"""Appointment id ↔ reference, what people say on the phone; `reference_of` in schema.sql does the same arithmetic.

The id is scrambled by a bijection of 35 bits, written in Crockford's base 32 and closed with a Luhn mod 32 check
character, so that neighbouring appointments look unlike each other and any one mistyped character is noticed.
"""

from __future__ import annotations

from ..errors import InvalidInput

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MASK = (1 << 35) - 1
_FIRST, _STEP, _SECOND = 22695477, 1640531527, 1103515245
_FIRST_INVERSE = pow(_FIRST, -1, 1 << 35)
_SECOND_INVERSE = pow(_SECOND, -1, 1 << 35)
_AS_TYPED = str.maketrans("abcdefghijklmnopqrstuvwxyzOIL", "ABCDEFGH1JK1MN0PQRSTUVWXYZ011", " \t\r\n-")


def reference_of(appointment_id: int) -> str:
    """The reference of an appointment, e.g. `7F3K-Q2MG`. Raises ValueError outside 1 … 2³⁵-1."""
    if not 0 < appointment_id <= _MASK:
        raise ValueError("an appointment id lies between 1 and 2**35 - 1")
    scrambled = _scramble(appointment_id)
    digits = [scrambled >> shift & 31 for shift in range(30, -1, -5)]
    word = "".join(_ALPHABET[digit] for digit in [*digits, _check_digit(digits)])
    return f"{word[:4]}-{word[4:]}"


def appointment_id_of(text: str) -> int:
    """The appointment id behind a reference as people type it: any case, spaces, no hyphen, O for 0, I or L for 1.

    Raises InvalidInput `reference-invalid` for a wrong length, character or check character.
    """
    word = text.translate(_AS_TYPED) if len(text) <= 64 else ""
    digits = [_ALPHABET.find(char) for char in word]
    if len(digits) != 8 or min(digits) < 0 or _check_digit(digits[:7]) != digits[7]:
        raise _invalid()
    scrambled = 0
    for digit in digits[:7]:
        scrambled = scrambled << 5 | digit
    appointment_id = _unscramble(scrambled)
    if appointment_id == 0:
        raise _invalid()
    return appointment_id


def _scramble(value: int) -> int:
    value = value * _FIRST + _STEP & _MASK
    value ^= value >> 17
    return value * _SECOND & _MASK


def _unscramble(value: int) -> int:
    value = value * _SECOND_INVERSE & _MASK
    value ^= value >> 17 ^ value >> 34
    return (value - _STEP) * _FIRST_INVERSE & _MASK


def _check_digit(digits: list[int]) -> int:
    """Luhn mod 32: from the right every other digit is doubled and its two digits in base 32 are added."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        addend = digit if place % 2 else 2 * digit
        total += addend // 32 + addend % 32
    return -total % 32


def _invalid() -> InvalidInput:
    return InvalidInput(
        "This is not a reference.", hint="check the characters; it looks like 7F3K-Q2MG", code="reference-invalid"
    )
