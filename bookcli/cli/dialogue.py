"""What must not be an argument, asked for on a terminal and read from stdin elsewhere: names, dates of birth, phones.

What must stay true: arguments are seen by everybody on the machine and kept in the shell's history, so none of this is
ever one of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial

from ..core.errors import InvalidInput
from . import diagnostics
from .command import Desk

LABELS = {
    "name": "Name",
    "birth_date": "Date of birth",
    "sex": "Sex (female, male, other, unknown)",
    "phone": "Phone",
    "email": "E-mail",
    "language": "Language (de, pt-BR)",
    "channel": "Messages by (email, sms, none)",
    "consent": "Consent to messages (given, declined)",
    "note": "Note",
}
MOST_BYTES = 65_536
Check = Callable[[str, str], object]
"""Of a field and what was typed; raises InvalidInput when that cannot stand there."""


def fields(desk: Desk, check: Check, current: Mapping[str, object] | None = None) -> dict[str, str]:
    """A patient's fields: answers to questions, or the JSON object or `key=value` lines on stdin.

    An answer that `check(field, answer)` refuses is asked for again. With `current` an empty answer keeps what is
    there and `-` empties it. Raises InvalidInput.
    """
    if not diagnostics.interactive():
        return understood(_piped())
    answers = {}
    for name, label in LABELS.items():
        known = str((current or {}).get(name) or "")
        typed = answer(desk, f"{label} [{known}]:" if known else f"{label}:", partial(_kept_or, check, name, current))
        if typed or not current:
            answers[name] = "" if typed == "-" else typed
    return answers


def _kept_or(check: Check, name: str, current: Mapping[str, object] | None, typed: str) -> None:
    if typed or not current:
        check(name, "" if typed == "-" else typed)


def answer(desk: Desk, question: str, check: Callable[[str], object]) -> str:
    """The answer to a question, which is asked again, after why, as long as `check` refuses it."""
    while True:
        typed = desk.talk.ask(question).strip()
        try:
            check(typed)
        except InvalidInput as problem:
            if "field" not in problem.details:  # a setting is wrong, whatever is typed
                raise
            hint = problem.hint if problem.hint[:1].islower() else ""
            desk.talk.warn(f"{problem.message.removesuffix('.')}: {hint}." if hint else problem.message)
        else:
            return typed


def line(desk: Desk, question: str) -> str:
    """One line: the answer to a question, or the first line on stdin."""
    if diagnostics.interactive():
        return desk.talk.ask(question)
    return _piped().partition("\n")[0]


def name(desk: Desk, instead: str) -> str:
    """Somebody's name to sign in with, asked for. Raises InvalidInput where stdin is the password."""
    if not diagnostics.interactive():
        raise InvalidInput("Whose password it is must be said.", hint=instead, code="name-missing")
    return desk.talk.ask("Name:")


class Secrets:
    """Passwords: asked for on a terminal, unseen; elsewhere the lines of stdin, in order. Never arguments."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._lines = None if diagnostics.interactive() else _lines(_piped())

    def ask(self, question: str, *, twice: bool = False) -> str:
        """One password; a new one is asked for `twice`. Raises InvalidInput when there is no line, or both differ."""
        if self._lines is not None:
            if not self._lines:
                raise InvalidInput("The input ended before the password.", hint="one line each", code="input-ended")
            return self._lines.pop(0)
        password = self._desk.talk.ask_secretly(question)
        if twice and self._desk.talk.ask_secretly("The same again:") != password:
            raise InvalidInput("The two passwords differ.", hint="Nothing was changed.", code="passwords-differ")
        return password


def _lines(text: str) -> list[str]:
    """The lines without their ends; nothing else that Unicode calls a line ends one."""
    return [row.removesuffix("\r") for row in text.removesuffix("\n").split("\n")] if text else []


def understood(text: str) -> dict[str, str]:
    """The fields in a JSON object or in `key=value` lines. Raises InvalidInput, never with a value in it."""
    if text.lstrip().startswith("{"):
        import json  # noqa: PLC0415 - only for this form

        try:
            content = json.loads(text)
        except ValueError:
            raise InvalidInput("The input is not a JSON object.", code="input-unclear") from None
        if not all(value is None or isinstance(value, str | int) for value in content.values()):
            raise InvalidInput("Every field of the JSON object must be text.", code="input-unclear")
        pairs = [(name, "" if value is None else str(value)) for name, value in content.items()]
    else:
        pairs = [(name.strip(), value.strip()) for name, _, value in (row.partition("=") for row in _rows(text))]
    unknown = [name for name, _ in pairs if name not in LABELS and name != "mrn"]
    if unknown or not pairs:
        what = "The input has a field that patients do not have." if unknown else "There is no input."
        raise InvalidInput(what, hint="Known fields: mrn, " + ", ".join(LABELS), code="input-unclear")
    return dict(pairs)


def _rows(text: str) -> list[str]:
    rows = [row for row in text.splitlines() if row.strip()]
    if not all("=" in row for row in rows):
        raise InvalidInput(
            "The input is neither a JSON object nor key=value lines.", hint="For example: name=…", code="input-unclear"
        )
    return rows


def _piped() -> str:
    if sys.stdin is None:
        return ""
    if sys.stdin.isatty():
        raise InvalidInput(
            "Nobody can be asked here.", hint="Pipe it in, or unset BOOKCLI_NO_INPUT.", code="input-ended"
        )
    content = sys.stdin.buffer.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise InvalidInput("The input is too long.", hint=f"At most {MOST_BYTES} bytes.", code="text-too-long")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidInput("The input is not UTF-8 text.", code="text-not-unicode") from None
