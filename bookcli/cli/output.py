"""The only writer of stdout: what a command found or did, for people on a terminal and as records anywhere else.

What must stay true: importing this costs nothing, nothing is truncated off a terminal, and no text from outside is
obeyed, neither as a control character nor as markup nor as a spreadsheet formula.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as typing's, which would have to be imported
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any

    Record = Mapping[str, Any]

CONTRACT_VERSION = 1


class View:
    """How the records of one noun are shown.

    `name` is their key in JSON, `ident` the field that names one of them, `fields` what files hold, in order;
    `columns` are what people see: a heading and the text below it.
    """

    def __init__(
        self,
        name: str,
        ident: str,
        fields: Sequence[str],
        columns: Sequence[tuple[str, Callable[[Record], str]]] = (),
    ) -> None:
        self.name = name
        self.ident = ident
        self.fields = tuple(fields)
        self.columns = tuple(columns) or tuple((field, _field(field)) for field in fields)


def _field(name: str) -> Callable[[Record], str]:
    return lambda record: _readable(plain(record.get(name)))


def _readable(text: str) -> str:
    """A moment as people write it: `2026-12-01 09:30`, with `UTC` when it is in no site's time; else the text."""
    if not (18 < len(text) < 40 and text[4:5] == text[7:8] == "-" and text[10:11] == "T"):
        return text
    return f"{text[:10]} {text[11:16]}" + (" UTC" if text.endswith(("+00:00", "Z")) else "")


class Output:
    """Writes in the chosen format; without a choice a table on a terminal, tab-separated elsewhere."""

    def __init__(self, format: str | None = None, color: str = "auto") -> None:
        self.people = is_terminal()
        self.format = format or ("table" if self.people else "tsv")
        self.color = color

    @property
    def for_people(self) -> bool:
        """Whether somebody reads this, so that sentences and suggestions are welcome."""
        return self.format == "table"

    def show(self, view: View, records: Sequence[Record], *, sentence: str = "", extra: Record | None = None) -> None:
        """Prints the records; for people `sentence` instead of a table, if there is one.

        `extra` are the fields beside the records in JSON; a field with the records' name in it keeps their place.
        """
        match self.format:
            case "json":
                write(as_json({"version": CONTRACT_VERSION, **(extra or {}), view.name: list(records)}) + "\n")
            case "ndjson":
                write("".join(as_json(record) + "\n" for record in records))
            case "ids":
                write("".join(shown(record.get(view.ident)) + "\n" for record in records if record.get(view.ident)))
            case "tsv":
                write_lines("\t".join(row) for row in _rows(view, records))
            case "csv":
                from ..core.services import spreadsheets  # noqa: PLC0415 - csv is only for this format

                write(spreadsheets.csv_text(_rows(view, records)))
            case _ if sentence:
                write_lines(sentence.split("\n"))
            case _:
                self._table(view, records)

    def _table(self, view: View, records: Sequence[Record]) -> None:
        if records:
            from . import tables  # noqa: PLC0415 - rich is 60 ms

            write(tables.text(view, records, people=self.people, color=self.color))


def is_terminal() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def plain(value: object) -> str:
    """A JSON-ready value as one piece of text: nothing for None, yes and no, lists with commas, objects as JSON."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(plain(item) for item in value)
    if isinstance(value, dict):
        return as_json(value)
    return str(value)


def shown(value: object) -> str:
    """The value on one line, with control characters shown."""
    from ..core.model.text import visible  # noqa: PLC0415 - importing this module must cost nothing

    return visible(plain(value))


def as_json(content: object) -> str:
    """One line of JSON in which whatever a terminal would obey, or UTF-8 cannot hold, is escaped."""
    import json  # noqa: PLC0415 - importing this module must cost nothing
    import re  # noqa: PLC0415 - likewise

    text = json.dumps(content, ensure_ascii=not _writes_unicode(), separators=(",", ":"), default=plain)
    unsafe = "[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
    return re.sub(unsafe, lambda found: f"\\u{ord(found[0]):04x}", text)


def _writes_unicode() -> bool:
    return sys.stdout is not None and (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def _rows(view: View, records: Sequence[Record]) -> Iterable[list[str]]:
    yield list(view.fields)
    for record in records:
        yield [shown(record.get(field)) for field in view.fields]


def write_lines(lines: Iterable[str]) -> None:
    """Writes lines of text, control characters shown; a tab stays a tab."""
    write("".join("\t".join(shown(part) for part in line.split("\t")) + "\n" for line in lines))


def write(text: str) -> None:
    """Writes text as it is and hands it over at once. Raises Unavailable when stdout takes no more, as a full disk."""
    if sys.stdout is None or not text:
        return
    if not _writes_unicode():
        text = text.encode(sys.stdout.encoding or "ascii", "backslashreplace").decode(sys.stdout.encoding or "ascii")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as problem:
        from ..core.errors import Unavailable  # noqa: PLC0415 - importing this module must cost nothing

        discard()
        raise Unavailable(
            "The answer could not be written.", hint=problem.strerror or "", code="output-failed"
        ) from problem


def discard() -> None:
    """Lets stdout go nowhere from now on, so that the interpreter does not stumble over it while ending."""
    if sys.stdout is None:
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        return
