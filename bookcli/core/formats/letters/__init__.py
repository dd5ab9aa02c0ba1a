"""Writes the words of a message from a template: the clinic's own, or those beside this file.

What must stay true: a template can only say what it is given (a sandbox), a name that it misspells is an error and
not an empty line; the first line of an e-mail is its subject, and in HTML every value is text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
import jinja2.sandbox

from ... import clock
from ...errors import InvalidInput
from ...model.messages import LANGUAGES, Outgoing

_HERE = Path(__file__).parent
_DAYS = {
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
    "de": ("Montag", "Dienstag", "Mittwoch", "Donnerstag", "Freitag", "Samstag", "Sonntag"),
}
_MONTHS = {
    "en": (
        *("January", "February", "March", "April", "May", "June"),
        *("July", "August", "September", "October", "November", "December"),
    ),
    "de": (
        *("Januar", "Februar", "März", "April", "Mai", "Juni"),
        *("Juli", "August", "September", "Oktober", "November", "Dezember"),
    ),
}


def language_of(wanted: str) -> str:
    """The language that is written for somebody: theirs, if there are templates in it, else English."""
    primary = wanted.lower().replace("_", "-").partition("-")[0]
    return primary if primary in LANGUAGES else "en"


@dataclass(frozen=True, slots=True)
class Words:
    """What an e-mail says: its subject, its text, and the same in HTML."""

    subject: str
    text: str
    html: str


def write(rows: Sequence[Outgoing], own: Path) -> Words:
    """The e-mail about these appointments, which are of one patient and one kind.

    `own` is the directory of the clinic's templates, named `KIND.LANGUAGE.txt`, and `KIND.LANGUAGE.html` for an HTML
    part that is more than the text in HTML. Raises InvalidInput `template-invalid`.
    """
    language, named = language_of(rows[0].language), _values(rows)
    words = _rendered(own, f"{rows[0].kind}.{language}.txt", named)
    subject, _, text = words.strip().partition("\n")
    subject, text = " ".join(subject.removeprefix("Subject:").split()), text.strip() + "\n"
    named |= {"subject": subject, "text": text, "language": language, "paragraphs": _paragraphs(text)}
    return Words(subject, text, _rendered(own, f"{rows[0].kind}.{language}.html", named, "letter.html"))


def write_short(rows: Sequence[Outgoing], own: Path) -> str:
    """The same as one line for a text message, from `KIND.LANGUAGE.sms.txt`. Raises as `write`."""
    name = f"{rows[0].kind}.{language_of(rows[0].language)}.sms.txt"
    return " ".join(_rendered(own, name, _values(rows)).split())


def _rendered(own: Path, name: str, values: Mapping[str, Any], default: str = "") -> str:
    try:
        return _environment(own).select_template([name, default or name]).render(values)
    except (jinja2.TemplateError, UnicodeDecodeError, TypeError, ArithmeticError, LookupError) as problem:
        # Not what the template was given: that is a patient.
        where = f", line {problem.lineno}" if isinstance(problem, jinja2.TemplateSyntaxError) else ""
        raise InvalidInput(
            f"The template {name} cannot be used: {type(problem).__name__}{where}.",
            hint=f"Correct it in {own}, or remove it: bookcli has its own.",
            code="template-invalid",
        ) from None


def _values(rows: Sequence[Outgoing]) -> dict[str, Any]:
    """What every template may use. `tests` is empty unless the site lets them be named where others may see it."""
    first, language = rows[0], language_of(rows[0].language)
    return {
        "appointments": [_shown(row, language) for row in rows],
        "patient": first.patient_name,
        "site": first.site_name,
        "phone": first.site_phone,
        "tests": ", ".join(row.test_name for row in rows) if first.names_test else "",
        "until": _until(first, language),
        "prepare": any(row.preparation for row in rows) and first.kind not in ("cancellation", "refusal"),
    }


def _paragraphs(text: str) -> list[dict[str, Any]]:
    """The paragraphs as their lines; `inset` are those that the text sets off, such as an appointment."""
    blocks = [block.splitlines() for block in re.split(r"\n\s*\n", text.strip("\n"))]
    return [{"lines": [line.strip() for line in lines], "inset": lines[0][:2] == "  "} for lines in blocks if lines]


def _shown(row: Outgoing, language: str) -> dict[str, Any]:
    start, end = clock.to_local(row.starts_at, row.zone), clock.to_local(row.ends_at, row.zone)
    day, month = _DAYS[language][start.weekday()], _MONTHS[language][start.month - 1]
    dot = "." if language == "de" else ""
    return {
        "reference": row.reference,
        "test": row.test_name,
        "preparation": row.preparation,
        "site": row.site_name,
        "day": f"{day}, {start.day}{dot} {month} {start.year}",
        "short": _short_day(start, language),
        "start": f"{start:%H:%M}",
        "end": f"{end:%H:%M}",
        "zone": f"{row.zone}, UTC{start.isoformat()[-6:]}" if _comes_twice(start) else row.zone,
    }


def _until(row: Outgoing, language: str) -> str:
    """The end of an offer, as the clocks of the site show it."""
    if row.held_until is None:
        return ""
    local = clock.to_local(row.held_until, row.zone)
    return f"{_short_day(local, language)} {local:%H:%M}"


def _short_day(local: datetime, language: str) -> str:
    day, month = _DAYS[language][local.weekday()], _MONTHS[language][local.month - 1]
    return f"{day[:2]} {local.day}. {month[:3]}" if language == "de" else f"{day[:3]} {local.day} {month[:3]}"


def _comes_twice(local: datetime) -> bool:
    """Whether the clocks show this time twice on its day, so that it must be said which is meant."""
    return local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


@lru_cache(maxsize=4)
def _environment(own: Path) -> jinja2.Environment:
    return jinja2.sandbox.SandboxedEnvironment(
        loader=jinja2.FileSystemLoader([own, _HERE]),
        undefined=jinja2.StrictUndefined,
        # Plain text is sent as plain text; a template in HTML has its values escaped.
        autoescape=jinja2.select_autoescape(default_for_string=False),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
    )
