"""Turns an unknown code into one sentence with the nearest known ones; only called when something was not found."""

from __future__ import annotations

from collections.abc import Sequence

from ..context import Context
from ..errors import NotFound
from ..model.text import nearest

_MOST_SHOWN = 64


def check_codes(context: Context, *, test: str = "", sites: Sequence[str] = ()) -> None:
    """Raises NotFound when the test or one of the sites does not exist."""
    from ..db import kernel  # noqa: PLC0415 - a search that the cache answers imports no driver

    if test:
        check("test", test, kernel.codes(context.connection(), "test"))
    for site in sites:
        check("site", site, kernel.codes(context.connection(), "site"))


def check(kind: str, wanted: str, known: Sequence[str]) -> None:
    """Raises NotFound unless `wanted` is known; the hint names what is nearest, or all when they are few."""
    if wanted in known:
        return
    shown = wanted[:_MOST_SHOWN]
    near = nearest(wanted, list(known)) or (list(known) if len(known) <= 8 else [])
    hint = "Did you mean " + " or ".join(near) + "?" if near else f"bookcli {kind} list shows what there is."
    raise NotFound(
        f"There is no {kind} {shown}.", hint=hint, code=f"{kind}-unknown", details={kind: shown, "nearest": near}
    )
