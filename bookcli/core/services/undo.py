"""Undo: what somebody at the desk has just done is taken back, by themselves and while nobody has built on it.

What must stay true: the database alone knows what was done, by whom and when; nothing is remembered here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..context import Context
from ..db import kernel
from ..errors import NotFound, Refused
from ..model.appointments import UNKNOWN_THINGS, Verdict, sentence
from ..model.references import appointment_id_of
from . import availability_changes, pending
from .appointments import AS_IT_WAS
from .attempts import once


@dataclass(frozen=True, slots=True)
class Undone:
    """What was taken back: the verb of it and the appointments as they are now.

    `message_sent`: the patient may have been told already, and is told again.
    """

    action: str
    verdicts: tuple[Verdict, ...]
    message_sent: bool


def undo(context: Context, reference: str = "") -> Undone:
    """Takes back the last thing the same person has done to an appointment (to that one) within ten minutes.

    A booking becomes `entered-in-error`, a cancelled or moved one returns to its place under the same reference, a step
    of the day is taken back; what was done to a visit at one stroke is undone at one. Asked once: a second time
    would take back what was done before. Raises NotFound, OutcomeUnknown, Refused `nothing-to-undo`, `too-late`,
    `slot-full`, `slot-closed`, `patient-overlap`.
    """
    if reference:
        appointment_id_of(reference)
    with pending.nothing_kept(AS_IT_WAS):
        verdicts = once(lambda: kernel.undo(context.connection(), reference or None))
    first = verdicts[0]
    if first.verdict in UNKNOWN_THINGS:
        raise NotFound(sentence(first.verdict), code=first.verdict)
    if first.verdict != "undone":
        raise Refused(sentence(first.verdict, first.numbers), code=first.verdict, details=dict(first.numbers or {}))
    numbers: Mapping[str, Any] = first.numbers or {}
    availability_changes.booked(context, verdicts, left=numbers["were"])
    availability_changes.messages_due(context)
    return Undone(str(numbers["action"]), tuple(verdicts), bool(numbers["message_sent"]))


def told(context: Context, reference: str = "") -> str:
    """Undoes as `undo` does; what was taken back, in words, and whether the patient may have been told already."""
    undone = undo(context, reference)
    references = list(dict.fromkeys(one.reference or "" for one in undone.verdicts))
    verb = "which is" if len(references) == 1 else "which are"
    status = undone.verdicts[0].status
    now = "not booked any more" if status == "entered-in-error" else f"{status} now"
    known = " The patient may have been told already, and is told again." if undone.message_sent else ""
    return f"Taken back: {undone.action} {', '.join(references)}, {verb} {now}.{known}"


def possible(context: Context) -> list[dict[str, Any]]:
    """What the same person could take back now, closings too, the last first; nothing about the patients.

    Rows of done_at, action, reference, status, test, site, zone, resource, starts_at; or of action `close`: done_at,
    closure, site, zone, resource (None: all), starts_at, ends_at.
    """
    return kernel.answers(context.connection(), "list_undoable")


def last(context: Context) -> dict[str, Any] | None:
    """What the same person did last of what they could take back, a row of `possible`; None when there is nothing."""
    return next(iter(possible(context)), None)
