"""Writes the words of a message from a template: the clinic's own, or those beside this file.

What must stay true: a template can only say what it is given (a sandbox), a name that it misspells is an error and
not an empty line, and its first line is the subject.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def write(rows: Sequence[Outgoing], own: Path) -> tuple[str, str]:
    """(subject, text) of the message about these appointments, which are of one patient and one kind.

    `own` is the directory of the clinic's templates, named `KIND.LANGUAGE.txt`. Raises InvalidInput `template-invalid`.
    """
    language = language_of(rows[0].language)
    name = f"{rows[0].kind}.{language}.txt"
    try:
        template = _environment(own).get_template(name)
        words = template.render(
            appointments=[_shown(row, language) for row in rows],
            patient=rows[0].patient_name,
            site=rows[0].site_name,
            phone=rows[0].site_phone,
        )
    except (jinja2.TemplateError, UnicodeDecodeError, TypeError) as problem:
        # Not what the template was given: that is a patient.
        where = f", line {problem.lineno}" if isinstance(problem, jinja2.TemplateSyntaxError) else ""
        raise InvalidInput(
            f"The template {name} cannot be used: {type(problem).__name__}{where}.",
            hint=f"Correct it in {own}, or remove it: bookcli has its own.",
            code="template-invalid",
        ) from None
    subject, _, text = words.strip().partition("\n")
    return " ".join(subject.removeprefix("Subject:").split()), text.strip() + "\n"


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
        "start": f"{start:%H:%M}",
        "end": f"{end:%H:%M}",
        "zone": row.zone,
    }


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
