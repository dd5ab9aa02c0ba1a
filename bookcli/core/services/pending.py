"""What happens to a request while the database is away: it is kept on the desk's disk and asked again later.

What must stay true: nothing is called pending before it is on the disk, everything is sent under the key it was made
with, and whatever becomes of it stays to be seen until the desk was told.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .. import clock
from ..adapters import remembered
from ..adapters.spool import ENDED, TOLD, WAITING, Name, Spool
from ..context import Context
from ..db import engine, server
from ..errors import (
    OUTAGES,
    BookcliError,
    InvalidInput,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    Refused,
    Unavailable,
)
from ..model.appointments import Outcome, sentence
from ..model.pending import Asked, Ended, Kept, check, check_size
from . import decisions, pending_copies

FIRST_SECONDS = 2.0
"""How long a booking lets those go first that this desk asked earlier."""
_learnt: set[tuple[str, str]] = set()


@dataclass(frozen=True, slots=True)
class Item:
    """A file of the spool: what was asked and what became of it; neither when the file is damaged."""

    name: Name
    kept: Kept | None
    ended: Ended | None = None

    @property
    def outcome(self) -> str:
        """waiting, unknown, booked, refused, expired or damaged."""
        if self.kept is None or (self.ended is None and self.name.state != WAITING):
            return "damaged"
        return self.ended.outcome if self.ended else "unknown" if self.kept.unknown else "waiting"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did: what has ended now, how many still wait, and what stood in the way of the first of them."""

    ended: tuple[Item, ...] = ()
    waiting: int = 0
    problem: Exception | None = None


def decided(context: Context, asked: Asked) -> Outcome:
    """What the database decides; while it is away `pending`, or `unknown` when a commit was cut off: then it is kept.

    What this desk asked earlier goes first. Raises as `decisions.send`, and Unavailable `not-kept` when the disk
    refuses as well.
    """
    check_size(asked)
    spool = Spool(context.paths.spool)
    try:
        _earlier_first(context, spool)
        outcome = decisions.send(context, asked)
    except Unavailable as away:
        if away.code not in OUTAGES or not asked.keepable:
            raise
        return _keep(context, spool, asked, unknown=False)
    except OutcomeUnknown as lost:
        if not asked.keepable:
            raise
        return _keep_unknown(context, spool, asked, lost)
    _learn(context)
    return outcome


def _earlier_first(context: Context, spool: Spool) -> None:
    """Lets go first what this desk asked earlier. Raises Unavailable when the database goes away over it."""
    if not spool.count(WAITING):
        return
    context.connection()
    problem = replay(context, seconds=FIRST_SECONDS).problem
    if isinstance(problem, OutcomeUnknown) or (isinstance(problem, Unavailable) and problem.code in OUTAGES):
        raise Unavailable("The database does not answer.", code="database-away")


@contextlib.contextmanager
def nothing_kept(hint: str) -> Iterator[None]:
    """For what cannot wait: when the database is away the desk is told that nothing was kept, and what to do."""
    try:
        yield
    except Unavailable as away:
        if away.code in OUTAGES:
            away.hint = hint
        raise


def items(context: Context) -> list[Item]:
    """Everything in this desk's spool in the order it was asked. Raises NotAllowed when others could read it."""
    spool = Spool(context.paths.spool)
    return [_item(spool, name) for name in spool.names(WAITING, ENDED, TOLD)]


def untold(context: Context) -> list[Item]:
    """What has ended and nobody was told yet."""
    spool = Spool(context.paths.spool)
    return [_item(spool, name) for name in spool.names(ENDED)]


def zones(context: Context) -> Mapping[str, str]:
    """The zones of the sites that this desk remembers, by code."""
    return remembered.recall(context.paths.remembered, engine.address(context.dsn)).zones


def mark_told(context: Context, told: list[Item]) -> None:
    """Somebody has read what became of these; they can still be listed for a day."""
    spool = Spool(context.paths.spool)
    for item in told:
        spool.tell(item.name)


def find(context: Context, key: str) -> Item:
    """The one whose request key begins so. Raises NotFound when none or several do."""
    begun = key.strip().lower()
    found = [item for item in items(context) if str(item.name.key).startswith(begun)] if len(begun) >= 4 else []
    if len({item.name.key for item in found}) != 1:
        raise NotFound(
            "There is no such request here." if not found else "Several request keys begin so.",
            hint="bookcli pending list shows them; four characters or more of a key are needed.",
            code="request-unknown",
        )
    return found[0]


def drop(context: Context, item: Item) -> None:
    """Forgets a request, which is never sent again, or its end. Raises Unavailable `busy` while it is being sent."""
    spool = Spool(context.paths.spool)
    with spool.alone() as alone:
        if not alone:
            raise Unavailable("The requests are being sent at this moment.", hint="Try again.", code="busy")
        pending_copies.forget(context, item.name.key)
        spool.drop(item.name)


def replay(context: Context, *, seconds: float = float("inf"), anywhere: bool = False) -> Replayed:
    """Sends what waits, in the order it was asked, each under its own key, and keeps what became of it.

    Stops when the database goes away, when nobody may book, and after `seconds`. What was asked of another database
    is left alone unless `anywhere`. Does nothing while another process is at it.
    """
    spool = Spool(context.paths.spool)
    if not spool.count(WAITING):
        return Replayed()
    try:
        with spool.alone() as alone:
            if not alone:
                raise Unavailable("Another bookcli is sending them at this moment.", code="busy")
            return _replay(context, spool, time.monotonic() + seconds, anywhere)
    except BookcliError as problem:
        return Replayed(waiting=spool.count(WAITING), problem=problem)


def _replay(context: Context, spool: Spool, until: float, anywhere: bool) -> Replayed:
    ended: list[Item] = []
    first: Exception | None = None
    try:
        here = "" if anywhere else server.identity(context.connection())
        for name in spool.names(WAITING):
            if time.monotonic() > until:
                break
            item = _item(spool, name)
            if item.kept is None or not (anywhere or _is_of(item.kept, context, here)):
                continue
            try:
                end = _ask(context, item.kept.asked)
            except RuntimeError as bug:
                # One request that the database chokes on must not stop those behind it.
                first = first or bug
                continue
            spool.end(name, {**item.kept.document(), "end": end.document()})
            ended.append(Item(name._replace(state=ENDED), item.kept, end))
        spool.sweep()
    except (Unavailable, OutcomeUnknown, NotAllowed) as problem:
        first = problem
    return Replayed(tuple(ended), spool.count(WAITING), first)


def replay_copies(context: Context) -> int:
    """For a worker: sends what all desks have copied to Redis, in the order it was asked; how many have ended.

    A worker books under the name of whoever asked; what they may not book (any more) is left to their desk.
    A desk learns the end when it asks again under the same key. Raises Unavailable, OutcomeUnknown, NotAllowed:
    what has not ended is copied still.
    """
    return pending_copies.end_each(context, lambda document: _ends_here(context, document))


def _ends_here(context: Context, document: Mapping[str, Any]) -> bool:
    try:
        kept = Kept.of(document)
    except ValueError:
        return False
    if not _is_of(kept, context, server.identity(context.connection())):
        return False
    by_worker = context.session is None or context.session.role == "worker"
    if by_worker and not kept.asked_by:
        return False
    try:
        _ask(context, kept.asked, kept.asked_by if by_worker else "")
    except NotAllowed as problem:
        if by_worker and problem.code == "forbidden":
            return False
        raise
    except RuntimeError:
        return False
    return True


def _is_of(kept: Kept, context: Context, here: str) -> bool:
    return kept.database == here if kept.database else kept.address == engine.address(context.dsn)


def _ask(context: Context, asked: Asked, asked_by: str = "") -> Ended:
    """What became of it now. Raises Unavailable, OutcomeUnknown and NotAllowed: then it goes on waiting."""
    try:
        outcome = decisions.send(context, asked, offer=False, asked_by=asked_by, kept=True)
    except (NotFound, InvalidInput, Refused) as never:
        return Ended("refused", never.code, (), clock.now())
    if outcome.outcome != "refused":
        references = tuple(verdict.reference or "" for verdict in outcome.verdicts)
        return Ended("booked", None, references, clock.now())
    # The kernel's own clock has said that the slot has begun.
    return Ended("expired" if outcome.reason == "slot-past" else "refused", outcome.reason, (), clock.now())


def _keep(context: Context, spool: Spool, asked: Asked, *, unknown: bool) -> Outcome:
    check(asked)
    if not (context.session or context.embedded):
        # Nobody could be asked whether they may book: it could never be said for whom it was kept.
        raise NotAllowed("Nobody is signed in at this desk.", hint="bookcli login", code="not-signed-in")
    address = engine.address(context.dsn)
    database = remembered.recall(context.paths.remembered, address).database
    kept = Kept(asked, clock.now(), context.staff, context.settings.desk, address, database, unknown)
    try:
        twins = [name for name in spool.names(WAITING) if name.key == asked.key]
        if not twins:
            spool.add(asked.key, kept.document())
            pending_copies.add(context, kept)
    except (Unavailable, NotAllowed) as problem:
        raise Unavailable(
            f"The database does not answer, and the request was NOT kept. {problem.message}",
            hint=f"Nothing was booked and nothing waits: note it down. {problem.hint}",
            code="not-kept",
        ) from None
    if twins:
        _check_same(_item(spool, twins[0]), asked)
    return Outcome("unknown" if unknown else "pending", None, asked.key)


def _keep_unknown(context: Context, spool: Spool, asked: Asked, lost: OutcomeUnknown) -> Outcome:
    try:
        return _keep(context, spool, asked, unknown=True)
    except Unavailable:
        raise lost from None


def _check_same(item: Item, asked: Asked) -> None:
    if item.kept is None or item.kept.asked != asked:
        raise Refused(sentence("key-reused"), code="key-reused", details={"request_key": str(asked.key)})


def _item(spool: Spool, name: Name) -> Item:
    try:
        document = spool.read(name)
        ended = None if name.state == WAITING else Ended.of(document["end"])
        return Item(name, Kept.of(document), ended)
    except (ValueError, KeyError, TypeError):
        return Item(name, None)


def _learn(context: Context) -> None:
    """Learns which database this is, once, so that what is kept while it is away never goes to another one."""
    file, dsn = context.paths.remembered, context.dsn
    if (str(file), dsn) in _learnt:
        return
    address = engine.address(dsn)
    with contextlib.suppress(BookcliError):
        if not remembered.recall(file, address).database:
            remembered.remember(file, address, database=server.identity(context.connection()))
        _learnt.add((str(file), dsn))
