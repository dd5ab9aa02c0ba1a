"""Conversions of one value on its way in: named in a mapping, checked when it is read, exact or refused, never rounded.

An empty value stays empty unless a table says otherwise. No message repeats the value, which may be about a patient.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal

from ..errors import InvalidInput
from ..model.text import nearest

Conversion = Callable[[str], str]

NAMES = ("integer", "upper", "lower", "strip", "date:%d/%m/%Y", "moment:%d/%m/%Y %H:%M")
_NUMBER = re.compile(r"[+-]?\d{1,40}(?:\.\d{0,40})?(?:[eE][+-]?\d{1,2})?", re.ASCII)


def conversion(name: str) -> Conversion:
    """The conversion called `integer`, `upper`, `lower`, `strip`, `date:<strptime>` or `moment:<strptime>`.

    Raises InvalidInput `conversion-unknown` with the nearest names.
    """
    if name in _PLAIN:
        return _PLAIN[name]
    kind, colon, layout = name.partition(":")
    if kind in ("date", "moment") and colon and _is_layout(layout):
        return lambda text: _when(text, layout, kind)
    near = nearest(kind, [known.partition(":")[0] for known in NAMES])
    raise InvalidInput(
        f"The conversion {name} is not known.",
        hint=f"did you mean {' or '.join(near)}?" if near and near != [kind] else "known: " + ", ".join(NAMES),
        code="conversion-unknown",
    )


def value_table(table: Mapping[str, str]) -> Conversion:
    """Exchanges a value by `table`, whose `*` stands for every other value.

    The conversion raises InvalidInput `value-unknown` for a value that is not there when there is no `*`.
    """

    def exchange(text: str) -> str:
        found = table.get(text, table.get("*") if text else "")
        if found is None:
            raise InvalidInput(
                "The value is not in the table of the mapping.",
                hint="known: " + ", ".join(list(table)[:20]) + '; "*" stands for every other',
                code="value-unknown",
            )
        return found

    return exchange


def integer(text: str) -> str:
    """A whole number without `.0` or exponent, exact at any length: `91353189799141.0` → `91353189799141`.

    Raises InvalidInput `not-an-integer`, also for `39217.84439`.
    """
    trimmed = text.strip()
    if not trimmed:
        return ""
    if _NUMBER.fullmatch(trimmed):
        number = Decimal(trimmed)
        whole = int(number)
        if whole == number:
            return str(whole)
    raise InvalidInput("The value is not a whole number.", hint="such as 1234", code="not-an-integer")


def _when(text: str, layout: str, kind: str) -> str:
    trimmed = text.strip()
    if not trimmed:
        return ""
    try:
        found = datetime.strptime(trimmed, layout)  # noqa: DTZ007 - a local time, which only the clock may convert
    except ValueError:
        raise InvalidInput(
            f"The value does not look like {layout}.", hint="correct the value or the mapping", code="date-unclear"
        ) from None
    return found.date().isoformat() if kind == "date" else found.isoformat()


def _is_layout(layout: str) -> bool:
    """Whether strptime understands the layout and finds at least a day in it."""
    sample = datetime(2003, 4, 25, 13, 14, 15)  # noqa: DTZ001 - only compared with itself
    try:
        found = datetime.strptime(sample.strftime(layout), layout)  # noqa: DTZ007 - only compared with itself
    except (ValueError, re.error):
        return False
    return found.date() == sample.date()


_PLAIN: dict[str, Conversion] = {"integer": integer, "upper": str.upper, "lower": str.lower, "strip": str.strip}
