"""The parameters that several commands share: their names, help and completion, spelled once.

Completion asks the database and is silent when it cannot; it never starts a server.
"""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from ..core.errors import InvalidInput
from ..core.model.appointments import CANCELLATION_REASONS

LARGEST_ID = 2**31 - 1
LONGEST_CODE = 40


def parse_key(text: str) -> uuid.UUID:
    """A request key; a new one for the empty text. Raises InvalidInput."""
    if not text:
        return uuid.uuid4()
    try:
        return uuid.UUID(text)
    except ValueError:
        raise InvalidInput(
            "The request key is not a UUID.",
            hint="It looks like 5f0c1b1e-2b52-4f57-9f4c-9d2f1c9d6a10.",
            code="key-invalid",
        ) from None


def code(text: str) -> str:
    """A site's, test's or resource's code as it was typed: case and surrounding blanks do not count."""
    if len(text) > LONGEST_CODE:
        raise typer.BadParameter(f"a code has at most {LONGEST_CODE} characters.")
    return text.strip().lower()


def reason(text: str) -> str:
    """A cancellation reason. Raises InvalidInput that lists them all."""
    if text not in CANCELLATION_REASONS:
        known = "\n".join(f"  {name:<10}{meaning}" for name, meaning in CANCELLATION_REASONS.items())
        raise InvalidInput("That is not a cancellation reason.", hint=f"One of:\n{known}", code="reason-unknown")
    return text


def complete_sites(incomplete: str) -> list[str]:
    """Codes of sites that begin so."""
    return _complete("site", incomplete)


def complete_tests(incomplete: str) -> list[str]:
    """Codes of tests that begin so."""
    return _complete("test", incomplete)


def complete_references(incomplete: str) -> list[str]:
    """References of appointments that are next and begin so."""
    return _complete("reference", incomplete)


def _complete(kind: str, incomplete: str) -> list[str]:
    from ..core.services import completions  # noqa: PLC0415 - only when a shell asks

    return completions.beginning(kind, incomplete)


Test = Annotated[
    str, typer.Option("--test", metavar="TEST", parser=code, autocompletion=complete_tests, help="Code of the test.")
]
Tests = Annotated[str, typer.Option("--tests", metavar="A+B", help="Codes of the tests, in order: mri+blood.")]
Site = Annotated[
    str,
    typer.Option(
        "--site",
        metavar="SITE",
        parser=code,
        autocompletion=complete_sites,
        help="Code of the site; without it BOOKCLI_SITE, or yours if you have one only.",
    ),
]
Sites = Annotated[
    list[str] | None,
    typer.Option(
        "--site", metavar="SITE", parser=code, autocompletion=complete_sites, help="Code of a site; may be repeated."
    ),
]
Patient = Annotated[str, typer.Option("--patient", metavar="MRN", help="The patient's number, never the name.")]
Slot = Annotated[
    int | None,
    typer.Option("--slot", metavar="SLOT", min=1, max=LARGEST_ID, help="Number of the slot, as `slots` shows it."),
]
At = Annotated[
    str, typer.Option("--at", metavar="WHEN", help="Day and time at the site: 'tomorrow 9:20', '2026-12-01 9:20'.")
]
On = Annotated[str, typer.Option("--on", metavar="DAY", help="A day: tomorrow, mon, +3d, 2026-12-01.")]
Period = Annotated[
    str, typer.Option("--on", metavar="PERIOD", help="A day or period: tomorrow, mon..fri, week, 2026-12.")
]
Key = Annotated[str, typer.Option("--key", metavar="UUID", help="Request key: the same key never books twice.")]
Reference = Annotated[
    str, typer.Argument(metavar="REFERENCE", autocompletion=complete_references, help="As in 7F3K-Q2MG.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Resource = Annotated[str, typer.Option("--resource", metavar="CODE", parser=code, help="Code of the resource.")]
FirstDay = Annotated[str, typer.Option("--from", metavar="DAY", help="First day.")]
LastDay = Annotated[str, typer.Option("--to", metavar="DAY", help="Last day, included.")]
Mrn = Annotated[str, typer.Argument(metavar="MRN", help="The patient's number.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would happen.")]
Reason = Annotated[
    str,
    typer.Option("--reason", metavar="CODE", parser=reason, help="FHIR cancellation reason: pat, prov, maint, other …"),
]
