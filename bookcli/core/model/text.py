"""The one validator of text from outside, and the one way to show it; no message here repeats the text itself."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from ..errors import InvalidInput

# Embeddings, overrides and isolates reorder what is read on a screen. The marks U+200E, U+200F and the joiners
# U+200C, U+200D stay allowed: right-to-left names and emoji need them.
_BIDI = "\u202a-\u202e\u2066-\u2069"
_SURROGATE = re.compile("[\ud800-\udfff]")
_FORBIDDEN = re.compile(f"[\x00-\x1f\x7f-\x9f{_BIDI}]")
_FORBIDDEN_IN_NOTE = re.compile(f"[\x00-\x09\x0b-\x1f\x7f-\x9f{_BIDI}]")
_INVISIBLE = re.compile(f"[\x00-\x1f\x7f-\x9f{_BIDI}\u2028\u2029\ud800-\udfff]")
_EDGES = " \t\r\n"
# Letters of their own, which Unicode does not take apart; those of names here, written as `app.fold` writes them.
_LETTERS = str.maketrans(
    {"æ": "ae", "ð": "d", "ø": "o", "þ": "th", "đ": "d", "ħ": "h", "ı": "i", "ł": "l", "ŋ": "n", "œ": "oe", "ŧ": "t"}
)


def clean_name(text: str, *, label: str, limit: int = 200) -> str:
    """One line of text in NFC, trimmed, inner white space collapsed, of 1 to `limit` characters.

    A character is at most 4 bytes of UTF-8, so the limit bounds the bytes too. Raises InvalidInput `text-too-long`,
    `text-control-character`, `text-not-unicode` or `text-empty` with `details={"field": label}`.
    """
    _check(text, label, limit, _FORBIDDEN)
    cleaned = " ".join(unicodedata.normalize("NFC", text).split())
    return _bounded(cleaned, label, limit)


def clean_note(text: str, *, label: str = "note", limit: int = 2000) -> str:
    """Like `clean_name`, but lines are kept (ended by `\\n`), and an empty note is allowed."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    _check(text, label, limit, _FORBIDDEN_IN_NOTE)
    lines = (" ".join(line.split()) for line in unicodedata.normalize("NFC", text).split("\n"))
    cleaned = "\n".join(lines).strip()
    return _bounded(cleaned, label, limit) if cleaned else ""


def visible(text: str) -> str:
    """The text on one line with every control, bidi control and lone surrogate shown instead of obeyed.

    C0 controls become their pictures (`␛`, `␊`), everything else an escape such as `\\x9b` or `\\u202e`.
    """
    return _INVISIBLE.sub(lambda found: _picture(ord(found[0])), text)


def fold(text: str) -> str:
    """The text with accents and case ignored, for comparing what people type; `Ł` is an `l`, as in the database."""
    return _plain(_plain(text))


def slug(text: str) -> str:
    """A code made from a name: `MRI (Kontrast) 2` → `mri-kontrast-2`; empty when no letter of it is Latin."""
    return re.sub("[^a-z0-9]+", "-", fold(text)).strip("-")[:40].rstrip("-")


def nearest(word: str, words: Iterable[str], n: int = 3) -> list[str]:
    """Up to `n` of `words` that were probably meant by `word`, best first; accents and case do not count."""
    import difflib  # noqa: PLC0415 - only to explain a failure

    folded: dict[str, list[str]] = {}
    for candidate in dict.fromkeys(words):
        folded.setdefault(fold(candidate), []).append(candidate)
    wanted = fold(word[:64])
    begun = [key for key in folded if wanted and key.startswith(wanted)]
    close = difflib.get_close_matches(wanted, folded, n=max(n, 1))
    keys = dict.fromkeys([*(key for key in close if key == wanted), *begun, *close])
    return [candidate for key in keys for candidate in folded[key]][:n]


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(char for char in decomposed if not unicodedata.combining(char)).translate(_LETTERS)


def _picture(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _check(text: str, label: str, limit: int, forbidden: re.Pattern[str]) -> None:
    # Before normalising, which costs far more than counting; NFC and trimming shorten honest text much less than this.
    if len(text) > 8 * limit:
        raise _too_long(label, limit)
    if _SURROGATE.search(text):
        raise _refusal(label, "is not valid Unicode", "text-not-unicode", "check the encoding it was typed or saved in")
    if forbidden.search(text.strip(_EDGES)):
        raise _refusal(label, "contains a control character", "text-control-character", "type it again by hand")


def _bounded(text: str, label: str, limit: int) -> str:
    if not any(unicodedata.category(char)[0] in "LNPS" for char in text):
        raise _refusal(label, "is empty", "text-empty", "")
    if len(text) > limit:
        raise _too_long(label, limit)
    return text


def _too_long(label: str, limit: int) -> InvalidInput:
    return _refusal(label, "is too long", "text-too-long", f"at most {limit} characters")


def _refusal(label: str, what: str, code: str, hint: str) -> InvalidInput:
    return InvalidInput(f"The {label} {what}.", hint=hint, code=code, details={"field": label})
