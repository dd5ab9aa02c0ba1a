"""A small clinic network to try things on; running it again changes nothing that is there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

from .. import clock
from ..context import Context
from ..db import kernel
from ..errors import InvalidInput
from ..model.requests import new_key
from . import appointments, catalog, patients, schedules, servers, visits

SITE = "riverside"
VISIT = ("blood", "mri-contrast")

_SITES: tuple[dict[str, str], ...] = (
    {"code": "riverside", "name": "Riverside Clinic", "zone": "Europe/Berlin", "phone": "+493012345601"},
    {"code": "old-mill", "name": "Old Mill Clinic", "zone": "Europe/Berlin", "phone": "+493012345602"},
    {"code": "harbour", "name": "Harbour Clinic", "zone": "America/Halifax", "phone": "+19025550103"},
)
_TESTS: tuple[dict[str, str], ...] = (
    {"code": "blood", "name": "Blood draw", "duration_minutes": "10", "preparation": "Nothing to eat for 8 hours."},
    {"code": "ecg", "name": "ECG", "duration_minutes": "20"},
    {"code": "stress-ecg", "name": "Stress ECG", "duration_minutes": "30", "lead_minutes": "120"},
    {"code": "xray", "name": "X-ray", "duration_minutes": "15"},
    {"code": "ultrasound", "name": "Ultrasound", "duration_minutes": "30", "preparation": "Drink a litre of water."},
    {"code": "ct", "name": "CT", "duration_minutes": "20", "min_interval_days": "2"},
    {"code": "mri", "name": "MRI", "duration_minutes": "30", "preparation": "Leave all metal at home."},
    {
        "code": "mri-contrast",
        "name": "MRI with contrast",
        "duration_minutes": "60",
        "lead_minutes": "240",
        "min_interval_days": "7",
        "preparation": "Leave all metal at home. Bring a recent creatinine value.",
    },
)
_RESOURCES = (
    ("riverside", "lab", "Laboratory", "blood", 20, 4),
    ("riverside", "ecg-1", "ECG room", "ecg,stress-ecg", 30, 1),
    ("riverside", "mri-1", "MRI 1", "mri,mri-contrast", 30, 1),
    ("riverside", "ct-1", "CT 1", "ct", 20, 1),
    ("old-mill", "lab", "Laboratory", "blood", 20, 2),
    ("old-mill", "imaging", "Imaging", "xray,ultrasound", 30, 1),
    ("harbour", "lab", "Laboratory", "blood", 20, 3),
    ("harbour", "us-1", "Ultrasound 1", "ultrasound", 30, 1),
    ("harbour", "xray-1", "X-ray 1", "xray", 15, 1),
)
_FAMILY_NAMES = ("Okafor", "Müller", "Nguyễn", "Иванова", "田中", "Haddad", "Ó Briain", "Παππάς", "שטרן", "Łukasik")
_GIVEN_NAMES = ("Amina", "Jürgen", "Zoë", "Олег", "美咲", "Yusuf")
PATIENTS = len(_FAMILY_NAMES) * len(_GIVEN_NAMES)


@dataclass(frozen=True, slots=True)
class Demo:
    """What the demo made: the site and day to look at, how many slots there are, and the visit's references."""

    site: str
    day: date
    slots: int
    visit: list[str]


def build(context: Context) -> Demo:
    """Makes the clinic, two weeks of slots from tomorrow, 60 patients and one visit. Safe to repeat.

    Raises InvalidInput where numbers must have a format that the demo's numbers do not have.
    """
    people = _people(context)
    if context.embedded:
        servers.up(context)
    first = clock.today("Europe/Berlin") + timedelta(days=1)
    _catalog(context)
    published = schedules.publish(context, first, first + timedelta(days=13))
    kernel.save(context.connection(), "patients", people)

    there = patients.appointments(context, "DEMO-001")
    if not there:
        parts = visits.offers(context, "DEMO-001", VISIT, site=SITE, on=first.isoformat())
        appointments.visit(context, visits.requests("DEMO-001", parts), new_key(), in_order=True)
        there = patients.appointments(context, "DEMO-001")
    return Demo(SITE, first, published.published + published.present, [row["reference"] for row in there])


def _catalog(context: Context) -> None:
    for fields in _SITES:
        catalog.save_site(context, fields)
    for fields in _TESTS:
        catalog.save_test(context, fields)
    for site, code, name, tests, minutes, capacity in _RESOURCES:
        catalog.save_resource(context, {"site": site, "code": code, "name": name, "tests": tests})
        hours = {"site": site, "resource": code, "weekdays": "mon-sun", "opens": "08:00", "closes": "16:00"}
        schedules.add(context, hours | {"slot_minutes": str(minutes), "capacity": str(capacity)})


def _people(context: Context) -> list[dict[str, str]]:
    people = [_patient(n) for n in range(PATIENTS)]
    try:
        for one in people:
            patients.new_number(context.settings, one["mrn"])
    except InvalidInput as problem:
        if problem.code != "mrn-invalid":
            raise
        raise InvalidInput(
            "The demo's patients have numbers such as DEMO-001, which the settings here do not allow.",
            hint="Run it without BOOKCLI_MRN_PATTERN and BOOKCLI_MRN_CHECK.",
            code="mrn-invalid",
        ) from None
    return people


def _patient(n: int) -> dict[str, str]:
    family, given = _FAMILY_NAMES[n % len(_FAMILY_NAMES)], _GIVEN_NAMES[n // len(_FAMILY_NAMES)]
    born = date(1940, 1, 1) + timedelta(days=487 * n)
    return {
        "mrn": f"DEMO-{n + 1:03}",
        "name": f"{given} {family}",
        "birth_date": born.isoformat(),
        "sex": ("female", "male")[n % 2],
    }
