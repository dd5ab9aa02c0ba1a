"""Check digits at the end of medical record numbers: whether they are right; the library is loaded on first use.

What must stay true: nothing but the number decides, and it is never part of an error.
"""

from __future__ import annotations

from collections.abc import Callable

_DIGITS = "0123456789"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def holds(check: str, number: str) -> bool:
    """Whether the number ends in the check digits of one of `config.MRN_CHECKS`; `none` holds always.

    luhn is ISO/IEC 7812-1 annex B; mod11-10, mod97-10 (two digits) and mod37-36 are ISO/IEC 7064. All but the last are
    made for digits: letters around them, such as the prefix of a hospital, do not count. Check digits that check
    nothing do not hold.
    """
    if check == "none":
        return True
    known = _DIGITS + _LETTERS if check == "mod37-36" else _DIGITS
    counted = "".join(char for char in number.upper() if char in known)
    return len(counted) > (2 if check == "mod97-10" else 1) and _library(check)(counted)


def _library(check: str) -> Callable[[str], bool]:
    from stdnum import luhn  # noqa: PLC0415 - 30 ms, and only where new numbers have a check digit
    from stdnum.iso7064 import mod_11_10, mod_37_36, mod_97_10  # noqa: PLC0415 - likewise

    found: dict[str, Callable[[str], bool]] = {
        "luhn": luhn.is_valid,
        "mod11-10": mod_11_10.is_valid,
        "mod97-10": mod_97_10.is_valid,
        "mod37-36": mod_37_36.is_valid,
    }
    return found[check]
