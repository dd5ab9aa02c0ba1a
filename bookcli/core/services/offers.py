"""Offers for a whole visit: reads what is free as every search does, and never decides what is booked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from ..context import Context
from ..errors import InvalidInput
from ..model import offers as ways
from ..model.catalog import Test
from ..model.offers import Offer as Offer
from ..model.offers import Order as Order
from ..model.slots import Search
from . import availability, catalog, patients, pending, suggestions

MOST_TESTS = 8
MOST_SLOTS = 20_000
MOST_STARTS = 100
_NOT_KNOWN = "Nothing was kept: with --take TEST=SLOT a visit would be."
Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a visit should be: `where` says when and at which sites (its own test does not count).

    `patient` is a number or empty: then nobody's other appointments stand in the way.
    """

    tests: Sequence[str]
    where: Search
    patient: str = ""
    order: Order = ways.AS_SHORT_AS_CAN_BE
    most: int = 3


def best(context: Context, wish: Wish, theirs: Iterable[Facts] | None = None) -> list[Offer]:
    """The best visits, the shortest stay first and the earliest of equals; each at one site on one of its days.

    `theirs` is all that the patient has, as `patients.appointments` says it; it is asked for where it is not given.
    Raises NotFound for an unknown test, site or patient; InvalidInput; Unavailable.
    """
    if not 1 <= len(wish.tests) <= MOST_TESTS:
        raise InvalidInput(
            f"A visit is offered for 1 to {MOST_TESTS} tests.", hint="Name them: --tests blood+mri", code="visit-size"
        )
    with pending.nothing_kept(_NOT_KNOWN):
        rules = rules_of_tests(context, wish.tests)
        if theirs is None:
            theirs = patients.appointments(context, wish.patient, past=True) if wish.patient else ()
        engaged = [ways.Engaged(one["test"], one["starts_at"], one["ends_at"]) for one in theirs if one["active"]]
        free = [
            slot
            for test in rules
            for slot in availability.look(context, replace(wish.where, test=test, most=MOST_SLOTS)).slots
        ]
        return ways.best(wish.tests, free, rules, engaged=engaged, order=wish.order, most=wish.most)


def around(
    context: Context, wish: Wish, slot: int, start: datetime, theirs: Iterable[Facts] | None = None
) -> list[Offer]:
    """The best visit of which a test starts in a slot, if there is one, and then those that begin nearest to `start`.

    At most `wish.most` and that one. Raises as `best`.
    """
    found = best(context, replace(wish, most=MOST_STARTS), theirs)
    here = [one for one in found if any(part.slot_id == slot for part in one.parts)]
    nearest = sorted((one for one in found if one not in here[:1]), key=lambda one: abs(one.start - start))
    return [*here[:1], *sorted(nearest[: wish.most], key=lambda one: one.start)]


def rules_of_tests(context: Context, wanted: Sequence[str]) -> dict[str, ways.Rules]:
    """What of each test matters for its place. Raises NotFound for an unknown one, with the nearest codes."""
    known = {test.code: test for test in catalog.tests(context)}
    for test in wanted:
        if test not in known:
            suggestions.check("test", test, list(known))
    return {test: _rules_of(known[test]) for test in wanted}


def _rules_of(test: Test) -> ways.Rules:
    return ways.Rules(
        timedelta(minutes=test.duration_minutes),
        timedelta(minutes=test.buffer_before_minutes),
        timedelta(minutes=test.buffer_after_minutes),
        timedelta(days=test.min_interval_days),
        test.fasting == "yes" or (test.fasting == "words" and ways.wants_fasting(test.preparation)),
    )
