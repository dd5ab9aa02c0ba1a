"""From the columns of somebody's file to the fields we know, as a small TOML file or `--map` says; all of it checked.

A mapping is refused as a whole when it is read; while it is applied only a row can be wrong.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import BookcliError, InvalidInput, NotFound
from ..model.text import nearest
from .conversions import Conversion, conversion, value_table

_SECTIONS = ("columns", "constants", "convert", "templates")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class _Template:
    """Text with columns in it: the text between them, and for each the column and its conversions."""

    texts: tuple[str, ...]
    columns: tuple[tuple[str, tuple[Conversion, ...]], ...]


@dataclass(frozen=True)
class Mapping:
    """Which column, constant or template fills which field. A column that bears a field's own name needs no entry."""

    columns: dict[str, str] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    conversions: dict[str, tuple[Conversion, ...]] = field(default_factory=dict)
    templates: dict[str, _Template] = field(default_factory=dict)
    fields: frozenset[str] = frozenset()

    @classmethod
    def load(cls, path: str | Path, *, fields: Collection[str] = ()) -> Mapping:
        """The mapping in a TOML file with `[columns]`, `[constants]`, `[convert]` and `[templates]`, all optional.

        `fields` are the known fields; none means that any name will do. Raises NotFound `file-not-found`; InvalidInput
        `mapping-unclear`, `field-unknown`, `conversion-unknown`.
        """
        sections = _read(path)
        for section, entries in sections.items():
            if section not in _SECTIONS or not isinstance(entries, dict):
                raise _unclear(f"The mapping has an unknown section: {section}.", _did_you_mean(section, _SECTIONS))
            for name in entries:
                _check_field(name, fields)
        texts = {section: _texts(section, sections.get(section, {})) for section in ("columns", "constants")}
        return cls(
            **texts,
            conversions={name: _conversions(name, how) for name, how in sections.get("convert", {}).items()},
            templates={
                name: _template(text) for name, text in _texts("templates", sections.get("templates", {})).items()
            },
            fields=frozenset(fields),
        )

    @classmethod
    def from_items(cls, items: Iterable[str], *, fields: Collection[str] = ()) -> Mapping:
        """The mapping in items such as `patient=PATIENTID` or `patient=PATIENTID|integer`. Raises as `load` does."""
        columns: dict[str, str] = {}
        conversions: dict[str, tuple[Conversion, ...]] = {}
        for item in items:
            name, _, source = (part.strip() for part in item.partition("="))
            column, *filters = source.split("|")
            if not name or not column:
                raise _unclear("A mapping item must name a field and a column.", "such as patient=PATIENTID")
            if name in columns:
                raise _unclear(f"The field {name} is mapped twice.", "map every field once")
            _check_field(name, fields)
            columns[name] = column.strip()
            conversions[name] = tuple(conversion(found.strip()) for found in filters)
        return cls(columns=columns, conversions=conversions, fields=frozenset(fields))

    def apply(self, values: dict[str, str]) -> dict[str, str]:
        """The fields of one row. Constants win over templates, templates over columns.

        Raises InvalidInput `column-unknown` with the nearest columns, and what the conversions raise, each with
        `details={"field": …}`.
        """
        found = {name: values[name] for name in self.fields if name in values}
        found |= {name: _column(column, values) for name, column in self.columns.items()}
        for name, steps in self.conversions.items():
            if name in found:
                found[name] = _converted(found[name], steps, name)
        for name, template in self.templates.items():
            found[name] = _filled(template, values, name)
        return found | self.constants


def _converted(text: str, steps: tuple[Conversion, ...], name: str) -> str:
    try:
        for step in steps:
            text = step(text)
    except BookcliError as problem:
        problem.details["field"] = name
        raise
    return text


def _filled(template: _Template, values: dict[str, str], name: str) -> str:
    parts = [template.texts[0]]
    for (column, steps), text in zip(template.columns, template.texts[1:], strict=True):
        parts += [_converted(_column(column, values), steps, name), text]
    return "".join(parts)


def _column(column: str, values: dict[str, str]) -> str:
    try:
        return values[column]
    except KeyError:
        raise InvalidInput(
            f"The file has no column {column}.",
            hint=_did_you_mean(column, values),
            code="column-unknown",
            details={"column": column},
        ) from None


def _read(path: str | Path) -> dict[str, Any]:
    import tomllib  # noqa: PLC0415 - 16 ms, and only imports need it

    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}.", code="file-not-found") from None
    except (OSError, ValueError) as problem:  # TOML and Unicode errors are ValueErrors
        raise _unclear(f"The mapping {path} cannot be read.", str(problem)) from None


def _texts(section: str, entries: dict[str, Any]) -> dict[str, str]:
    for name, value in entries.items():
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise _unclear(f"The entry {name} in [{section}] must be text.", f'{name} = "…"')
    return {name: str(value) for name, value in entries.items()}


def _conversions(name: str, how: Any) -> tuple[Conversion, ...]:
    if isinstance(how, dict):
        return (value_table(_texts(f"convert.{name}", how)),)
    if isinstance(how, list):
        return tuple(step for one in how for step in _conversions(name, one))
    if isinstance(how, str):
        return (conversion(how),)
    raise _unclear(f"The conversion of {name} must be a name or a table of values.", 'such as "integer"')


def _template(text: str) -> _Template:
    columns, texts, end = [], [], 0
    for placeholder in _PLACEHOLDER.finditer(text):
        column, *filters = placeholder[1].split("|")
        if not column.strip():
            raise _unclear("A template must name a column between its braces.", "such as {PATIENTID|integer}")
        columns.append((column.strip(), tuple(conversion(name.strip()) for name in filters)))
        texts.append(text[end : placeholder.start()])
        end = placeholder.end()
    return _Template((*texts, text[end:]), tuple(columns))


def _check_field(name: str, fields: Collection[str]) -> None:
    if fields and name not in fields:
        raise InvalidInput(
            f"There is no field {name}.",
            hint=_did_you_mean(name, fields),
            code="field-unknown",
            details={"field": name},
        )


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    names = list(known)
    near = nearest(word, names)
    return f"did you mean {' or '.join(near)}?" if near else "known: " + ", ".join(names[:20])


def _unclear(message: str, hint: str) -> InvalidInput:
    return InvalidInput(message, hint=hint, code="mapping-unclear")
