"""`bookcli site`, `test` and `resource`: what can be booked where, and by which rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ..core.errors import Refused
from . import params
from .command import Desk, new_app
from .output import View

SITES = View("sites", "code", ("code", "name", "zone", "phone", "active", "quiet", "names_test", "offer_minutes"))
_NUMBERS = (
    "duration_minutes", "buffer_before_minutes", "buffer_after_minutes", "lead_minutes",
    "window_days", "min_interval_days",
)  # fmt: skip
TESTS = View(
    "tests",
    "code",
    ("code", "name", *_NUMBERS, "preparation", "active", "remind_before", "fasting"),
    (
        ("Code", lambda record: record["code"]),
        ("Name", lambda record: record["name"]),
        ("Minutes", lambda record: str(record["duration_minutes"])),
        ("Rules", lambda record: _rules(record)),
        ("Preparation", lambda record: record["preparation"]),
    ),
)
RESOURCES = View("resources", "code", ("site", "code", "name", "tests", "active"))

Code = Annotated[str, typer.Option("--code", metavar="CODE", help="Short name to type; made from the name if missing.")]
Known = Annotated[str, typer.Argument(metavar="CODE", help="Its code or its name.")]
Name = Annotated[str | None, typer.Option("--name", help="Name.")]
Active = Annotated[bool | None, typer.Option("--active/--inactive", help="Whether it is in use.")]
Everything = Annotated[bool, typer.Option("--all", help="Also those out of use.")]
Zone = Annotated[str | None, typer.Option("--zone", metavar="ZONE", help="IANA time zone, e.g. Europe/Berlin.")]
Phone = Annotated[str | None, typer.Option("--phone", help="The site's telephone number.")]
Quiet = Annotated[
    str | None,
    typer.Option(
        "--quiet-hours", metavar="FROM-UNTIL", help="No text message and no reminder then, e.g. 21:00-07:00, or none."
    ),
]
NamesTest = Annotated[
    bool | None,
    typer.Option("--name-test/--no-name-test", help="Subjects, text messages and webhooks may name the test."),
]
Offer = Annotated[
    str | None, typer.Option("--offer-minutes", help="So long a place is kept for who is offered it; usually 240.")
]
Remind = Annotated[
    str | None, typer.Option("--remind", metavar="TIMES", help="How long before it, e.g. 24h,2h, or none; usually 24h.")
]
Fasting = Annotated[
    str | None,
    typer.Option("--fasting", metavar="yes|no|words", help="Nothing is eaten before it; words: as --preparation says."),
]
Duration = Annotated[str | None, typer.Option("--minutes", help="The patient's time.")]
Before = Annotated[str | None, typer.Option("--buffer-before", metavar="MINUTES", help="The resource's time before.")]
After = Annotated[str | None, typer.Option("--buffer-after", metavar="MINUTES", help="The resource's time after.")]
Lead = Annotated[str | None, typer.Option("--lead", metavar="MINUTES", help="Booked at least so long ahead.")]
Window = Annotated[str | None, typer.Option("--window", metavar="DAYS", help="Booked at most so long ahead.")]
Interval = Annotated[str | None, typer.Option("--interval", metavar="DAYS", help="Between two for one patient.")]
Preparation = Annotated[str | None, typer.Option("--preparation", help="Read aloud when booking.")]
Offered = Annotated[str | None, typer.Option("--tests", metavar="A,B", help="Codes of the tests it does.")]
AtSite = Annotated[str, typer.Option("--site", metavar="SITE", autocompletion=params.complete_sites, help="Its site.")]


def register(app: typer.Typer) -> None:
    """Adds the three command groups."""
    for name, help, commands in (
        ("site", "The sites.", (site_list, site_show, site_add, site_edit)),
        ("test", "The tests and their rules.", (test_list, test_show, test_add, test_edit)),
        ("resource", "The machines, rooms and people.", (resource_list, resource_show, resource_add, resource_edit)),
    ):
        group = new_app(help)
        for command in commands:
            group.command(command.__name__.rpartition("_")[2])(command)
        app.add_typer(group, name=name)


def site_list(desk: Desk, everything: Everything = False) -> None:
    """List the sites.

    \b
    Examples:
      bookcli site list
      bookcli site list --all --json
    """
    from ..core.services import catalog  # noqa: PLC0415 - the driver comes after the words are understood

    desk.output.show(SITES, _records(catalog.sites(desk.context, everything=everything)))


def site_show(desk: Desk, code: Known) -> None:
    """Show a site.

    \b
    Examples:
      bookcli site show north
    """
    from ..core.services import catalog  # noqa: PLC0415 - the driver comes after the words are understood

    desk.output.show(SITES, _records([catalog.site(desk.context, code)]))


def site_add(
    desk: Desk, name: Name, zone: Zone, code: Code = "", phone: Phone = None, quiet_hours: Quiet = None,
    name_test: NamesTest = None, offer_minutes: Offer = None,
) -> None:  # fmt: skip
    """Add a site.

    \b
    Examples:
      bookcli site add --code north --name 'Clinic North' --zone Europe/Berlin
    """
    from ..core.services import catalog  # noqa: PLC0415 - the driver comes after the words are understood

    new = _new(catalog.sites(desk.context, everything=True), "site", code, name)
    given = _given(zone=zone, phone=phone, quiet=quiet_hours, names_test=name_test, offer_minutes=offer_minutes)
    fields = {"code": new, "name": name or "", **given}
    verdict = catalog.save_site(desk.context, fields)
    _say(desk, SITES, "site", verdict, catalog.site(desk.context, new))


def site_edit(
    desk: Desk, code: Known, name: Name = None, zone: Zone = None, phone: Phone = None, quiet_hours: Quiet = None,
    name_test: NamesTest = None, offer_minutes: Offer = None, active: Active = None,
) -> None:  # fmt: skip
    """Change a site.

    \b
    Examples:
      bookcli site edit north --phone '+49 30 901820'
      bookcli site edit north --quiet-hours 21:00-07:00
    """
    from ..core.services import catalog  # noqa: PLC0415 - the driver comes after the words are understood

    old = catalog.site(desk.context, code)
    given = _given(
        zone=zone, phone=phone, quiet=quiet_hours, names_test=name_test, offer_minutes=offer_minutes, active=active
    )
    verdict = catalog.save_site(desk.context, {"code": old.code, "name": name or old.name, **given})
    _say(desk, SITES, "site", verdict, catalog.site(desk.context, old.code))


def test_list(desk: Desk, everything: Everything = False) -> None:
    """List the tests and their rules.

    \b
    Examples:
      bookcli test list
      bookcli test list -o csv
    """
    from ..core.services import catalog  # noqa: PLC0415 - the driver comes after the words are understood

    desk.output.show(TESTS, _records(catalog.tests(desk.context, everything=everything)))


def test_show(desk: Desk, code: Known) -> None:
    """Show a test.

    \b
    Examples:
      bookcli test show mri
    """
    from ..core.services import catalog  # noqa: PLC0415 - the driver comes after the words are understood

    desk.output.show(TESTS, _records([catalog.test(desk.context, code)]))


def test_add(
    desk: Desk, name: Name, minutes: Duration, code: Code = "", buffer_before: Before = None,
    buffer_after: After = None, lead: Lead = None, window: Window = None, interval: Interval = None,
    preparation: Preparation = None, remind: Remind = None, fasting: Fasting = None,
) -> None:  # fmt: skip
    """Add a test.

    \b
    Examples:
      bookcli test add --code mri --name MRI --minutes 30
      bookcli test add --name 'MRI with contrast' --minutes 60 --buffer-after 15 --preparation 'No metal.'
    """
    from ..core.services import catalog  # noqa: PLC0415 - the driver comes after the words are understood

    new = _new(catalog.tests(desk.context, everything=True), "test", code, name)
    numbers = (minutes, buffer_before, buffer_after, lead, window, interval)
    verdict = catalog.save_test(
        desk.context,
        _given(
            code=new, name=name, preparation=preparation, remind_before=remind, fasting=fasting, **_rules_of(numbers)
        ),
    )
    _say(desk, TESTS, "test", verdict, catalog.test(desk.context, new))


def test_edit(
    desk: Desk, code: Known, name: Name = None, minutes: Duration = None, buffer_before: Before = None,
    buffer_after: After = None, lead: Lead = None, window: Window = None, interval: Interval = None,
    preparation: Preparation = None, remind: Remind = None, fasting: Fasting = None, active: Active = None,
) -> None:  # fmt: skip
    """Change a test; appointments that stand are not touched.

    \b
    Examples:
      bookcli test edit mri --lead 120
      bookcli test edit mri --remind 48h,2h
    """
    from ..core.services import catalog  # noqa: PLC0415 - the driver comes after the words are understood

    old = catalog.test(desk.context, code)
    numbers = (minutes, buffer_before, buffer_after, lead, window, interval)
    given = _given(preparation=preparation, remind_before=remind, fasting=fasting, active=active, **_rules_of(numbers))
    fields = {"code": old.code, "name": name or old.name, **given}
    _say(desk, TESTS, "test", catalog.save_test(desk.context, fields), catalog.test(desk.context, old.code))


def resource_list(desk: Desk, site: AtSite = "", everything: Everything = False) -> None:
    """List the resources.

    \b
    Examples:
      bookcli resource list
      bookcli resource list --site north
    """
    from ..core.services import catalog  # noqa: PLC0415 - the driver comes after the words are understood

    desk.output.show(RESOURCES, _records(catalog.resources(desk.context, site=site, everything=everything)))


def resource_show(desk: Desk, code: Known, site: AtSite = "") -> None:
    """Show a resource.

    \b
    Examples:
      bookcli resource show mri-1 --site north
    """
    from ..core.services import catalog, places  # noqa: PLC0415 - the driver comes after the words are understood

    found = catalog.resource(desk.context, places.own_site(desk.context, site), code)
    desk.output.show(RESOURCES, _records([found]))


def resource_add(desk: Desk, name: Name, tests: Offered, site: AtSite = "", code: Code = "") -> None:
    """Add a machine, a room or a person.

    \b
    Examples:
      bookcli resource add --site north --code mri-1 --name 'MRI 1' --tests mri,mri-contrast
    """
    from ..core.services import catalog, places  # noqa: PLC0415 - the driver comes after the words are understood

    at = places.own_site(desk.context, site)
    new = _new(catalog.resources(desk.context, site=at, everything=True), "resource", code, name)
    verdict = catalog.save_resource(desk.context, _given(site=at, code=new, name=name, tests=tests))
    _say(desk, RESOURCES, "resource", verdict, catalog.resource(desk.context, at, new))


def resource_edit(
    desk: Desk, code: Known, site: AtSite = "", name: Name = None, tests: Offered = None, active: Active = None
) -> None:
    """Change a resource.

    \b
    Examples:
      bookcli resource edit mri-1 --site north --tests mri
      bookcli resource edit mri-1 --site north --inactive
    """
    from ..core.services import catalog, places  # noqa: PLC0415 - the driver comes after the words are understood

    at = places.own_site(desk.context, site)
    old = catalog.resource(desk.context, at, code)
    fields = _given(site=at, code=old.code, name=name or old.name, tests=tests, active=active)
    _say(
        desk,
        RESOURCES,
        "resource",
        catalog.save_resource(desk.context, fields),
        catalog.resource(desk.context, at, old.code),
    )


def _records(found: Any) -> list[dict[str, Any]]:
    return [dataclasses.asdict(one) for one in found]


def _given(**fields: str | bool | None) -> dict[str, str]:
    """The fields that were given, as the services take them; an option that was not used is not a field."""
    words = {name: {True: "yes", False: "no"}.get(value, value) for name, value in fields.items()}  # type: ignore[arg-type]
    return {name: word for name, word in words.items() if isinstance(word, str)}


def _rules_of(numbers: Sequence[str | None]) -> dict[str, str | None]:
    return dict(zip(_NUMBERS, numbers, strict=True))


def _new(known: Any, kind: str, code: str, name: str | None) -> str:
    """The code of something new. Raises Refused when it is taken: `add` never changes what is there."""
    from ..core.model.catalog import code_of  # noqa: PLC0415 - only to add something

    new = code_of(code, name or "")
    if new in [one.code for one in known]:
        raise Refused(
            f"There is a {kind} {new} already.", hint=f"To change it: bookcli {kind} edit {new}", code="code-taken"
        )
    return new


def _say(desk: Desk, view: View, kind: str, verdict: str, saved: Any) -> None:
    word = {"created": "Added", "changed": "Changed", "unchanged": "Nothing to change in"}[verdict]
    sentence = f"{word} {kind} {saved.code}: {saved.name}"
    desk.output.show(view, _records([saved]), sentence=sentence, extra={"verdict": verdict})


def _rules(record: Any) -> str:
    rules = {
        "buffer {} min before": record["buffer_before_minutes"],
        "{} min after": record["buffer_after_minutes"],
        "{} min ahead": record["lead_minutes"],
        "{} days apart": record["min_interval_days"],
    }
    return ", ".join(words.format(number) for words, number in rules.items() if number)
