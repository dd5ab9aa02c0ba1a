"""Weekly hours, publishing and closing, by keys pressed and text seen, on the real database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from bookcli.core.context import Context
from bookcli.core.model.text import visible
from bookcli.core.services import appointments, closings, schedules
from bookcli.tui import keys
from tests.clinic import Clinic, first_day
from tests.faults import outages
from tests.faults.proxy import Proxy
from tests.servers import Server
from tests.tui.harness import HOSTILE, SMALL, Seat, sit
from tests.tui.test_agenda import line
from tests.tui.test_board import channels
from tests.valkeys import Valkey

HOURS = {
    "site": "north",
    "resource": "mri-1",
    "weekdays": "mon-fri",
    "opens": "8",
    "closes": "16",
    "slot_minutes": "30",
}


def booked(clinic: Clinic, patient: int, index: int) -> str:
    """Books an MRI on day 2, in the slot of that index; its reference."""
    outcome = appointments.book(clinic.context, clinic.request(patient, "mri", clinic.slot("mri", 2, index)))
    assert outcome.outcome == "booked"
    return str(outcome.verdicts[0].reference)


def starts(clinic: Clinic, *references: str) -> list[str]:
    """The local times of day of appointments."""
    return [
        clinic.row(
            "SELECT to_char(s.local_start, 'HH24:MI') FROM appointment a JOIN slot s USING (slot_id)"
            " WHERE app.reference_of(a.appointment_id) = %s",
            (reference,),
        )[0]
        for reference in references
    ]


def hours(clinic: Clinic) -> list[tuple[int, str, str]]:
    """Weekday, opening and validity of all hours."""
    rows = clinic.rows("SELECT weekday, to_char(opens, 'HH24:MI'), valid::text FROM schedule ORDER BY 1, 2, 3")
    return [(weekday, opens, valid) for weekday, opens, valid in rows]


async def enter(seat: Seat) -> None:
    """Goes to the schedules."""
    await seat.sees("No slots")
    await seat.press("6")
    await seat.sees("○ none" if "mon-fri" not in seat.text() else "mon-fri")


async def asks_to_close(
    seat: Seat, clinic: Clinic, first: str = "10:00", last: str = "11:00", reason: str = ""
) -> None:
    """Types that mri-1 is closed on day 2 for a time, and asks who is affected."""
    day = clinic.day(2)
    await seat.press("down", "c")
    await seat.sees("Close for a time", "Resource      mri-1")
    await seat.press(f"paste:{day} {first}", "enter")
    await seat.press(f"paste:{day} {last}", "enter", *([f"paste:{reason}"] if reason else []))
    await seat.sees(f"{day:%a %d %b %Y} {first}–{last}")
    await seat.press("enter")
    await seat.sees("Close mri-1")


def test_hours_closures_and_how_far_is_published_are_read(clinic: Clinic) -> None:
    schedules.add(clinic.context, HOURS)
    schedules.add(clinic.context, {**HOURS, "opens": "17", "closes": "24:00", "valid_until": "2020-12-31"})
    period = [clinic.row("SELECT now() + %s::interval", (f"{days} days",))[0] for days in (3, 4)]
    schedules.close(clinic.context, "north", "", period[0], period[1], "holidays")
    last = first_day() + timedelta(days=9)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("Clinic North  published to", "1 closed ahead", "the whole site", "holidays")
        assert all(
            words in line(seat, "mon-fri") for words in ("mri-1", "08:00–16:00", "30 min", f"to {last:%d %b %Y}")
        )
        assert "lab" in line(seat, "○ none")
        assert "17:00" not in seat.text(), "what has ended is over"
        await seat.press("down", "down", "enter")
        await seat.sees("Booked while the whole site is closed", "Nobody is booked then.")
        await seat.press("escape", "up", "enter")
        await seat.sees("Change mri-1 mon-fri 08:00–16:00", "The old hours end the day before.")

    sit(clinic.context, play, SMALL)


def test_hours_are_added_what_is_wrong_is_said_at_its_field_and_u_takes_them_back(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.press("a")
        await seat.sees("Add weekly hours", "Resource      lab")
        await seat.press("paste:xyz", "enter")
        await seat.sees("The weekdays are not clear.")
        await seat.press("shift+tab", "ctrl+u", "paste:mon,tue", "enter", "paste:8", "enter", "paste:7", "enter")
        await seat.press("paste:30", "ctrl+s")
        await seat.sees("No slot fits between")
        assert hours(clinic) == []
        await seat.press("ctrl+u", "paste:24:00", "ctrl+s")
        await seat.hears("Added hours of lab mon,tue on 2 days", "u takes it back.")
        await seat.sees("mon,tue", "08:00–24:00")
        await seat.press("u")
        await seat.hears("Taken back: nothing more is published from these hours.")
        await seat.misses("08:00–24:00")
        assert hours(clinic) == []
        schedules.add(clinic.context, {**HOURS, "resource": "lab", "weekdays": "mon"})
        await seat.press("a", "paste:mon-tue", "enter", "paste:9", "enter", "paste:10", "enter", "paste:30", "ctrl+s")
        await seat.sees("On mon these hours overlap", "were added.")

    sit(clinic.context, play, SMALL)
    assert [(weekday, opens) for weekday, opens, _ in hours(clinic)] == [(1, "08:00"), (2, "09:00")]


def test_hours_are_changed_from_a_day_on_and_ended_after_a_question(clinic: Clinic) -> None:
    schedules.add(clinic.context, HOURS)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.press("down", "e")
        await seat.sees("Change mri-1 mon-fri")
        await seat.press(
            "ctrl+u", "paste:mon", "enter", "ctrl+u", "paste:9", *["enter"] * 4, "ctrl+u", "paste:2031-01-01"
        )
        await seat.press("ctrl+s")
        await seat.hears("mri-1 has other hours on 1 day from Wed 01 Jan 2031.")
        await seat.sees("from 01 Jan 2031", "to 31 Dec 2030")
        await seat.press("up", "down", "x", "ctrl+u", "paste:2030-06-30")
        await seat.sees("End mri-1 mon-fri", "Sunday 30 June 2030", "Slots that are there stay as they are")
        await seat.press("enter")
        await seat.sees("on Sun 30 Jun 2030?", "u does not take that back")
        await seat.press("enter")
        await seat.misses("Jun 2030?")
        await seat.press("enter", "y")
        await seat.hears("end on Sun 30 Jun 2030.")

    sit(clinic.context, play)
    assert hours(clinic) == [
        (1, "08:00", "(,2030-07-01)"),
        (1, "09:00", "[2031-01-01,)"),
        *((day, "08:00", "(,2030-07-01)") for day in (2, 3, 4, 5)),
    ]


def test_a_change_whose_answer_was_lost_is_saved_again_though_it_was_done(clinic: Clinic, tmp_path: Path) -> None:
    schedules.add(clinic.context, {**HOURS, "valid_from": "2031-01-01"})
    proxy = Proxy(clinic.context.dsn, tmp_path, "answer", b"app.replace_schedules(")

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.press("down", "e")
        await seat.sees("Change mri-1 mon-fri", "2031-01-01")
        await seat.press("ctrl+u", "paste:mon", "enter", "ctrl+u", "paste:9", "ctrl+s")
        await seat.sees("◷ UNKNOWN — perhaps saved, perhaps not. Save again")
        await seat.press("ctrl+s")
        await seat.hears("mri-1 has other hours on 1 day from Wed 01 Jan 2031.")

    with clinic.desk_at(proxy.dsn) as desk:
        sit(desk, play)
    proxy.close()
    assert hours(clinic) == [(1, "09:00", "[2031-01-01,)")]


def test_publishing_says_what_it_would_do_before_it_does_it(clinic: Clinic) -> None:
    schedules.add(clinic.context, {**HOURS, "resource": "lab", "weekdays": "daily", "opens": "15", "closes": "17"})

    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        await seat.press("6")
        await seat.sees("15:00–17:00")
        await seat.press("p", "paste:yesterday", "enter")
        await seat.sees("That day is over.")
        await seat.press("ctrl+u", f"paste:{clinic.day(2)}")
        await seat.sees(f"to {clinic.day(2):%a %d %b %Y}")
        await seat.press("enter")
        await seat.sees("Publish ", "4 slots are there", "None is changed.")
        before = clinic.row("SELECT count(*) FROM slot")
        await seat.press("enter")
        await seat.misses("Publish 6 slots?", "Publish 8 slots?", "Publish 4 slots?")
        assert clinic.row("SELECT count(*) FROM slot") == before
        await seat.press("enter")
        await seat.sees("None is changed.")
        await seat.press("y")
        await seat.hears("Published ", "4 were there.")
        await seat.press("p", f"paste:{clinic.day(2)}", "enter")
        await seat.sees("○ Nothing is missing")

    sit(clinic.context, play, SMALL)


def test_a_machine_is_closed_everybody_moved_at_once_and_all_of_it_taken_back(clinic: Clinic) -> None:
    first, second = booked(clinic, 1, 4), booked(clinic, 3, 5)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await asks_to_close(seat, clinic, reason="repair")
        await seat.sees("For: repair. 2 booked then; everybody has a new place.", "Close, move all", "Move whom it can")
        assert all(words in line(seat, "Ana Müller") for words in ("10:00", "09:30 mri-1"))
        assert all(words in line(seat, "Łukasz Żółć") for words in ("10:30", "11:00 mri-1"))
        await seat.press("enter")
        await seat.misses("Close mri-1")
        await seat.sees("Close for a time", "repair")
        assert starts(clinic, first, second) == ["10:00", "10:30"]
        await seat.press("enter")
        await seat.sees("Close mri-1")
        await seat.press("right", "right", "enter")
        await seat.hears("Closed mri-1", "moved 2.", "u takes it back.")
        await seat.sees("1 closed ahead", "repair")
        assert starts(clinic, first, second) == ["09:30", "11:00"]
        await seat.press("u")
        await seat.hears("Taken back: 2 slots are open again, and 2 are back.")
        await seat.sees("Nothing is closed ahead")
        assert starts(clinic, first, second) == ["10:00", "10:30"]

    sit(clinic.context, play)
    assert clinic.sound()


def test_who_has_no_place_stays_and_is_listed_and_a_closure_is_opened_again_after_a_question(clinic: Clinic) -> None:
    first, second = booked(clinic, 1, 4), booked(clinic, 3, 5)
    open_ones = [clinic.slot("mri", 2, index) for index in (4, 5, 6)]
    clinic.run("UPDATE slot SET status = 'busy-unavailable' WHERE slot_id <> ALL (%s)", (open_ones,))

    async def play(seat: Seat) -> None:
        await enter(seat)
        await asks_to_close(seat, clinic)
        await seat.sees("2 booked then; ▲ 1 has no place", "▲ no place", "11:00 mri-1")
        await seat.misses("Close, move all")
        await seat.press("right", "right", "enter")
        await seat.hears("moved 1, 1 stays booked then.")
        await seat.sees("Booked still: mri-1", "booked")
        await seat.press("escape", "down", "down", "delete")
        await seat.sees("Re-open mri-1", "Who was moved", "Keep closed")
        await seat.press("enter")
        await seat.misses("Keep closed")
        assert len(schedules.closures(clinic.context)) == 1
        await seat.press("o", "y")
        await seat.hears("Re-opened mri-1", "u takes it back.")
        await seat.sees("Nothing is closed ahead")
        await seat.press("u")
        await seat.hears("Closed again; who was booked meanwhile stays booked.")
        await seat.sees("1 closed ahead")

    sit(clinic.context, play)
    assert sorted(starts(clinic, first, second)) in (["10:00", "11:00"], ["10:30", "11:00"])


def test_closing_alone_lists_who_stays_and_enter_opens_them(clinic: Clinic) -> None:
    reference = booked(clinic, 1, 4)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await asks_to_close(seat, clinic)
        await seat.press("right", "enter")
        await seat.hears("1 stays booked then.")
        await seat.sees("Booked still: mri-1", "Ana Müller", reference)
        await seat.press("enter")
        await seat.sees("● booked", "History")
        await seat.press("escape", "u")
        await seat.hears("Taken back: 2 slots are open again.")
        await seat.misses("Booked still")

    sit(clinic.context, play, SMALL)
    looks = clinic.row("SELECT count(*) FROM app.audit WHERE action = 'look-affected'")
    assert looks[0] >= 3, "every look at who is affected is written down"


def test_a_place_or_a_right_that_is_gone_meanwhile_is_said_and_nothing_is_closed(clinic: Clinic) -> None:
    booked(clinic, 1, 4)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await asks_to_close(seat, clinic)
        await seat.sees("09:30 mri-1")
        booked(clinic, 3, 3)
        await seat.press("right", "right", "enter")
        await seat.sees("✕ REFUSED", "Nothing was closed: 1 of those", "09:00 mri-1")
        assert schedules.closures(clinic.context) == []
        clinic.run("DELETE FROM app.role_permission WHERE permission = 'manage-schedules'")
        await seat.press("right", "enter")
        await seat.sees("▲ You are not allowed to do that.", "Close mri-1")
        assert schedules.closures(clinic.context) == []

    sit(clinic.context, play)


def test_what_is_no_time_is_said_at_its_field(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.press(
            "c", "shift+tab", "ctrl+u", "paste:ct-9", "enter", "paste:then", "enter", "paste:mon", "ctrl+s"
        )
        await seat.sees("There is no such resource", "Lab, mri-1, all", "The date is not clear.")
        await seat.press("ctrl+u", "paste:all", "enter", "ctrl+u", f"paste:{clinic.day(3)} 10:00", "enter")
        await seat.press("ctrl+u", f"paste:{clinic.day(3)} 9:00", "ctrl+s")
        await seat.sees("That ends before it begins.")
        await seat.press("ctrl+u")
        await seat.sees("10:00–24:00")
        await seat.press("ctrl+s")
        await seat.sees("Close Clinic North", "Nobody is booked then.")
        await seat.press("escape", "escape")
        await seat.sees("What you typed will be lost.")

    sit(clinic.context, play, SMALL)


def test_text_from_outside_is_shown_and_never_obeyed(clinic: Clinic) -> None:
    start, _ = clinic.row("SELECT starts_at, ends_at FROM slot WHERE slot_id = %s", (clinic.slot("mri", 2, 4),))
    for n, name in enumerate(HOSTILE):
        booked(clinic, n + 1, n)
        clinic.run("UPDATE patient SET name = %s WHERE mrn = %s", (name, f"P{n + 1}"))
    for n, name in enumerate(HOSTILE):
        closure = schedules.close(clinic.context, "north", "mri-1", start, start + timedelta(hours=n + 1), "x")
        clinic.run("UPDATE closure SET reason = %s WHERE closure_id = %s", (name, closure.closure_id))
    begins = [visible(name)[:7] for name in HOSTILE]

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("7 closed ahead", *begins)
        assert not {"\x1b", "\u202e"} & set(seat.text())
        await seat.press("down", "down", "up", "c", f"paste:{clinic.day(2)}", "ctrl+s")
        await seat.sees("Close mri-1", "7 booked then", *begins)
        assert not {"\x1b", "\u202e"} & set(seat.text())

    sit(clinic.context, play)


def test_the_name_of_a_site_is_shown_and_never_obeyed(clinic: Clinic) -> None:
    name = "".join(HOSTILE[:3])
    clinic.run("UPDATE site SET name = %s WHERE code = 'north'", (name,))

    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        await seat.press("6", "c", "shift+tab", "ctrl+u", "paste:all", "enter", f"paste:{clinic.day(2)}", "ctrl+s")
        await seat.sees(f"Close {name[:12]}")
        await seat.press("right", "enter")
        await seat.hears(f"Closed {name}", "u takes it back.")

    sit(clinic.context, play)


def test_who_may_not_manage_them_reads_them_and_is_told_so(clinic: Clinic) -> None:
    clinic.run("DELETE FROM app.role_permission WHERE permission = 'manage-schedules'")
    schedules_may = "Your role may read the schedules, and not change them."

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("mri-1", schedules_may)
        for key in "aexpco":
            await seat.press(key)
        await seat.hears(schedules_may)
        assert len(seat.app.screen_stack) == 1

    sit(clinic.context, play)


def test_while_the_database_is_away_what_was_read_and_typed_stays(
    clinic: Clinic, server: Server, database: str
) -> None:
    booked(clinic, 1, 4)
    day = clinic.day(2)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await asks_to_close(seat, clinic, reason="repair")
        await seat.press("escape")
        await seat.sees("Who is affected")
        with outages.stopped(server, database):
            await seat.press("enter")
            await seat.sees("▲ The database does not answer.", "repair", f"{day:%a %d %b %Y} 10:00–11:00")
            await seat.press("escape", "y", "r")
            await seat.sees("The database does not answer. What you see is", "mri-1")
        await seat.misses("What you see is")
        await asks_to_close(seat, clinic)
        await seat.press("right", "right", "enter")
        await seat.hears("moved 1.")

    sit(clinic.context, play)


def test_a_lost_answer_is_unknown_and_looked_after_before_anything_else(clinic: Clinic, tmp_path: Path) -> None:
    reference = booked(clinic, 1, 4)
    proxy = Proxy(clinic.context.dsn, tmp_path, "answer", b"app.close_and_move(")

    async def play(seat: Seat) -> None:
        await enter(seat)
        await asks_to_close(seat, clinic)
        await seat.press("right", "right", "enter")
        await seat.sees("◷ UNKNOWN — perhaps closed, perhaps not.", "Look again")
        await seat.misses("Move whom it can", "Close only")
        await seat.press("enter")
        await seat.hears("It was closed: mri-1", "u takes it back.")
        await seat.press("escape")
        await seat.sees("1 closed ahead")

    with clinic.desk_at(proxy.dsn) as desk:
        sit(desk, play)
    proxy.close()
    assert (starts(clinic, reference), len(schedules.closures(clinic.context))) == (["09:30"], 1)


def test_who_leaves_a_closing_whose_answer_was_lost_is_shown_what_is_closed_before_anything_else(
    clinic: Clinic, tmp_path: Path
) -> None:
    booked(clinic, 1, 4)
    proxy = Proxy(clinic.context.dsn, tmp_path, "answer", b"app.close_and_move(")

    async def play(seat: Seat) -> None:
        await enter(seat)
        await asks_to_close(seat, clinic)
        await seat.press("right", "right", "enter")
        await seat.sees("◷ UNKNOWN — perhaps closed, perhaps not.", "Look again")
        await seat.press("escape")
        await seat.hears("UNKNOWN", "look again before anything else")
        await seat.sees("1 closed ahead")
        assert len(seat.app.screen_stack) == 1, "nobody can ask for the same with one more key"

    with clinic.desk_at(proxy.dsn) as desk:
        sit(desk, play)
    proxy.close()
    assert len(schedules.closures(clinic.context)) == 1


def test_a_closing_is_taken_back_after_a_restart_of_the_desk_after_a_question(clinic: Clinic) -> None:
    reference = booked(clinic, 1, 4)
    start, end = clinic.row("SELECT starts_at, ends_at FROM slot WHERE slot_id = %s", (clinic.slot("mri", 2, 4),))
    plan = closings.plan(clinic.context, "north", "mri-1", start, end)
    closings.apply(clinic.context, plan, "repair", everybody=True)
    assert starts(clinic, reference) != ["10:00"]

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("1 closed ahead")
        await seat.press("u")
        await seat.sees("Take back: close mri-1?", "closed from", "done by you")
        await seat.press("y")
        await seat.sees("0 closed ahead")

    sit(clinic.context, play)
    assert starts(clinic, reference) == ["10:00"]


def test_what_another_desk_closes_appears_by_itself(clinic: Clinic, valkey: Valkey) -> None:
    settings = replace(clinic.context.settings, redis_url=valkey.url)
    start, end = clinic.row("SELECT starts_at, ends_at FROM slot WHERE slot_id = %s", (clinic.slot("mri", 2, 4),))
    with Context(settings, clinic.context.paths) as other, Context(settings, clinic.context.paths) as desk:

        async def play(seat: Seat) -> None:
            await enter(seat)
            await seat.eventually(lambda: valkey.client.pubsub_numsub(*channels(valkey))[0][1] > 1, "listening")
            schedules.close(other, "north", "mri-1", start, end, "repair")
            await seat.sees("1 closed ahead", "repair")

        sit(desk, play)


def test_hours_that_another_desk_adds_appear_by_themselves(
    clinic: Clinic, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bookcli.tui.live.CALM_SECONDS", 0.5)
    settings = replace(clinic.context.settings, redis_url=valkey.url)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.eventually(lambda: valkey.client.pubsub_numsub(*channels(valkey))[0][1] > 1, "listening")
        schedules.add(clinic.context, HOURS)
        await seat.sees("mon-fri")

    with Context(settings, clinic.context.paths) as desk:
        sit(desk, play)


def test_every_key_of_its_dialogs_has_an_id() -> None:
    wanted = {"schedules.close", "hours.save", "hours.end", "publish.look", "closing.look", "closing.cancel"}
    assert wanted | {"view.schedules", "affected.refresh"} <= set(keys.ids())
