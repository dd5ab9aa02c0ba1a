"""The pictures of the reports: a heat-map, bars of who did not come, divided bars of how long people wait.

What must stay true: each is readable without colour, and the figures behind a cell are said for whoever walks there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rich.bar import Bar
from rich.cells import cell_len
from rich.console import RenderableType
from rich.text import Text

from ...core.model.reports import Grid, Missed, Taken, Wait, all_missed, lengths, level, percent
from ...core.model.text import visible
from .picture import HEATS, Drawing, Line, Styles, cell

FULLNESS = "▁▂▃▄▅▆▇█"
SHADES = "█▓▒░"
AHEAD = ("day", "week", "month", "more")
"""Within what people booked before they were to come, by the shades of a bar."""
WEEKDAYS = ("every day", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SCALES = (5, 10, 20, 25, 50, 100)
LEAST_LABEL, MOST_LABEL = 12, 32
SHAPE_ALONE, WITH_FIGURES, WITH_SIGN, WIDEST = 3, 5, 7, 18
"""How wide a cell of the heat-map is: for its shape, for a percentage beside it, for its sign too, and at most."""
OVER = "▶"
"""Where a bar would go on."""
MOST_LINES = 500


@dataclass(frozen=True)
class Names:
    """What resources, by site and code, and tests are called; `several`: whether a site has to be named beside them."""

    resources: Mapping[tuple[str, str], str] = field(default_factory=dict)
    tests: Mapping[str, str] = field(default_factory=dict)
    several: bool = False

    def resource(self, site: str, code: str) -> str:
        """As it stands in a picture: on one line, and nothing in it is obeyed by a terminal."""
        return self._at(site, self.resources.get((site, code), code))

    def test(self, site: str, code: str) -> str:
        """The same of a test."""
        return self._at(site, self.tests.get(code, code))

    def _at(self, site: str, name: str) -> str:
        return visible(f"{site} {name}" if self.several else name)


def _label_width(labels: Iterable[str]) -> int:
    return min(max((cell_len(label) for label in labels), default=0) + 2, MOST_LABEL)


def _left_out(rows: int, label: int, others: int) -> list[Line]:
    """Says of how many rows there is no line, when there are too many."""
    more = rows - MOST_LINES
    words = f"… {more} more"
    fact = f"{more} more are not shown, but are in the sums"
    return [Line("more", (cell(words, label), *[Text("")] * others), (fact,))] if more > 0 else []


# How full


def heat(grid: Grid, names: Names, room: int, styles: Styles) -> Drawing:
    """Resources down, hours across; the sums of a resource and of an hour come first, where they are always seen."""
    rows = [(None, "all resources"), *((one, names.resource(*one)) for one in grid.resources[:MOST_LINES])]
    hours = (None, *grid.hours)
    label, width = _widths(_label_width(name for _, name in rows), len(hours), room)
    heads = [(cell(_head(hour, width), width, right=True), width) for hour in hours]
    lines = []
    for resource, name in rows:
        taken = [grid.taken.get((resource, hour)) for hour in hours]
        facts = [_taken_in_words(name, hour, one) for hour, one in zip(hours, taken, strict=True)]
        tiles = [_tile(one, width, styles) for one in taken]
        key = "/".join(resource or ())
        lines.append(Line(key, (cell(name, label, styles("sum")), *tiles), (facts[0], *facts)))
    lines += _left_out(len(grid.resources), label, len(hours))
    return Drawing([(cell("", label), label), *heads], lines, fixed=2, walk="cell")


def _widths(wanted: int, columns: int, room: int) -> tuple[int, int]:
    """How wide labels and cells are: figures first, then long labels, then wide cells."""
    least = min(wanted, LEAST_LABEL)
    width = (room - wanted) // columns
    if width < WITH_FIGURES:
        width = WITH_FIGURES if (room - least) // columns >= WITH_FIGURES else SHAPE_ALONE
    width = min(width, WIDEST)
    return min(wanted, max(least, room - columns * width)), width


def _head(hour: int | None, width: int) -> str:
    if hour is None:
        return "all" if width >= WITH_FIGURES else "Σ"
    return f"{hour:02}:00" if width > WITH_SIGN else f"{hour:02}"


def _tile(taken: Taken | None, width: int, styles: Styles) -> Text:
    """A shape, and a percentage when there is room for one; blank without slots."""
    if taken is None:
        return Text(" " * width, no_wrap=True, end="")
    shape = FULLNESS[level(taken.booked, taken.capacity, len(FULLNESS))]
    figures = f"{percent(taken.booked, taken.capacity):>3}"
    if width < WITH_FIGURES:
        words = shape * (width - 1)
    elif width < WITH_SIGN:
        words = shape * (width - 4) + figures
    else:
        words = shape * (width - 5) + figures + "%"
    style = styles(f"heat-{level(taken.booked, taken.capacity, HEATS)}")
    return Text.assemble((words, style), " ", no_wrap=True, end="")


def _taken_in_words(name: str, hour: int | None, taken: Taken | None) -> str:
    when = "all hours" if hour is None else f"{hour:02}:00–{hour + 1:02}:00"
    if taken is None:
        return f"{name}  {when}  no slots"
    share = percent(taken.booked, taken.capacity)
    slots = "1 slot" if taken.slots == 1 else f"{taken.slots} slots"
    return f"{name}  {when}  {share}%  {taken.booked} of {taken.capacity} places taken  {slots}"


# Who did not come


def noshow(found: Sequence[Missed], names: Names, room: int, styles: Styles) -> Drawing:
    """A bar of every test and weekday, all of them together first; a share of few is drawn lighter and said to be."""
    shown = [("all tests", all_missed(found)), *((names.test(one.site, one.test), one) for one in found[:MOST_LINES])]
    label = _label_width(name for name, _ in shown)
    columns = [("Test", label, False), ("Day", 11, False), ("Did not come", 14, True), ("", 6, True)]
    bar = max(room - sum(width for _, width, _ in columns), 10)
    every = [one for _, one in shown]
    scale = _scale([one for one in every if not one.few] or every)

    def line(name: str, one: Missed) -> Line:
        figures = (f"{one.missed} of {one.appointments}", f"{percent(one.missed, one.appointments)}%")
        words = (WEEKDAYS[one.weekday], *figures)
        cells = [cell(word, width, right=right) for word, (_, width, right) in zip(words, columns[1:], strict=True)]
        key = f"{one.site}/{one.test}/{one.weekday}"
        fact = f"{name}  {words[0]}  {words[2]}  {words[1]} did not come" + ("; of so few it says little" * one.few)
        return Line(key, (cell(name, label, styles("sum")), *cells, _bar(one, scale, bar, styles)), (fact,))

    heads = [(cell(words, width, right=right), width) for words, width, right in columns]
    heads.append((cell(f"0{f'{scale}%':>{bar - 2}}", bar), bar))
    lines = [*(line(name, one) for name, one in shown), *_left_out(len(found), label, len(heads) - 1)]
    return Drawing(heads, lines, fixed=1, walk="row")


def _scale(found: Iterable[Missed]) -> int:
    """Of how many percent a bar is full: the first round figure that the highest share does not go beyond."""
    highest = max(one.missed / one.appointments for one in found)
    return next(scale for scale in SCALES if 100 * highest <= scale)


def _bar(one: Missed, scale: int, width: int, styles: Styles) -> RenderableType:
    share = 100 * one.missed / (one.appointments or 1) / scale
    if not one.few:
        style = styles("bar")
        return Bar(1, 0, share, width=width, color=style.color or "default", bgcolor=style.bgcolor or "default")
    words = " few: says little" if one.missed and width >= 40 else " few"
    room, length = width - 1 - len(words), max(round(share * width), min(one.missed, 1))
    drawn = SHADES[-1] * length if length <= room else SHADES[-1] * (room - 1) + OVER
    return cell(drawn + words, width, styles("few"))


# How long people wait


def waits(found: Sequence[Wait], names: Names, room: int, styles: Styles) -> Drawing:
    """A bar of every test, divided by how long before they were to come people booked; all of them together first."""
    shown = [(names.test(one.site, one.test), one) for one in found[:MOST_LINES]]
    label = min(_label_width((*(name for name, _ in shown), "all tests")), max(room // 4, LEAST_LABEL))
    bar = max(room - label - 4 * 8 - 2 * 7, 8)

    def line(key: str, name: str, counts: Sequence[int], days: Sequence[str], fact: str) -> Line:
        figures = [cell(count, 8, right=True) for count in counts] + [cell(day, 7, right=True) for day in days]
        return Line(key, (cell(name, label, styles("sum")), _divided(counts, bar, styles), *figures), (fact,))

    whole = [sum(one.counts[n] for one in found) for n in range(len(SHADES))]
    lines = [line("", "all tests", whole, ("", ""), f"all tests  {_booked_in_words(whole)}")]
    for name, one in shown:
        days = (f"{one.median:.1f}", f"{one.ninetieth:.1f}")
        fact = f"{name}  {_booked_in_words(one.counts)}  half within {days[0]} days, nine of ten within {days[1]}"
        lines.append(line(f"{one.site}/{one.test}", name, one.counts, days, fact))
    lines += _left_out(len(found), label, 7)
    heads = [f"{shade} {what}" for shade, what in zip(SHADES, AHEAD, strict=True)]
    columns = [(cell("Test", label), label), (cell("Booked ahead", bar), bar)]
    columns += [(cell(head, 8, right=True), 8) for head in heads]
    columns += [(cell(head, 7, right=True), 7) for head in ("median", "90 %")]
    return Drawing(columns, lines, fixed=1, walk="row")


def _divided(counts: Sequence[int], width: int, styles: Styles) -> Text:
    pieces = lengths(counts, width - 1)
    return cell("".join(shade * n for shade, n in zip(SHADES, pieces, strict=True)), width, styles("bar"))


def _booked_in_words(counts: Sequence[int]) -> str:
    whole = sum(counts)
    shares = (f"{what} {percent(count, whole)}%" for what, count in zip(AHEAD, counts, strict=True))
    return f"{whole} {'appointment' if whole == 1 else 'appointments'}: {', '.join(shares)}"
