"""Offers for a visit to choose from: when, how long the patient stays, and what is done where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from textual.content import Content
from textual.widgets import OptionList
from textual.widgets.option_list import Option

from ...core import clock
from ...core.model.offers import Offer
from ...core.model.text import visible


def when(offer: Offer) -> str:
    """Day and time of a visit, on the clock of its site."""
    start, end = (clock.to_local(moment, offer.parts[0].zone) for moment in (offer.start, offer.end))
    return f"{start:%a %d %b} {start:%H:%M}–{end:%H:%M}"


def row(offer: Offer, resources: Mapping[str, str] | None = None) -> Content:
    """An offer on a line."""
    named = resources or {}
    parts = [
        f"{visible(part.test)} {clock.to_local(part.start, part.zone):%H:%M} "
        f"{visible(named.get(part.resource, part.resource))}"
        for part in offer.parts
    ]
    stay = f"{offer.stay_minutes:>4} min  "
    return Content.assemble((when(offer), "bold"), stay, " · ".join(parts))


class OfferList(OptionList):
    """Offers, best first; the one under the cursor is `current`."""

    DEFAULT_CSS = "OfferList { max-height: 6; }"

    def __init__(self, *, can_focus: bool = True) -> None:
        super().__init__(compact=True)
        self.can_focus = can_focus
        self.offers: tuple[Offer, ...] = ()

    def show(self, offers: Sequence[Offer]) -> None:
        """Shows other offers; the cursor stays on the same one if it is still there."""
        was = self.current
        self.offers = tuple(offers)
        self.clear_options()
        self.add_options(Option(row(one)) for one in self.offers)
        takes = [one.takes for one in self.offers]
        here = takes.index(was.takes) if was is not None and was.takes in takes else 0
        self.highlighted = here if self.offers else None

    @property
    def current(self) -> Offer | None:
        """The offer under the cursor."""
        where = self.highlighted
        return self.offers[where] if where is not None and where < len(self.offers) else None

    def step(self, by: int) -> None:
        """Moves the cursor, and stops at the ends."""
        if self.offers:
            self.highlighted = min(max((self.highlighted or 0) + by, 0), len(self.offers) - 1)
