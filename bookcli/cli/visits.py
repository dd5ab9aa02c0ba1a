"""`bookcli visit`: several tests of one patient, all booked or none."""

from __future__ import annotations

from typing import Annotated

import typer

from ..core.errors import InvalidInput
from . import params
from .command import Desk

Take = Annotated[
    list[str] | None, typer.Option("--take", metavar="TEST=SLOT", help="A test and its slot; repeat for each test.")
]
Tests = Annotated[str, typer.Option("--tests", metavar="A+B", help="Tests in order, in the first places of a day.")]


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("visit")(visit)


def visit(
    desk: Desk,
    patient: params.Patient,
    take: Take = None,
    tests: Tests = "",
    site: params.Site = "",
    on: params.On = "",
    key: params.Key = "",
) -> None:
    """Book several tests for a patient, all or none: each in its slot, or in order in the first free places of a day.

    \b
    Examples:
      bookcli visit --patient P1 --take mri=123 --take blood=456
      bookcli visit --patient P1 --tests blood+mri --site north --on tomorrow
    """
    from ..core.services import appointments, visits  # noqa: PLC0415 - the driver comes after the words are understood
    from . import decisions  # noqa: PLC0415 - likewise

    pairs, names, request_key = _pairs(take or []), _names(tests), params.parse_key(key)
    with decisions.asked(desk, request_key):
        pairs = pairs or visits.offers(desk.context, patient, names, site=site, on=on)
        outcome = appointments.visit(desk.context, visits.requests(patient, pairs), request_key, in_order=bool(names))
        decisions.tell(desk, outcome, f"bookcli visit --patient {patient} --take {{test}}={{slot}} …")


def _pairs(take: list[str]) -> list[tuple[str, int]]:
    pairs = []
    for words in take:
        test, _, slot = words.partition("=")
        if not (test.strip() and slot.isascii() and slot.isdigit() and 0 < len(slot) < 10):
            raise InvalidInput(
                "A part of the visit is not TEST=SLOT.", hint="For example: --take mri=123", code="usage"
            )
        pairs.append((params.code(test), int(slot)))
    return pairs


def _names(tests: str) -> list[str]:
    return [params.code(word) for word in tests.replace(",", "+").split("+") if word.strip()]
