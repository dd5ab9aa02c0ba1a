"""Offers for a visit to choose from: when, how long the patient stays, and what is done where."""

from __future__ import annotations

from textual.content import Content

from ...core import clock
from ...core.model.board import Cell, Place
from ...core.model.offers import Offer
from ...core.model.slots import Slot
from ...core.model.text import visible
from .choice_list import ChoiceList


def when(offer: Offer) -> str:
    """Day and time of a visit, on the clock of its site."""
    start, end = (clock.to_local(moment, offer.parts[0].zone) for moment in (offer.start, offer.end))
    return f"{start:%a %d %b} {start:%H:%M}–{end:%H:%M}"


def of_cell(cell: Cell, site: Place, test: str) -> Offer:
    """What a cell of the board offers for one test, if its resource performs it."""
    return Offer((
        Slot(
            cell.slot_id, site.code, site.zone, test, cell.resource, cell.start, cell.end,
            cell.capacity, cell.free, cell.status, cell.version,
        ),
    ))  # fmt: skip


def row(offer: Offer) -> Content:
    """An offer on a line."""
    parts = [
        f"{visible(part.test)} {clock.to_local(part.start, part.zone):%H:%M} {visible(part.resource)}"
        for part in offer.parts
    ]
    stay = f"{offer.stay_minutes:>4} min  "
    return Content.assemble((when(offer), "bold"), stay, " · ".join(parts))


class OfferList(ChoiceList[Offer]):
    """Offers, best first."""

    DEFAULT_CSS = "OfferList { max-height: 6; }"

    def __init__(self, *, can_focus: bool = True) -> None:
        super().__init__(row, lambda offer: offer.takes)
        self.can_focus = can_focus
