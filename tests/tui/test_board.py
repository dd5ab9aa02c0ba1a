"""The day board, by keys pressed and text seen, on the real database."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bookcli.core.config import Settings
from bookcli.core.context import Context
from bookcli.core.model.slots import Search
from bookcli.core.services import appointments, schedules, slots
from tests.clinic import Clinic
from tests.faults import outages
from tests.servers import Server
from tests.tui.harness import SMALL, Seat, sit
from tests.valkeys import Valkey


def row(seat: Seat, time: str) -> str:
    """The line of the board that begins with a time of day."""
    return next((line for line in seat.text().splitlines() if line.strip(" ▸").startswith(time)), "")


async def tomorrow(seat: Seat) -> None:
    """Goes from the empty day of today to the first with slots."""
    await seat.sees("No slots")
    await seat.press("]")
    await seat.sees("Laboratory", "08:00")


def test_the_board_shows_how_full_every_slot_is_by_shape_and_figure(clinic: Clinic) -> None:
    slot = clinic.slot("blood", 1, 2)
    for patient in (1, 2):
        appointments.book(clinic.context, clinic.request(patient, "blood", slot))
    appointments.book(clinic.context, clinic.request(3, "mri", clinic.slot("mri", 1, 0)))

    async def play(seat: Seat) -> None:
        await tomorrow(seat)
        assert "▄ 2/4" in row(seat, "09:00")
        assert "▁ 0/1" in row(seat, "09:00")
        assert "█ 1/1" in row(seat, "08:00")
        await seat.sees("tomorrow", "77 of 80 places free")

    sit(clinic.context, play, SMALL)


def test_arrows_walk_over_the_slots_and_what_is_there_is_said(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await tomorrow(seat)
        await seat.sees("08:00–08:30 Laboratory  4 of 4 free")
        await seat.press("down", "down", "right")
        await seat.sees("09:00–09:30 MRI 1  1 of 1 free")
        await seat.press("end")
        await seat.sees("15:30–16:00 MRI 1")
        await seat.press("home", "left")
        await seat.sees("08:00–08:30 Laboratory")

    sit(clinic.context, play, SMALL)


def test_a_hold_is_shown_with_who_has_it_until_it_ends(clinic: Clinic) -> None:
    appointments.hold(clinic.context, clinic.request(1, "mri", clinic.slot("mri", 1, 1)), 3600)

    async def play(seat: Seat) -> None:
        await tomorrow(seat)
        await seat.press("down", "right")
        await seat.sees("1/1 ◐", "held by tests, 59:")
        clinic.run("UPDATE app.appointment SET held_until = now() + interval '2 s'")
        await seat.press("r")
        await seat.misses("◐")
        assert "▁ 0/1" in row(seat, "08:30")

    sit(clinic.context, play)


def test_a_booking_at_another_desk_appears_by_itself(clinic: Clinic, valkey: Valkey) -> None:
    settings = replace(clinic.context.settings, redis_url=valkey.url)
    with Context(settings, clinic.context.paths) as other, Context(settings, clinic.context.paths) as desk:

        async def play(seat: Seat) -> None:
            await tomorrow(seat)
            await seat.eventually(lambda: valkey.client.pubsub_numsub(*channels(valkey))[0][1] > 0, "listening")
            appointments.book(other, clinic.request(1, "blood", clinic.slot("blood")))
            await seat.eventually(lambda: "1/4" in row(seat, "08:00"), "the booking")

        sit(desk, play)


def channels(valkey: Valkey) -> list[bytes]:
    """The channels that somebody listens to; one that is never told while nobody does."""
    return valkey.client.pubsub_channels("bookcli:changes:*") or [b"nobody"]


def test_without_redis_a_booking_at_another_desk_appears_a_little_later(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bookcli.tui.live.POLL_SECONDS", 0.5)

    async def play(seat: Seat) -> None:
        await tomorrow(seat)
        appointments.book(clinic.context, clinic.request(1, "blood", clinic.slot("blood")))
        await seat.eventually(lambda: "1/4" in row(seat, "08:00"), "the booking")

    sit(clinic.context, play)


def test_a_day_is_reached_by_date_and_by_step(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await tomorrow(seat)
        await seat.press("d", "text:+3d")
        await seat.sees(f"{clinic.day(3):%A %d %B %Y}")
        await seat.press("enter")
        await seat.sees(f"{clinic.day(3):%a %d %b %Y}")
        await seat.press("[")
        await seat.sees(f"{clinic.day(2):%a %d %b %Y}")
        await seat.press("t")
        await seat.sees("today")
        await seat.press("d", "text:nonsense", "enter")
        await seat.sees("The date is not clear.")
        await seat.press("escape")
        await seat.sees("No slots on")

    sit(clinic.context, play)


def test_a_test_filters_the_resources_and_is_remembered(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await tomorrow(seat)
        await seat.press("f")
        await seat.sees("mri-contrast", "Blood draw")
        await seat.press("text:b", "enter")
        await seat.sees("only blood", "Laboratory")
        await seat.misses("MRI 1")

    async def play_again(seat: Seat) -> None:
        await tomorrow(seat)
        await seat.sees("only blood")
        assert "MRI 1" not in seat.text()

    sit(clinic.context, play)
    sit(clinic.context, play_again)


def test_a_closure_is_shown_with_its_reason_and_who_is_booked_there(clinic: Clinic) -> None:
    appointments.book(clinic.context, clinic.request(1, "mri", clinic.slot("mri", 1, 2)))
    start = clinic.row("SELECT starts_at FROM slot WHERE slot_id = %s", (clinic.slot("mri", 1, 1),))[0]
    schedules.close(clinic.context, "north", "mri-1", start, start + timedelta(hours=1), "Coil is broken")

    async def play(seat: Seat) -> None:
        await tomorrow(seat)
        await seat.eventually(lambda: "✕ closed" in row(seat, "08:30"))
        assert "✕ 1/1" in row(seat, "09:00")
        await seat.press("right", "down")
        await seat.sees("Coil is broken")

    sit(clinic.context, play)


def test_opening_a_slot_shows_who_is_there_and_is_audited_and_walking_is_not(clinic: Clinic) -> None:
    appointments.book(clinic.context, clinic.request(3, "blood", clinic.slot("blood")))
    looks = "SELECT count(*) FROM audit WHERE action LIKE 'look%%'"

    async def play(seat: Seat) -> None:
        await tomorrow(seat)
        await seat.press("down", "right", "up", "left")
        assert clinic.row(looks) == (0,)
        await seat.press("enter")
        await seat.sees("Łukasz Żółć", "P3", "booked")
        assert clinic.row(looks) == (1,)
        await seat.press("escape")
        await seat.misses("Łukasz Żółć")
        await seat.press("down", "enter")
        await seat.sees("Nobody is booked here.", "Enter or n books here")
        await seat.press("enter")
        await seat.misses("Nobody is booked here.")
        await seat.sees("Patient", "New patient")

    sit(clinic.context, play)


def test_while_the_database_is_away_the_board_shows_what_the_cache_knows_and_its_age(
    clinic: Clinic, valkey: Valkey, server: Server, database: str
) -> None:
    settings = Settings(database_url=clinic.context.settings.database_url, redis_url=valkey.url, site="north")
    with Context(settings, clinic.context.paths) as desk:
        day = clinic.day(1)
        for test in ("mri", "blood"):
            slots.find(desk, Search(test, (day, day), ["north"], everything=True))

        async def play(seat: Seat) -> None:
            with outages.stopped(server, database):
                await seat.sees("The database does not answer.")
                await seat.press("d", f"text:{day}", "enter")
                await seat.sees("lab", "mri-1", "0/4", "0/1", "What you see is", "PENDING")
            await seat.misses("The database does not answer.")
            await seat.sees("Laboratory")

        sit(desk, play)
