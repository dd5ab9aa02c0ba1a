"""Phone numbers and mail addresses, text → text; the two libraries that know them are loaded on first use."""

from __future__ import annotations

import re

from ..errors import InvalidInput
from ..model.patients import refused

_AS_TYPED = re.compile(r"\+?[0-9 ()/.-]{1,40}", re.ASCII)


def phone(text: str, region: str = "") -> str:
    """E.164 for a number that starts with + or 00, else the number as typed, tidied; empty stays empty.

    `region` (ISO 3166, `Settings.phone_country`): a number that is valid there becomes E.164 too. Any other number
    without a country is only measured: 3 to 15 digits. Raises InvalidInput `phone-invalid`.
    """
    words = " ".join(text.split())
    if not words:
        return ""
    # The library would read letters as keys of a phone, and pass over what it does not know.
    if not _AS_TYPED.fullmatch(words):
        raise _no_phone()
    if words.startswith(("+", "00")):
        return _international("+" + words.lstrip("+0"))
    if not 3 <= sum(char.isdigit() for char in words) <= 15:
        raise _no_phone()
    return (_national(words, region) if region else "") or words


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


def _no_phone() -> InvalidInput:
    return refused("phone", "phone number", "digits, or the international form such as +49 30 123456")


def _national(words: str, region: str) -> str:
    """E.164, or nothing when it is no number of the country: an extension, an emergency number."""
    import phonenumbers  # noqa: PLC0415 - 60 ms that few commands need

    if region not in phonenumbers.SUPPORTED_REGIONS:
        raise InvalidInput(
            "The setting phone_region is not a country with phone numbers.",
            hint="Correct BOOKCLI_PHONE_REGION.",
            code="config-invalid",
        )
    try:
        number = phonenumbers.parse(words, region)
    except phonenumbers.NumberParseException:
        return ""
    if number.extension or not phonenumbers.is_valid_number_for_region(number, region):
        return ""
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _international(words: str) -> str:
    import phonenumbers  # noqa: PLC0415 - 60 ms that few commands need

    try:
        number = phonenumbers.parse(words, None)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or number.extension or not phonenumbers.is_possible_number(number):
        raise refused("phone", "phone number", "check the country code and the number of digits")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
