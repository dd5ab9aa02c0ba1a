"""Visits are as short as they can be, whatever is free; checked against trying every way there is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise, permutations, product

from hypothesis import given
from hypothesis import strategies as st

from bookcli.core.model.offers import Engaged, Offer, Order, Rules, best, wants_fasting
from bookcli.core.model.slots import Slot

DAY = datetime(2030, 1, 7, 8, tzinfo=UTC)
TESTS = ("blood", "ecg", "mri")
RULES = {test: Rules(timedelta(minutes=10)) for test in TESTS}


def at(minutes: int) -> datetime:
    return DAY + timedelta(minutes=minutes)


def slot(test: str, start: int, length: int = 10, resource: str = "", site: str = "north") -> Slot:
    number = start * 100 + len(test) * 10 + length
    return Slot(number, site, "UTC", test, resource or test, at(start), at(start + length), 1, 1, "free", 1)


def stays(offers: list[Offer]) -> list[tuple[int, datetime]]:
    return [(offer.stay_minutes, offer.start) for offer in offers]


def every_way(tests: tuple[str, ...], free: list[Slot], gap: int) -> list[tuple[int, datetime]]:
    """For each start the shortest stay of all ways, best first."""
    shortest: dict[datetime, int] = {}
    for order in permutations(tests):
        for way in product(*([one for one in free if one.test == test] for test in order)):
            if all(a.end + timedelta(minutes=gap) <= b.start for a, b in pairwise(way)):
                stay = round((way[-1].end - way[0].start).total_seconds() / 60)
                shortest[way[0].start] = min(stay, shortest.get(way[0].start, stay))
    return sorted((stay, start) for start, stay in shortest.items())


SLOTS = st.lists(
    st.builds(slot, st.sampled_from(TESTS), st.integers(0, 30).map(lambda n: n * 5), st.sampled_from([10, 15, 20])),
    max_size=14,
    unique_by=lambda one: (one.test, one.start),
)


@given(SLOTS, st.lists(st.sampled_from(TESTS), min_size=1, max_size=3, unique=True), st.sampled_from([0, 5, 15]))
def test_the_three_best_visits_are_those_that_trying_everything_finds(
    free: list[Slot], tests: list[str], gap: int
) -> None:
    offers = best(tests, free, RULES, order=Order(timedelta(minutes=gap)))
    assert stays(offers) == every_way(tuple(tests), free, gap)[:3]
    for offer in offers:
        assert sorted(part.test for part in offer.parts) == sorted(tests)


def test_a_test_before_which_nothing_is_eaten_comes_first_although_it_makes_the_visit_longer() -> None:
    rules = {**RULES, "blood": Rules(timedelta(minutes=10), fasting=True)}
    free = [slot("mri", 0), slot("blood", 10), slot("mri", 60)]
    (offer,) = best(["mri", "blood"], free, rules)
    assert [part.test for part in offer.parts] == ["blood", "mri"]
    assert offer.stay_minutes == 60
    assert wants_fasting("Nothing to eat for 8 hours.")
    assert wants_fasting("Bitte nüchtern kommen.")
    assert not wants_fasting("No metal.")


def test_a_given_order_is_kept_although_another_is_shorter() -> None:
    free = [slot("mri", 0), slot("blood", 10), slot("mri", 60)]
    (offer,) = best(["blood", "mri"], free, RULES, order=Order(given=True))
    assert [part.start for part in offer.parts] == [at(10), at(60)]


def test_the_patients_other_appointments_are_in_the_way_and_so_is_the_same_test_too_near() -> None:
    free = [slot("blood", 0), slot("blood", 30), slot("blood", 60)]
    offers = best(["blood"], free, RULES, engaged=[Engaged("mri", at(5), at(25))])
    assert [offer.start for offer in offers] == [at(30), at(60)]
    rules = {"blood": Rules(timedelta(minutes=10), interval=timedelta(days=7))}
    week = timedelta(days=7)
    near = Engaged("blood", at(0) - week, at(0) - week + timedelta(minutes=10))
    assert [offer.start for offer in best(["blood"], free, rules, engaged=[near])] == [at(30), at(60)]


def test_a_visit_is_at_one_site_and_the_earliest_of_equals_comes_first() -> None:
    free = [slot("blood", 0), slot("ecg", 10, site="south"), slot("ecg", 90), slot("blood", 70, site="south")]
    free += [slot("ecg", 80, site="south")]
    offers = best(["blood", "ecg"], free, RULES)
    assert [(offer.parts[0].site, offer.stay_minutes) for offer in offers] == [
        ("south", 20),
        ("south", 70),
        ("north", 100),
    ]


def test_two_tests_on_one_machine_leave_room_for_what_has_to_be_cleaned() -> None:
    rules = {"mri": Rules(timedelta(minutes=20)), "ct": Rules(timedelta(minutes=20), after=timedelta(minutes=15))}
    free = [slot("ct", 0, 20, "one"), *(slot("mri", start, 20, "one") for start in (20, 40))]
    (offer,) = best(["ct", "mri"], free, rules)
    assert [part.start for part in offer.parts] == [at(0), at(40)]


def test_a_full_day_of_five_tests_is_searched_within_its_bounds() -> None:
    tests = ["a", "b", "c", "d", "e"]
    rules = {test: Rules(timedelta(minutes=5)) for test in tests}
    free = [slot(test, 7 * n + k, 5) for k, test in enumerate(tests) for n in range(40)]
    assert stays(best(tests, free, rules))[0][0] >= 25
