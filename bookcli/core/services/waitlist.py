"""The waiting list: who is offered a place when one becomes free, and the offers.

What must stay true: a place that is offered is held for whom it is offered to, so that whoever calls in time gets it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ..context import Context
from ..db import kernel
from ..db import waitlist as queries
from ..errors import InvalidInput, NotFound
from ..model.appointments import sentence
from ..model.patients import may_be_mrn
from . import availability_changes, notifications, places, suggestions
from .attempts import until_known

LONGEST = timedelta(days=365)
USUALLY = "+60d"
MOST_OFFERS = 50


def add(context: Context, mrn: str, test: str, wish: places.Wish) -> tuple[str, int]:
    """(added or changed, the number of the turn): somebody waits for a test at the first site of `wish`, on its days.

    Without days the next 60. Raises InvalidInput, NotFound.
    """
    site = places.own_site(context, next(iter(wish.sites), ""))
    unsaid = not (wish.on or wish.last_day)
    first = wish.first_day or ("today" if unsaid or wish.last_day else "")
    first_day, last_day = places.days(context, [site], wish.on, first, USUALLY if unsaid else wish.last_day)
    if last_day - first_day > LONGEST:
        raise InvalidInput("Nobody waits for more than a year.", hint="Name an earlier --to.", code="period-too-long")
    suggestions.check("test", test, kernel.codes(context.connection(), "test"))
    number = mrn.strip()
    if not may_be_mrn(number):
        raise _unknown("patient-unknown")
    days = (first_day, last_day)
    verdict, turn = until_known(lambda: queries.add(context.connection(), number, test, site, days))
    if turn is None:
        raise _unknown(verdict)
    return verdict, turn


def list_(context: Context, *, site: str = "", test: str = "") -> list[dict[str, Any]]:
    """Rows of `app.waitlist`, in the order in which they are offered places. The look is audited. Raises NotFound."""
    for kind, code in (("site", site), ("test", test)):
        if code:
            suggestions.check(kind, code, kernel.codes(context.connection(), kind))
    return queries.look(context.connection(), site or None, test or None)


def remove(context: Context, number: int) -> None:
    """Takes somebody off the list. Raises NotFound."""
    if until_known(lambda: queries.remove(context.connection(), number)) != "removed":
        raise NotFound("Nobody has that number on the list.", hint="bookcli waitlist list", code="waiting-unknown")


def offer(context: Context) -> int:
    """For a worker: holds free places for those who wait and can be told, and has them told; how many.

    A list that is too long for one call is gone through in several, so that whoever is at its end has a turn too.
    """
    found = notifications.ways(context.settings)
    until_known(lambda: queries.end(context.connection()))
    made = asked = reached = 0
    while asked < MOST_OFFERS:
        verdict, reached = _offered(context, found, reached)
        if verdict == "nobody":
            break
        asked += verdict != "later"
        made += verdict == "held"
    if made:
        availability_changes.messages_due(context)
    return made


def _offered(context: Context, found: list[str], after: int) -> tuple[str, int]:
    return until_known(lambda: queries.offer(context.connection(), found, after))


def _unknown(code: str) -> NotFound:
    return NotFound(sentence(code), code=code)
