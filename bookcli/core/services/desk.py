"""What the frame around the screens shows: who is signed in, how the servers are, what waits and what has ended.

What must stay true: looking changes nothing and keeps no session alive; a part that is away is told, not raised.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from ..adapters.spool import ENDED
from ..context import Context
from ..db import gateway, health
from ..errors import BookcliError, Unavailable
from ..model.lights import Lights
from ..model.staff import Person, SignedIn
from . import pending, tasks
from .pending import Item

LATE = timedelta(minutes=2)
SECONDS_BESIDE = 2.0
_MOST_REFERENCES = 5


def signed_in(context: Context) -> tuple[SignedIn, Person] | None:
    """The session of this desk and whose it is, live or locked; None when somebody has to sign in.

    At the embedded servers whoever they belong to is signed in by this. Raises Unavailable.
    """
    connection = context.connection()
    person = gateway.whoami(connection) if context.token else None
    if person is None or context.session is None or person.problem == "session-expired":
        return None
    return context.session, person


def look(context: Context) -> Lights:
    """Looks at everything; sends what waits, once the database answers. Takes no longer than the deadline."""
    late, person, database, worker = None, None, "ok", "unknown"
    try:
        connection = context.connection()
        person = gateway.whoami(connection) if context.token else None
        late = health.oldest_unsent(connection)
        worker = _worker(context, late)
        pending.replay(context, seconds=SECONDS_BESIDE)
    except Unavailable:
        database = "away"
    ended, waiting = _kept(context)
    return Lights(database, _cache(context), worker, waiting, late, person, ended)


def waits_for_a_worker(context: Context) -> bool:
    """Whether a message waits and no worker was seen; no when that is not known."""
    try:
        return health.oldest_unsent(context.connection()) is not None and tasks.unseen(context)
    except BookcliError:
        return False


def _worker(context: Context, late: timedelta | None) -> str:
    """Whether there is one is only asked when a message waits: a clinic that sends none needs none."""
    if late is None:
        return "ok"
    return "late" if late > LATE else "unseen" if tasks.unseen(context) else "ok"


def _kept(context: Context) -> tuple[tuple[Item, ...], int]:
    """(what has ended untold, how many wait); nothing where others could read it, which `doctor` says."""
    try:
        items = pending.items(context)
    except (BookcliError, OSError):
        return (), 0
    ended = tuple(item for item in items if item.name.state == ENDED)
    return ended, sum(item.outcome in ("waiting", "unknown") for item in items)


def _cache(context: Context) -> str:
    cache = context.slot_cache()
    if cache is None:
        return "off"
    return "ok" if not cache.away and cache.answers() else "away"


def ends(_: Context, ended: Sequence[Item]) -> str:
    """The line about kept requests that have ended; once somebody could read it they are `told`."""
    return ended_sentence(ended)


def told(context: Context, ended: Sequence[Item]) -> None:
    """Somebody has read what became of these."""
    pending.mark_told(context, list(ended))


def ended_sentence(ended: Sequence[Item]) -> str:
    """The line about kept requests that have ended; it names references and reasons, never a patient."""
    number = f"{len(ended)} request{'s' if len(ended) > 1 else ''} kept while the database was away"
    verb = "is" if len(ended) == 1 else "are"
    kinds = Counter(_end(item) for item in ended)
    references = [reference for item in ended if item.ended for reference in item.ended.references]
    parts = []
    for kind, count in kinds.items():
        names = references[:_MOST_REFERENCES] if kind == "BOOKED" else []
        more = ", …" if kind == "BOOKED" and len(references) > _MOST_REFERENCES else ""
        counted = f"{count} {kind}" if len(kinds) > 1 else kind
        parts.append(f"{counted}: {', '.join(names)}{more}" if names else counted)
    return f"{number} {verb} now {', '.join(parts)}"


def _end(item: Item) -> str:
    if item.ended is None:
        return "DAMAGED"
    return f"{item.outcome.upper()} ({item.ended.reason})" if item.outcome == "refused" else item.outcome.upper()
