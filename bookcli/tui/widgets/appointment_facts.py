"""An appointment in words: its facts, what was done to it and what was sent; drawing asks nobody anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from textual.content import Content

from ...core import clock
from ...core.model.appointments import CANCELLATION_REASONS
from ...core.model.text import visible
from ...core.services.reception import Whole
from .message_words import DROPPED, why
from .statuses import MARKS, marked

WORD = 9


def heading(facts: Mapping[str, Any]) -> Content:
    """Reference and status, the status by glyph and word."""
    _, style = MARKS.get(facts["status"], ("○", "$text-muted"))
    return Content.assemble((facts["reference"], "bold"), "  ", (marked(facts["status"], facts["reason"]), style))


def brief(facts: Mapping[str, Any]) -> str:
    """An appointment in a few words."""
    start = clock.to_local(facts["starts_at"], facts["zone"])
    return f"{facts['reference']}, {facts['test_name']}, {start:%a %d %b %H:%M}"


def facts(row: Mapping[str, Any]) -> Content:
    """Every fact on a line of its own."""
    return Content("\n").join(_line(word, words) for word, words in _facts(row) if words)


def _line(word: str, words: str) -> Content:
    return Content.assemble((f"{word:<{WORD}}", "$text-muted"), visible(words))


def _facts(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    zone = row["zone"]
    start, end = clock.to_local(row["starts_at"], zone), clock.to_local(row["ends_at"], zone)
    yield "Patient", f"{row['patient_name']}  {row['patient']}"
    yield "Test", row["test_name"]
    yield "When", f"{start:%a %d %b %Y  %H:%M}–{end:%H:%M}"
    yield "Where", f"{row['resource']}, {row['site_name']}"
    yield "Site tel", row["site_phone"] or ""
    if row["held_until"] is not None:
        yield "Held", f"until {clock.to_local(row['held_until'], zone):%H:%M:%S}"
    if row["arrived_at"] is not None:
        yield "Arrived", f"{clock.to_local(row['arrived_at'], zone):%H:%M}"
    if row["checked_in_at"] is not None:
        yield "In", f"{clock.to_local(row['checked_in_at'], zone):%H:%M}"
    if row["waiting_minutes"] is not None:
        yield "Waits", f"{row['waiting_minutes']} min"
    yield "Reason", CANCELLATION_REASONS.get(row["reason"], row["reason"] or "")
    yield "Note", " ".join((row["note"] or "").split())
    yield "Aloud", " ".join((row["preparation"] or "").split())


def steps(whole: Whole) -> Content:
    """What was done, by whom, the last first."""
    lines = [Content.styled("History", "bold")]
    zone = whole.facts["zone"]
    for step in whole.steps:
        at = clock.to_local(step["at"], zone)
        lines.append(Content.assemble((f"{at:%d %b %H:%M} ", "$text-muted"), _step(step, zone)))
    return Content("\n").join(lines)


def _step(step: Mapping[str, Any], zone: str) -> str:
    said = f"{step['action']}"
    if step["action"] == "reschedule" and step["from_start"] is not None and step["to_start"] is not None:
        from_, to = (clock.to_local(step[name], zone) for name in ("from_start", "to_start"))
        said += f" {from_:%d %b %H:%M} → {to:%d %b %H:%M}"
    elif step["from_status"] and step["to_status"] and step["from_status"] != step["to_status"]:
        said += f" {step['from_status']} → {step['to_status']}"
    return visible(f"{said}, {step['staff']}" if step["staff"] else said)


def messages(whole: Whole) -> Content:
    """What was sent to the patient, or will be."""
    lines = [Content(""), Content.styled("Messages", "bold")]
    if not whole.messages:
        lines.append(Content.styled("○ none", "$text-muted"))
    for one in whole.messages:
        moment = one["sent_at"] or one["failed_at"] or one["cancelled_at"] or one["due_at"]
        at = clock.to_local(moment, whole.facts["zone"])
        because = f" ({visible(why(one))})" if why(one) else ""
        mark = {"sent": "✔", "failed": "▲", "cancelled": "✕"}.get(one["state"], "◷")
        by = f" by {one['channel']}" if one["channel"] else ""
        state = DROPPED if one["state"] == "cancelled" else one["state"]
        line = f"{mark} {one['kind']} {state}{by}{because}"
        lines.append(Content.assemble((f"{at:%d %b %H:%M} ", "$text-muted"), line))
    return Content("\n").join(lines)
