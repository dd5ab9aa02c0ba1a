"""Offers for whole visits, against a real clinic: what is offered can be booked as it is."""

from __future__ import annotations

import uuid

import pytest

from bookcli.core.context import Context
from bookcli.core.errors import InvalidInput, NotFound
from bookcli.core.model.slots import Search
from bookcli.core.services import appointments, catalog, offers, slots, visits
from tests.clinic import Clinic


def _wish(clinic: Clinic, *tests: str, patient: str = "P1", day: int = 1, **more: object) -> offers.Wish:
    where = slots.Search("", (clinic.day(day), clinic.day(day)), ["north"])
    return offers.Wish(tests, where, patient, **more)  # type: ignore[arg-type]


def test_an_offer_is_booked_as_it_was_offered(clinic: Clinic) -> None:
    found = offers.best(clinic.context, _wish(clinic, "mri", "blood"))
    assert len(found) == 3
    assert [part.test for part in found[0].parts] == ["blood", "mri"], "nothing is eaten before the blood draw"
    assert [offer.stay_minutes for offer in found] == [found[0].stay_minutes] * 3
    parts = visits.requests("P1", found[0].takes)
    held = appointments.hold_visit(clinic.context, parts, uuid.uuid4())
    assert held.outcome == "held"
    assert [one.starts_at for one in held.verdicts] == [part.start for part in found[0].parts]
    later = offers.best(clinic.context, _wish(clinic, "mri", "blood"))
    assert found[0].start not in [offer.start for offer in later], "the patient is engaged"
    assert clinic.sound()


def test_what_nothing_is_eaten_before_comes_first_as_the_words_or_the_flag_say(clinic: Clinic) -> None:
    def order() -> list[str]:
        return [part.test for part in offers.best(clinic.context, _wish(clinic, "mri", "blood"))[0].parts]

    assert (order(), catalog.test(clinic.context, "blood").fasting) == (["blood", "mri"], "words")
    for test, fasting in (("blood", "no"), ("mri", "yes")):
        assert catalog.save_test(clinic.context, {"code": test, "fasting": fasting}) == "changed"
    assert (order(), catalog.test(clinic.context, "mri").fasting) == (["mri", "blood"], "yes")
    for test in ("blood", "mri"):
        catalog.save_test(clinic.context, {"code": test, "fasting": "words"})
    assert order() == ["blood", "mri"]
    with pytest.raises(InvalidInput) as problem:
        catalog.save_test(clinic.context, {"code": "mri", "fasting": "maybe"})
    assert problem.value.details["field"] == "fasting"


def test_a_long_test_is_offered_where_the_slots_after_it_are_free(clinic: Clinic) -> None:
    appointments.book(clinic.context, clinic.request(2, "mri", clinic.slot("mri", 1, 2)))
    for offer in offers.best(clinic.context, _wish(clinic, "mri-contrast", "blood", most=2)):
        outcome = appointments.visit(clinic.context, visits.requests("P1", offer.takes), uuid.uuid4())
        assert outcome.outcome == "booked"
        for verdict in outcome.verdicts:
            appointments.cancel(clinic.context, verdict.reference or "")


def test_two_tests_of_one_machine_are_offered_one_after_the_other_and_can_be_booked(clinic: Clinic) -> None:
    for offer in offers.best(clinic.context, _wish(clinic, "mri-contrast", "mri")):
        outcome = appointments.visit(clinic.context, visits.requests("P1", offer.takes), uuid.uuid4())
        assert outcome.outcome == "booked", outcome.reason
        for verdict in outcome.verdicts:
            appointments.cancel(clinic.context, verdict.reference or "")


def test_nothing_is_offered_where_no_site_does_all_of_it(clinic: Clinic) -> None:
    where = slots.Search("", (clinic.day(1), clinic.day(3)))
    assert offers.best(clinic.context, offers.Wish(["mri", "xray"], where)) == []


def test_what_is_not_known_is_named(clinic: Clinic, context: Context) -> None:
    with pytest.raises(NotFound) as problem:
        offers.best(context, _wish(clinic, "blod"))
    assert problem.value.details["nearest"] == ["blood"]
    with pytest.raises(NotFound):
        offers.best(context, _wish(clinic, "blood", patient="nobody"))
    with pytest.raises(InvalidInput):
        offers.best(context, _wish(clinic))


def test_around_a_slot_the_visit_in_it_comes_first_and_then_the_nearest(clinic: Clinic) -> None:
    day, slot = clinic.day(1), clinic.slot("mri", 1, 4)
    (start,) = clinic.row("SELECT starts_at FROM slot WHERE slot_id = %s", (slot,))
    wish = offers.Wish(["mri"], Search("", (day, day), ["north"]), most=2)
    found = offers.around(clinic.context, wish, slot, start)
    assert [one.parts[0].slot_id for one in found] == [slot, clinic.slot("mri", 1, 3), clinic.slot("mri", 1, 5)]
