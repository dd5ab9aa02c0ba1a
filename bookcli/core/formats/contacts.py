"""Phone numbers and mail addresses, text → text; the two libraries that know them are loaded on first use."""

from __future__ import annotations

import re

from ..model.patients import refused

_AS_TYPED = re.compile(r"[0-9 ()/.-]+", re.ASCII)


def phone(text: str) -> str:
    """E.164 for a number that starts with + or 00, else the number as typed, tidied; empty stays empty.

    Raises InvalidInput `phone-invalid`. A number without a country is only measured: 3 to 15 digits.
    """
    words = " ".join(text.split())
    if not words:
        return ""
    if words.startswith(("+", "00")):
        return _international("+" + words.lstrip("+0"))
    digits = sum(char.isdigit() for char in words)
    if not _AS_TYPED.fullmatch(words) or not 3 <= digits <= 15 or len(words) > 40:
        raise refused("phone", "phone number", "digits, or the international form such as +49 30 123456")
    return words


def email(text: str) -> str:
    """The address in its normal form; empty stays empty. Raises InvalidInput `email-invalid`; nothing is looked up."""
    words = text.strip()
    if not words:
        return ""
    from email_validator import EmailNotValidError, validate_email  # noqa: PLC0415 - 40 ms that few commands need

    try:
        return validate_email(words, check_deliverability=False, test_environment=False).normalized
    except EmailNotValidError:
        raise refused("email", "mail address", "it looks like name@example.org") from None


def _international(words: str) -> str:
    import phonenumbers  # noqa: PLC0415 - 60 ms that few commands need

    try:
        number = phonenumbers.parse(words, None)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or number.extension or not phonenumbers.is_possible_number(number):
        raise refused("phone", "phone number", "check the country code and the number of digits")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
