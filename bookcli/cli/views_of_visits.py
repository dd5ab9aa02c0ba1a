"""What an offer for a whole visit looks like: the JSON contract's fields, and the columns for people.

Field names are only ever added.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from . import views
from .output import View

if TYPE_CHECKING:
    from ..core.model.offers import Offer
    from .output import Record


def offer(number: int, found: Offer) -> dict[str, Any]:
    """An offer: its number in the answer, when and where, how long, and its parts as slots."""
    parts = [views.slot(part) for part in found.parts]
    return {
        "offer": number,
        "site": parts[0]["site"],
        "start": parts[0]["start"],
        "end": parts[-1]["end"],
        "zone": parts[0]["zone"],
        "stay_minutes": found.stay_minutes,
        "take": [f"{part['test']}={part['slot']}" for part in parts],
        "parts": parts,
    }


def _parts(record: Record) -> str:
    return ", ".join(
        f"{part['test']} {datetime.fromisoformat(part['start']):%H:%M} {part['resource']}" for part in record["parts"]
    )


OFFERS = View(
    "offers",
    "offer",
    ("offer", "site", "start", "end", "zone", "stay_minutes", "take"),
    (
        ("Offer", lambda record: str(record["offer"])),
        ("Day", views.day),
        ("Time", views.hours),
        ("Minutes", lambda record: str(record["stay_minutes"])),
        ("Site", lambda record: str(record["site"])),
        ("Tests", _parts),
    ),
)
