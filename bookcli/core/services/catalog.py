"""Sites, tests and resources: list them, find the one that was meant, create and change them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from .. import clock
from ..context import Context
from ..db import catalog as queries
from ..db import kernel
from ..errors import InvalidInput
from ..formats import contacts
from ..model.catalog import (
    OFFER_MINUTES,
    TEST_NUMBERS,
    Resource,
    Site,
    Test,
    checked_flag,
    checked_number,
    code_of,
    fasting,
    quiet_hours,
    spans,
)
from ..model.text import clean_name, clean_note, fold
from . import availability_changes, suggestions
from .attempts import once


class _Named(Protocol):
    @property
    def code(self) -> str: ...

    @property
    def name(self) -> str: ...


Thing = TypeVar("Thing", bound=_Named)


def sites(context: Context, *, everything: bool = False) -> list[Site]:
    """Sites in use by code; `everything` adds those out of use."""
    return queries.sites(context.connection(), everything=everything)


def tests(context: Context, *, everything: bool = False) -> list[Test]:
    """Tests in use by code; `everything` adds those out of use."""
    return queries.tests(context.connection(), everything=everything)


def resources(context: Context, *, site: str = "", everything: bool = False) -> list[Resource]:
    """Resources by site and code. Raises NotFound for an unknown site."""
    code = _meant("site", site, sites(context, everything=True)).code if site else ""
    return queries.resources(context.connection(), site_code=code, everything=everything)


def site(context: Context, code: str) -> Site:
    """The site with that code or name, accents and case ignored. Raises NotFound with the nearest codes."""
    return _meant("site", code, sites(context, everything=True))


def test(context: Context, code: str) -> Test:
    """The test with that code or name, accents and case ignored. Raises NotFound with the nearest codes."""
    return _meant("test", code, tests(context, everything=True))


def resource(context: Context, site: str, code: str) -> Resource:
    """The resource of a site with that code or name. Raises NotFound with the nearest codes."""
    return _meant("resource", code, resources(context, site=site, everything=True))


def _meant(kind: str, words: str, known: Iterable[Thing]) -> Thing:
    candidates = list(known)
    wanted = fold(words.strip())
    same = [one for one in candidates if one.code == wanted] or [one for one in candidates if fold(one.name) == wanted]
    if not same:
        suggestions.check(kind, words.strip(), [one.code for one in candidates])
    if len(same) != 1:
        codes = " or ".join(one.code for one in same)
        raise InvalidInput(
            f"Several are called {words.strip()}.", hint=f"Use the code: {codes}", code=f"{kind}-unclear"
        )
    return same[0]


def save_site(context: Context, fields: Mapping[str, str]) -> str:
    """Creates or changes a site: code, name, zone, phone, active, quiet, names_test, offer_minutes.

    Returns created, changed or unchanged. A missing code is made from the name; a new site needs a zone. Raises
    InvalidInput.
    """
    clean = _clean(fields, _SITE_FIELDS)
    if "zone" not in clean and clean["code"] not in [one.code for one in sites(context, everything=True)]:
        raise _missing("zone", "an IANA name such as Europe/Berlin")
    if "quiet" in clean:
        clean["quiet_from"], clean["quiet_until"] = clean.pop("quiet") or (None, None)
    return _saved(context, "sites", clean)


def save_test(context: Context, fields: Mapping[str, str]) -> str:
    """Creates or changes a test: its columns in schema.sql. Returns created, changed or unchanged.

    A missing code is made from the name; a new test needs duration_minutes. Raises InvalidInput.
    """
    clean = _clean(fields, _TEST_FIELDS)
    if "duration_minutes" not in clean and clean["code"] not in [one.code for one in tests(context, everything=True)]:
        raise _missing("duration_minutes", "the patient's time, such as 30")
    return _saved(context, "tests", clean)


def save_resource(context: Context, fields: Mapping[str, str]) -> str:
    """Creates or changes a resource: site, code, name, tests (comma separated), active.

    Returns created, changed or unchanged. Raises InvalidInput, NotFound for an unknown site or test.
    """
    clean = _clean({name: text for name, text in fields.items() if name not in {"site", "tests"}}, _RESOURCE_FIELDS)
    if not fields.get("site", "").strip():
        raise _missing("site", "the code of the site it stands in")
    clean["site"] = site(context, fields["site"]).code
    if "tests" in fields:
        known = tests(context, everything=True)
        wanted = [word for word in fields["tests"].split(",") if word.strip()]
        clean["tests"] = sorted({_meant("test", word, known).code for word in wanted})
    return _saved(context, "resources", clean)


def _saved(context: Context, kind: str, clean: dict[str, Any]) -> str:
    verdict = once(lambda: kernel.save(context.connection(), kind, [clean])[0]).verdict
    if verdict != "unchanged":
        availability_changes.catalog_changed(context)
    return verdict


_Check = Callable[[str], Any]
_NAMED: dict[str, _Check] = {
    "name": lambda text: clean_name(text, label="name"),
    "active": lambda text: checked_flag("active", text),
}
_SITE_FIELDS: dict[str, _Check] = {
    **_NAMED,
    "zone": lambda text: clock.check_zone(text.strip()),
    "phone": contacts.phone,
    "quiet": quiet_hours,
    "names_test": lambda text: checked_flag("names_test", text),
    "offer_minutes": lambda text: checked_number("offer_minutes", text, OFFER_MINUTES),
}
_TEST_FIELDS: dict[str, _Check] = {
    **_NAMED,
    "preparation": lambda text: clean_note(text, label="preparation"),
    "fasting": fasting,
    "remind_before": lambda text: [f"{length // timedelta(minutes=1)} minutes" for length in spans(text)],
    **{
        name: lambda text, name=name, bounds=bounds: checked_number(name, text, bounds)  # type: ignore[misc]
        for name, bounds in TEST_NUMBERS.items()
    },
}
_RESOURCE_FIELDS = _NAMED
_EMPTY_MEANS_EMPTY = frozenset({"phone", "preparation", "name"})


def _clean(fields: Mapping[str, str], checks: Mapping[str, _Check]) -> dict[str, Any]:
    """The cleaned fields with their code; an empty number, flag or zone counts as not given."""
    for field in fields:
        if field not in checks and field != "code":
            raise InvalidInput(
                f"There is no field {field[:40]} here.", hint="One of code, " + ", ".join(checks), code="field-unknown"
            )
    code = code_of(fields.get("code", ""), fields.get("name", ""))
    given = {name: text for name, text in fields.items() if name in checks}
    kept = {name: text for name, text in given.items() if text.strip() or name in _EMPTY_MEANS_EMPTY}
    return {"code": code, **{name: checks[name](text) for name, text in kept.items()}}


def _missing(field: str, hint: str) -> InvalidInput:
    return InvalidInput(f"The field {field} is needed.", hint=hint, code="field-missing", details={"field": field})
