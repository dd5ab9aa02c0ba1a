"""Sites, tests and resources: found by what people call them, saved once, checked before they are saved."""

from __future__ import annotations

import pytest

from bookcli.core.context import Context
from bookcli.core.errors import InvalidInput, NotFound
from bookcli.core.services import catalog
from tests.clinic import Clinic


@pytest.mark.both_servers
def test_the_catalog_is_listed(clinic: Clinic) -> None:
    assert [one.code for one in catalog.sites(clinic.context)] == ["north", "south"]
    assert [one.code for one in catalog.tests(clinic.context)] == ["blood", "mri", "mri-contrast", "xray"]
    assert [(one.site, one.code, one.tests) for one in catalog.resources(clinic.context)] == [
        ("north", "lab", ("blood",)),
        ("north", "mri-1", ("mri", "mri-contrast")),
        ("south", "xray-1", ("xray",)),
    ]
    assert [one.code for one in catalog.resources(clinic.context, site="Clínica Sul")] == ["xray-1"]


@pytest.mark.parametrize("words", ["south", "SOUTH", " clinica sul ", "CLÍNICA SUL"])
def test_a_site_is_found_by_its_code_or_name(clinic: Clinic, words: str) -> None:
    assert catalog.site(clinic.context, words).code == "south"


def test_what_is_not_there_is_answered_with_what_is_near(clinic: Clinic) -> None:
    with pytest.raises(NotFound) as unknown:
        catalog.site(clinic.context, "nort")
    assert (unknown.value.code, unknown.value.details["nearest"]) == ("site-unknown", ["north"])
    with pytest.raises(NotFound):
        catalog.test(clinic.context, "")
    with pytest.raises(NotFound):
        catalog.resource(clinic.context, "north", "xray-1")


def test_a_name_that_two_sites_have_is_not_guessed(clinic: Clinic) -> None:
    catalog.save_site(clinic.context, {"code": "south", "name": "clinic  north"})
    with pytest.raises(InvalidInput) as unclear:
        catalog.site(clinic.context, "Clinic North")
    assert unclear.value.code == "site-unclear"
    assert catalog.site(clinic.context, "north").zone == "Europe/Berlin"


@pytest.mark.both_servers
def test_saving_says_what_became_of_it(context: Context) -> None:
    site = {"name": "Klinik Süd", "zone": "Europe/Berlin", "phone": "0049 30 901820"}
    assert [catalog.save_site(context, site) for _ in range(2)] == ["created", "unchanged"]
    assert catalog.save_site(context, {"code": "klinik-sud", "phone": ""}) == "changed"
    saved = catalog.site(context, "klinik sud")
    assert (saved.name, saved.zone, saved.phone, saved.active) == ("Klinik Süd", "Europe/Berlin", "", True)


def test_a_new_site_needs_a_zone_and_a_new_test_a_duration(context: Context) -> None:
    for save, field in ((catalog.save_site, "zone"), (catalog.save_test, "duration_minutes")):
        with pytest.raises(InvalidInput) as refusal:
            save(context, {"code": "new"})
        assert (refusal.value.code, refusal.value.details) == ("field-missing", {"field": field})
    with pytest.raises(InvalidInput) as unknown:
        catalog.save_site(context, {"code": "new", "zone": "Berlin"})
    assert (unknown.value.code, "Europe/Berlin" in unknown.value.hint) == ("zone-unknown", True)


def test_changing_one_number_of_a_test_leaves_the_others(clinic: Clinic) -> None:
    before = catalog.test(clinic.context, "mri-contrast")
    assert catalog.save_test(clinic.context, {"code": "mri-contrast", "lead_minutes": "60", "active": ""}) == "changed"
    after = catalog.test(clinic.context, "mri-contrast")
    assert (after.lead_minutes, after.buffer_after_minutes, after.active) == (60, before.buffer_after_minutes, True)


@pytest.mark.parametrize(
    ("field", "text"), [("duration_minutes", "0"), ("window_days", "x"), ("active", "maybe"), ("colour", "red")]
)
def test_a_field_of_a_test_is_checked_before_it_is_saved(context: Context, field: str, text: str) -> None:
    with pytest.raises(InvalidInput):
        catalog.save_test(context, {"code": "ct", "duration_minutes": "20", field: text})
    assert catalog.tests(context) == []


def test_the_tests_of_a_resource_are_the_whole_list(clinic: Clinic) -> None:
    lab = {"site": "clinic north", "code": "lab"}
    assert catalog.save_resource(clinic.context, {**lab, "tests": "Blood draw, X-RAY,"}) == "changed"
    assert catalog.resource(clinic.context, "north", "lab").tests == ("blood", "xray")
    assert catalog.save_resource(clinic.context, {**lab, "name": "Laboratory"}) == "unchanged"
    for fields in ({**lab, "tests": "blod"}, {**lab, "site": "nowhere"}):
        with pytest.raises(NotFound):
            catalog.save_resource(clinic.context, fields)
    with pytest.raises(InvalidInput):
        catalog.save_resource(clinic.context, {"code": "lab"})


def test_what_is_out_of_use_is_listed_only_when_asked_for(clinic: Clinic) -> None:
    catalog.save_site(clinic.context, {"code": "south", "active": "no"})
    catalog.save_test(clinic.context, {"code": "xray", "active": "no"})
    assert [one.code for one in catalog.sites(clinic.context)] == ["north"]
    assert "south" in [one.code for one in catalog.sites(clinic.context, everything=True)]
    assert "xray" not in [one.code for one in catalog.tests(clinic.context)]
    assert [one.site for one in catalog.resources(clinic.context)] == ["north", "north"]
    assert len(catalog.resources(clinic.context, everything=True)) == 3
