"""What is free is found through the cache: the same answer, without the database, and honest when that is away."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from bookcli.core import clock
from bookcli.core.config import Settings
from bookcli.core.context import Context
from bookcli.core.errors import InvalidInput, NotFound, Refused, Unavailable
from bookcli.core.model.requests import Place
from bookcli.core.model.slots import Search
from bookcli.core.services import appointments, availability, cache, catalog, places, schedules, slots
from tests import caching
from tests.clinic import Clinic
from tests.valkeys import Valkey
from tests.valkeys import valkey as own_valkey

TESTS = ("mri", "mri-contrast", "blood", "xray")
CONNECTING = ("cmdstat_client", "cmdstat_hello", "cmdstat_config", "cmdstat_info")


@pytest.fixture
def desk(clinic: Clinic, valkey: Valkey) -> Iterator[Context]:
    with caching.desk(clinic, valkey) as context:
        yield context


@pytest.fixture
def cut_off(clinic: Clinic, valkey: Valkey) -> Iterator[Context]:
    with caching.cut_off(clinic, valkey) as context:
        yield context


def _searches(first: date) -> st.SearchStrategy[Search]:
    whole = st.integers(0, 96).map(lambda quarter: time(quarter // 4 % 24, quarter % 4 * 15))
    hours = st.none() | st.tuples(whole, whole)
    days = st.tuples(st.integers(-2, 12), st.integers(0, 12)).map(
        lambda n: (first + timedelta(days=n[0]), first + timedelta(days=n[0] + n[1]))
    )
    sites = st.lists(st.sampled_from(["north", "south"]), unique=True, max_size=2)
    return st.builds(
        Search, st.sampled_from(TESTS), days, sites, hours, most=st.sampled_from([1, 3, 200]), everything=st.booleans()
    )


def _make_busy(clinic: Clinic, chance: random.Random) -> None:
    """A clinic in which something of everything has happened."""
    catalog.save_test(clinic.context, {"code": "mri", "lead_minutes": "2000", "window_days": "7"})
    for n in range(1, 16):
        test = chance.choice(TESTS)
        request = clinic.request(n, test, clinic.slot(test, chance.randint(1, 4), chance.randint(0, 13)))
        request = replace(request, hold_seconds=chance.choice([None, 3600]))
        appointments.book(clinic.context, request)
    start = slots.find(clinic.context, Search("blood", (clinic.day(3), clinic.day(3))))[4].start
    schedules.close(clinic.context, "north", "lab", start, start + timedelta(hours=2), "")


@pytest.mark.both_servers
def test_the_cache_answers_as_the_database_does_at_that_moment(
    clinic: Clinic, desk: Context, cut_off: Context, valkey: Valkey
) -> None:
    _make_busy(clinic, random.Random("a busy clinic"))
    found = 0

    @examples(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
    @given(_searches(clinic.day(1)))
    def same(search: Search) -> None:
        nonlocal found
        before = slots.find(clinic.context, search)
        slots.find(desk, search)
        cached = slots.look(cut_off, search)
        assume(slots.find(clinic.context, search) == before)
        assert cached.slots == before
        assert not (cached.stale or cached.away or cached.unknown)
        found += len(before)

    same()
    assert found > 100


def test_an_answer_of_the_cache_opens_no_connection_and_is_one_round_trip(
    clinic: Clinic, desk: Context, valkey: Valkey
) -> None:
    search = Search("blood", (clinic.day(1), clinic.day(7)), ["north"])
    filled = slots.find(desk, search)
    with caching.desk(clinic, valkey) as other:
        slots.find(other, search)
        valkey.client.config_resetstat()
        assert slots.find(other, search) == filled
        stats = valkey.client.info("commandstats")
        ours = {name: stats[name]["calls"] for name in stats if not name.startswith(CONNECTING)}
        assert ours == {"cmdstat_mget": 1}
        assert other._connection is None


@pytest.mark.unpooled
def test_no_session_of_the_database_is_made_for_an_answer_of_the_cache(
    clinic: Clinic, desk: Context, valkey: Valkey
) -> None:
    def sessions() -> int:
        return int(clinic.row("SELECT sessions FROM pg_stat_database WHERE datname = current_database()")[0])

    search = Search("xray", (clinic.day(1), clinic.day(7)))
    slots.find(desk, search)
    desk.close()
    before = sessions()
    for _ in range(3):
        with caching.desk(clinic, valkey) as other:
            assert slots.find(other, search)
    assert sessions() == before
    valkey.client.flushall()
    with caching.desk(clinic, valkey) as other:
        assert slots.find(other, search)
    assert sessions() == before + 1


def test_a_day_without_slots_is_known_to_be_empty(clinic: Clinic, desk: Context, cut_off: Context) -> None:
    search = Search("mri", (clinic.day(30), clinic.day(30)))
    assert slots.find(desk, search) == []
    answer = slots.look(cut_off, search)
    assert (answer.slots, answer.away, answer.unknown) == ([], False, ())


@pytest.mark.both_servers
def test_whatever_changes_the_cache_follows_at_once(clinic: Clinic, desk: Context, cut_off: Context) -> None:
    chance = random.Random("changes")
    references: list[str] = []

    def book(hold: bool = False) -> None:
        test = chance.choice(TESTS)
        request = clinic.request(
            chance.randint(1, 20), test, clinic.slot(test, chance.randint(1, 3), chance.randint(0, 15))
        )
        outcome = appointments.hold(desk, request) if hold else appointments.book(desk, request)
        references.extend(verdict.reference or "" for verdict in outcome.verdicts if verdict.won)

    def visit() -> None:
        parts = [clinic.request(7, test, clinic.slot(test, 2, chance.randint(0, 15))) for test in ("mri", "blood")]
        appointments.visit(desk, parts, parts[0].key)

    def move() -> None:
        if references:
            place = Place(site="north", day=clinic.day(chance.randint(1, 3)))
            appointments.reschedule(desk, chance.choice(references), clinic.request(1, "mri", place=place))

    def cancel() -> None:
        if references:
            appointments.cancel(desk, references.pop(chance.randrange(len(references))))

    def confirm() -> None:
        if references:
            appointments.confirm(desk, chance.choice(references))

    def capacity() -> None:
        schedules.set_capacity(desk, clinic.slot("blood", 2, chance.randint(0, 15)), chance.randint(1, 6))

    def close() -> None:
        start = chance.choice(slots.find(clinic.context, Search("blood", (clinic.day(1), clinic.day(3))))).start
        schedules.close(desk, "north", chance.choice(["", "lab"]), start, start + timedelta(hours=1), "")

    def reopen() -> None:
        for closure in schedules.closures(desk)[:1]:
            schedules.reopen(desk, closure.closure_id)

    def rules() -> None:
        catalog.save_test(desk, {"code": chance.choice(TESTS), "buffer_after_minutes": str(chance.choice([0, 15]))})

    deeds = [book, lambda: book(hold=True), visit, move, cancel, confirm, capacity, close, reopen, rules]
    for n in range(60):
        try:
            chance.choice(deeds if n % 2 else deeds[:5])()
        except (Refused, NotFound, InvalidInput):
            continue
        for search in caching.every_search(clinic):
            there = slots.find(clinic.context, search)
            assert _shown(slots.look(desk, search).slots) == _shown(there)
            assert _shown(slots.look(cut_off, search).slots) == _shown(there)
    assert clinic.sound()


def _shown(found: list[slots.Slot]) -> list[tuple[object, ...]]:
    """What people see of slots, line by line."""
    return [(slot.start, slot.resource, slot.capacity, slot.remaining, slot.status, slot.version) for slot in found]


def test_publishing_is_seen_at_once(clinic: Clinic, desk: Context) -> None:
    search = Search("xray", (clinic.day(11), clinic.day(12)))
    assert slots.find(desk, search) == []
    hours = {"site": "south", "resource": "xray-1", "weekdays": "mon-sun", "opens": "8:00", "closes": "10:00"}
    schedules.add(desk, hours | {"slot_minutes": "30"})
    schedules.publish(desk, clinic.day(11), clinic.day(11))
    assert len(slots.find(desk, search)) == 4


def test_a_booking_sets_its_slot_without_another_look_at_the_database(
    clinic: Clinic, desk: Context, cut_off: Context
) -> None:
    search = Search("blood", (clinic.day(1), clinic.day(1)), most=1)
    assert slots.find(desk, search)[0].remaining == 4
    appointments.book(desk, clinic.request(1, "blood", clinic.slot("blood")))
    answer = slots.look(cut_off, search)
    assert (answer.slots[0].remaining, answer.stale, answer.away) == (3, False, False)


def test_what_follows_a_change_waits_for_the_answer_where_it_is_told_to(
    clinic: Clinic, desk: Context, cut_off: Context, valkey: Valkey
) -> None:
    search = Search("blood", (clinic.day(1), clinic.day(1)), most=1)
    slots.find(desk, search)
    with caching.desk(clinic, valkey) as command:
        command.answer_first()
        appointments.book(command, clinic.request(1, "blood", clinic.slot("blood")))
        assert command._cache is None
        assert slots.find(cut_off, search)[0].remaining == 4
    assert slots.find(cut_off, search)[0].remaining == 3


def test_the_database_away_is_said_with_the_age_of_what_is_shown(clinic: Clinic, desk: Context, valkey: Valkey) -> None:
    search = Search("blood", (clinic.day(1), clinic.day(2)))
    fresh = slots.look(desk, search)
    caching.age(valkey.client, 600)
    with caching.cut_off(clinic, valkey, soft=5) as cut_off:
        answer = slots.look(cut_off, search)
    assert (answer.slots, answer.as_of) == (fresh.slots, min(answer.as_of, fresh.as_of))
    assert (answer.stale, answer.away, answer.unknown) == (True, True, ())


def test_what_nobody_knows_is_neither_free_nor_full(clinic: Clinic, desk: Context, cut_off: Context) -> None:
    with pytest.raises(Unavailable, match="unknown") as nothing:
        slots.find(cut_off, Search("blood", (clinic.day(1), clinic.day(2))))
    assert nothing.value.code == "availability-unknown"
    with pytest.raises(Unavailable, match="unknown"):
        places.search(cut_off, places.Wish("blood", ["north"]))
    slots.find(desk, Search("blood", (clinic.day(1), clinic.day(1))))
    answer = slots.look(cut_off, Search("blood", (clinic.day(1), clinic.day(2))))
    assert {slot.start.date() for slot in answer.slots} == {clinic.day(1)}
    assert (answer.stale, answer.away, [one.day for one in answer.unknown]) == (True, True, [clinic.day(2)])


def test_a_database_that_is_away_is_waited_for_once_in_a_search(
    clinic: Clinic, desk: Context, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = places.Wish("blood", ["north"], on=clinic.day(1).isoformat())
    found = slots.find(desk, places.search(desk, wish))
    caching.age(valkey.client, 600)
    asked: list[float] = []

    def nobody_answers() -> None:
        asked.append(availability.PATIENCE)
        raise Unavailable("The database does not answer.", code="database-away")

    with caching.cut_off(clinic, valkey, soft=5) as context:
        monkeypatch.setattr(context, "_open", nobody_answers)
        answer = slots.look(context, places.search(context, wish))
    assert (answer.slots, answer.away) == (found, True)
    assert len(asked) == 1
    assert asked[0] < 0.5


def test_a_closed_day_is_not_shown_as_it_was_before(clinic: Clinic, desk: Context, cut_off: Context) -> None:
    search = Search("blood", (clinic.day(2), clinic.day(2)))
    start = slots.find(desk, search)[0].start
    schedules.close(desk, "north", "", start, start + timedelta(hours=12), "flood")
    with pytest.raises(Unavailable, match="unknown"):
        slots.find(cut_off, search)


def test_the_words_of_a_search_are_understood_without_the_database(
    clinic: Clinic, desk: Context, cut_off: Context
) -> None:
    wish = places.Wish("xray", ["south"], on="tomorrow", part="am")
    assert places.search(desk, wish) == places.search(cut_off, wish)
    assert places.zone_of(cut_off, ["south"]) == "America/Sao_Paulo"


def test_what_does_not_exist_is_answered_with_what_is_near(clinic: Clinic, desk: Context) -> None:
    day = clinic.day(1)
    for search in (Search("mrii", (day, day)), Search("mri", (day, day), ["nort"])):
        with pytest.raises(NotFound) as problem:
            slots.find(desk, search)
        assert problem.value.details["nearest"]
    assert len(slots.find(desk, Search("mri", (day, day), ["north", "nort"]))) == 16


def test_a_search_too_long_for_the_cache_is_answered_by_the_database(clinic: Clinic, desk: Context) -> None:
    days = (clinic.day(1), clinic.day(1) + timedelta(days=availability.MOST_DAYS))
    assert slots.find(desk, Search("mri", days)) == slots.find(clinic.context, Search("mri", days))
    assert cache.show(desk).entries == []


def test_without_redis_nothing_is_started_and_nothing_is_cached(clinic: Clinic) -> None:
    context = Context(Settings(database_url=clinic.context.dsn), clinic.context.paths)
    with context:
        assert slots.find(context, Search("mri", (clinic.day(1), clinic.day(1))))
        assert context.slot_cache() is None
        with pytest.raises(Unavailable) as problem:
            cache.warm(context)
    assert problem.value.code == "cache-missing"
    assert not context.paths.valkey.exists()


def test_a_warm_cache_answers_everything_that_can_be_booked_soon(
    clinic: Clinic, desk: Context, cut_off: Context
) -> None:
    assert cache.warm(desk, days=12) == 12 * len(TESTS)
    for search in caching.every_search(clinic, everything=False):
        search = replace(search, days=(clinic.day(1), clinic.day(10)))
        answer = slots.look(cut_off, search)
        assert answer.slots == slots.find(clinic.context, search)
        assert not answer.away
    cut_off.close()
    state = cache.show(desk)
    assert (state.hits, state.searches, len(state.entries)) == (4, 4, 12 * len(TESTS))
    assert cache.drop(desk, site="south") == 12
    assert {entry.site for entry in cache.show(desk).entries} == {"north"}
    assert cache.drop(desk) == 36
    assert cache.show(desk).entries == []


def test_a_screen_is_told_what_has_changed(clinic: Clinic, desk: Context, valkey: Valkey) -> None:
    with caching.desk(clinic, valkey) as screen:
        told = slots.changes(screen, ["north", "south"], patience=0.05)
        assert next(told) is None
        appointments.book(desk, clinic.request(1, "blood", clinic.slot("blood", 2)))
        assert next(filter(None, told)) == ("north", clinic.day(2))
        schedules.close(desk, "south", "", *_hour(clinic), "")
        assert next(filter(None, told))[0] == "south"


def test_a_booking_that_is_made_is_not_called_a_mistake_because_of_a_setting(clinic: Clinic, valkey: Valkey) -> None:
    wrong = replace(caching.settings(clinic.context.dsn, valkey.url), cache_soft_seconds="soon")
    with Context(wrong, clinic.context.paths) as context:
        assert appointments.book(context, clinic.request(1, "mri", clinic.slot("mri"))).outcome == "booked"
        with pytest.raises(InvalidInput, match="cache_soft_seconds"):
            slots.find(context, Search("mri", (clinic.day(1), clinic.day(1))))


def test_a_desk_with_a_wrong_clock_finds_what_the_others_find(clinic: Clinic, desk: Context, cut_off: Context) -> None:
    search = Search("mri", (clinic.day(1), clinic.day(3)))
    right = slots.find(desk, search)
    clock.set_source(lambda: datetime(2039, 1, 1, tzinfo=UTC))
    try:
        answer = slots.look(cut_off, search)
    finally:
        clock.set_source(None)
    assert answer.slots == right
    assert answer.age < 60


def test_a_screen_goes_on_without_redis(clinic: Clinic) -> None:
    with own_valkey() as server, caching.desk(clinic, server) as screen:
        told = slots.changes(screen, ["north"], patience=0.05)
        assert next(told) is None
        server.stop()
        assert list(told) == []


def _hour(clinic: Clinic) -> tuple[datetime, datetime]:
    start = slots.find(clinic.context, Search("xray", (clinic.day(1), clinic.day(1))))[0].start
    return start, start + timedelta(hours=1)
