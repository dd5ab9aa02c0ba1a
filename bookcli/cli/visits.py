"""`bookcli visit` and `offers`: several tests of one patient, all booked or none, and where they would fit best."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import InvalidInput
from . import params
from .command import Desk

Take = Annotated[
    list[str] | None, typer.Option("--take", metavar="TEST=SLOT", help="A test and its slot; repeat for each test.")
]
Tests = Annotated[str, typer.Option("--tests", metavar="A+B", help="Tests in order, in the first places of a day.")]
AnyPatient = Annotated[
    str, typer.Option("--patient", metavar="MRN", help="Leave out when this patient is engaged; never the name.")
]
Part = Annotated[str, typer.Option("--part", metavar="PART", help="am, pm, evening, 9-12 or 9:00-11:30.")]
Gap = Annotated[int, typer.Option("--gap", min=0, max=480, help="Minutes between two tests at least.")]
First = Annotated[int, typer.Option("--first", min=1, max=50, help="How many offers.")]
InOrder = Annotated[bool, typer.Option("--in-order", help="The tests in the order in which they are named.")]
Hold = Annotated[
    int, typer.Option("--hold", metavar="SECONDS", min=0, max=86400, help="Keep the places so long instead of booking.")
]

if TYPE_CHECKING:
    from ..core.model.offers import Offer


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("visit")(visit)
    app.command("offers")(offers)


def visit(
    desk: Desk,
    patient: params.Patient,
    take: Take = None,
    tests: Tests = "",
    site: params.Site = "",
    on: params.On = "",
    hold: Hold = 0,
    key: params.Key = "",
) -> None:
    """Book several tests for a patient, all or none: each in its slot, or in order in the first free places of a day.

    \b
    Examples:
      bookcli visit --patient P1 --take mri=123 --take blood=456
      bookcli visit --patient P1 --tests blood+mri --site north --on tomorrow
      bookcli visit --patient P1 --take mri=123 --take blood=456 --hold 300
    """
    from ..core.services import appointments, visits  # noqa: PLC0415 - the driver comes after the words are understood
    from . import decisions  # noqa: PLC0415 - likewise

    pairs, names, request_key = _pairs(take or []), _names(tests), params.parse_key(key)
    with decisions.asked(desk, request_key):
        pairs = pairs or visits.offers(desk.context, patient, names, site=site, on=on)
        parts, in_order = visits.requests(patient, pairs), bool(names)
        if hold:
            outcome = appointments.hold_visit(desk.context, parts, request_key, hold, in_order=in_order)
        else:
            outcome = appointments.visit(desk.context, parts, request_key, in_order=in_order)
        decisions.tell(desk, outcome, f"bookcli visit --patient {patient} --take {{test}}={{slot}} …")


def offers(
    desk: Desk,
    tests: params.Tests,
    patient: AnyPatient = "",
    site: params.Sites = None,
    on: params.Period = "",
    part: Part = "",
    gap: Gap = 0,
    first: First = 3,
    in_order: InOrder = False,
) -> None:
    """Find where several tests fit into one visit: the shortest stay first, then the earliest; it promises nothing.

    Tests before which nothing is eaten come before the others.

    \b
    Examples:
      bookcli offers --tests blood+mri --on tue --part am
      bookcli offers --tests mri+blood+ecg --patient P1 --site north --on week --gap 10
    """
    from ..core.services import offers, places  # noqa: PLC0415 - loaded when the words are understood
    from . import views_of_visits as views  # noqa: PLC0415 - likewise

    where = places.search(desk.context, places.Wish("", sites=site or (), on=on, part=part))
    order = offers.Order(timedelta(minutes=gap), in_order)
    found = offers.best(desk.context, offers.Wish(_names(tests), where, patient, order, first))
    desk.output.show(views.OFFERS, [views.offer(n, one) for n, one in enumerate(found, start=1)])
    _comment(desk, found, patient, where.days)


def _comment(desk: Desk, found: list[Offer], patient: str, days: tuple[Any, Any]) -> None:
    if not found:
        desk.talk.note(
            f"All of it fits into no day of one site from {days[0]} to {days[1]}. Try other days or fewer tests."
        )
    elif patient:
        takes = " ".join(f"--take {test}={slot}" for test, slot in found[0].takes)
        desk.talk.suggest(f"bookcli visit --patient {patient} {takes}")


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
    return [params.code(word) for word in re.split(r"[+,\s]+", tests) if word]
