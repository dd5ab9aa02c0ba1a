"""The waiting room, by keys pressed and text seen, on the real database."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets import Input

from bookcli.core import clock
from bookcli.core.context import Context
from bookcli.core.errors import NotAllowed
from bookcli.core.services import agenda, appointments
from bookcli.tui.kit import Table
from bookcli.tui.screens.agenda import AgendaScreen
from tests.clinic import Clinic
from tests.faults import outages
from tests.faults.proxy import Proxy
from tests.servers import Server
from tests.tui.harness import SMALL, Seat, sit
from tests.tui.test_board import channels
from tests.valkeys import Valkey


def comes_today(clinic: Clinic, patient: int, index: int = 0) -> str:
    """Books a blood draw that happens today; its reference."""
    verdict = appointments.book(clinic.context, clinic.request(patient, "blood", clinic.slot("blood", 1, index)))
    reference = str(verdict.verdicts[0].reference)
    clinic.happens_today(reference)
    return reference


def line(seat: Seat, words: str) -> str:
    """The line of the screen that has these words."""
    return next((one for one in seat.text().splitlines() if words in one), "")


async def enter(seat: Seat) -> None:
    """Goes to the waiting room."""
    await seat.sees("North")
    await seat.press("2")


def test_one_key_is_one_step_of_the_day_and_u_takes_it_back(clinic: Clinic) -> None:
    comes_today(clinic, 3)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("Łukasz Żółć", "● booked", "0 waiting")
        await seat.press("a")
        await seat.sees("▶ arrived", "0 min", "1 waiting")
        await seat.press("c")
        await seat.sees("▶ checked in")
        await seat.press("u")
        await seat.hears("Taken back: ", "which is arrived now")
        await seat.press("r")
        await seat.sees("▶ arrived")
        await seat.press("c")
        await seat.sees("▶ checked in")
        await seat.press("f")
        await seat.sees("Łukasz Żółć is done already?", "It only begins on", "▶ checked in")
        await seat.press("y")
        await seat.sees("✔ done")

    sit(clinic.context, play, SMALL)


def test_after_an_undo_whose_answer_was_lost_nobody_else_is_taken_back_unasked(clinic: Clinic, tmp_path: Path) -> None:
    first, second = comes_today(clinic, 3), comes_today(clinic, 4, 1)
    proxy = Proxy(clinic.context.dsn, tmp_path, "answer", b"app.undo(")

    def arrived() -> list[str]:
        return [one for one in (first, second) if appointments.show(clinic.context, one)["status"] == "arrived"]

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("● booked", "0 waiting")
        await seat.press("a")
        await seat.sees("1 waiting")
        await seat.press("down", "a")
        await seat.sees("2 waiting")
        await seat.press("u")
        await seat.hears("◷ UNKNOWN — perhaps taken back")
        await seat.sees("1 waiting")
        still = arrived()
        await seat.press("u")
        await seat.sees(f"Take back: arrive {still[0]}?", "Keep")
        assert arrived() == still and len(still) == 1

    with clinic.desk_at(proxy.dsn) as desk:
        sit(desk, play)
    proxy.close()


def test_a_no_show_is_asked_for_and_keeping_is_the_default(clinic: Clinic) -> None:
    comes_today(clinic, 3)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("● booked")
        await seat.press("x")
        await seat.sees("did not come?", "Back")
        await seat.press("enter")
        await seat.misses("did not come?")
        assert clinic.row("SELECT status FROM appointment") == ("booked",)

    sit(clinic.context, play)


def test_who_has_come_is_no_no_show(clinic: Clinic) -> None:
    appointments.set_status(clinic.context, comes_today(clinic, 3), "checked-in")

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("▶ checked in")
        await seat.press("x")
        await seat.hears("Łukasz Żółć is checked in: that is no no-show.")
        await seat.misses("did not come?")

    sit(clinic.context, play)


def test_n_books_as_on_the_board(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("Nobody is booked today.", "x No-show…", "n Book", "w Find")
        await seat.press("n")
        await seat.sees("Patient", "New patient")

    sit(clinic.context, play, SMALL)


def test_words_filter_without_accents_and_escape_shows_all(clinic: Clinic) -> None:
    comes_today(clinic, 3)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("Łukasz Żółć")
        await seat.press("w", "text:nobody")
        await seat.sees("Find", "nobody")
        await seat.sees("Nobody is found by these words.")
        await seat.press("escape")
        await seat.sees("Łukasz Żółć")
        await seat.press("w", "text:zolc p3")
        await seat.sees("Łukasz Żółć")
        await seat.press("x")
        await seat.sees("Nobody is found by these words.")

    sit(clinic.context, play)


def test_what_another_desk_does_arrives_by_itself(
    clinic: Clinic, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = comes_today(clinic, 3)
    appointments.set_status(clinic.context, here, "arrived")
    # The days that are told are those of real slots, and all of them are from tomorrow on: so that is today here.
    clinic.run("UPDATE slot s SET local_start = starts_at AT TIME ZONE zone FROM site p WHERE p.site_id = s.site_id")
    today = clinic.day(1)
    monkeypatch.setattr(clock, "today", lambda _: today)
    monkeypatch.setattr("bookcli.tui.live.CALM_SECONDS", 3600)
    monkeypatch.setattr("bookcli.tui.live.BURST_SECONDS", 0.001)
    readings, told = counted(monkeypatch, "reload"), counted(monkeypatch, "_changed")
    settings = replace(clinic.context.settings, redis_url=valkey.url)
    with Context(settings, clinic.context.paths) as other, Context(settings, clinic.context.paths) as desk:

        async def play(seat: Seat) -> None:
            await enter(seat)
            await seat.sees("▶ arrived", "1 waiting  1 today")
            await seat.eventually(lambda: sum(n for _, n in listening(valkey)) > 1, "board and waiting room listen")
            before = len(readings)
            appointments.book(other, clinic.request(2, "blood", clinic.slot("blood", 2)))
            await seat.eventually(lambda: told, "the other day was told")
            await seat.pilot.pause()
            appointments.set_status(other, here, "booked")
            await seat.sees("● booked", "0 waiting  1 today")
            assert len(readings) == before + 1, "what happens on another day is not read"
            await seat.press("w", "text:an")
            await seat.sees("Nobody is found by these words.")
            appointments.book(other, clinic.request(1, "blood", clinic.slot("blood", 1, 3)))
            await seat.sees("Ana Müller", "2 today")
            await seat.press("text:a m")
            assert isinstance(seat.app.focused, Input) and seat.app.focused.value == "ana m"
            await seat.press("escape")
            await seat.sees("Ana Müller", "Łukasz Żółć")
            assert isinstance(seat.app.focused, Table) and seat.app.focused.current["patient"] == "P1"

        sit(desk, play)


def test_ones_own_step_is_read_once_though_it_is_told_to_everybody(
    clinic: Clinic, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    comes_today(clinic, 3)
    # The day that is told is that on which the slot really is.
    day = clinic.day(1)
    monkeypatch.setattr(AgendaScreen, "day_shown", property(lambda screen: day if screen._rows is not None else None))
    monkeypatch.setattr("bookcli.tui.live.BURST_SECONDS", 1.0)
    readings, told = counted(monkeypatch, "_answered"), counted(monkeypatch, "_changed")
    settings = replace(clinic.context.settings, redis_url=valkey.url)
    with Context(settings, clinic.context.paths) as desk:

        async def play(seat: Seat) -> None:
            await enter(seat)
            await seat.sees("● booked")
            await seat.eventually(lambda: sum(n for _, n in listening(valkey)) > 1, "board and waiting room listen")
            before = len(readings)
            await seat.press("a")
            await seat.eventually(lambda: told, "told")
            await seat.sees("▶ arrived")
            await seat.eventually(lambda: seat.app.screen._soon is None, "nothing to come")  # type: ignore[attr-defined]
            await seat.eventually(lambda: not seat.app.calls._running, "everything answered")
            assert len(readings) == before + 1

        sit(desk, play)


def test_while_reading_fails_it_is_asked_no_oftener_than_it_is_polled(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    comes_today(clinic, 3)
    failures, ticks = counted(monkeypatch, "_failed"), counted(monkeypatch, "tick")

    def refused(*_: object) -> None:
        raise NotAllowed("Not today.")

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("● booked")
        monkeypatch.setattr(agenda, "day", refused)
        monkeypatch.setattr("bookcli.tui.live.POLL_SECONDS", 3600)
        seat.app.screen._read_at = 0.0  # type: ignore[attr-defined]
        await seat.press("r")
        await seat.eventually(lambda: failures, "failed")
        before = len(ticks)
        await seat.eventually(lambda: len(ticks) > before + 2, "ticked")
        assert len(failures) == 1
        await seat.sees("Łukasz Żółć")

    sit(clinic.context, play)


def counted(monkeypatch: pytest.MonkeyPatch, name: str) -> list[tuple[object, ...]]:
    """What a method of the waiting room is called with, from now on."""
    calls: list[tuple[object, ...]] = []
    method = getattr(AgendaScreen, name)

    def noted(self: AgendaScreen, *args: object) -> None:
        calls.append(args)
        method(self, *args)

    monkeypatch.setattr(AgendaScreen, name, noted)
    return calls


def listening(valkey: Valkey) -> list[tuple[bytes, int]]:
    """Each channel of changes with how many listen to it."""
    found: list[tuple[bytes, int]] = valkey.client.pubsub_numsub(*channels(valkey))
    return found


def test_while_the_database_is_away_the_day_stays_and_a_step_says_that_nothing_was_noted(
    clinic: Clinic, server: Server, database: str
) -> None:
    comes_today(clinic, 3)

    async def play(seat: Seat) -> None:
        await enter(seat)
        await seat.sees("● booked")
        with outages.stopped(server, database):
            await seat.press("a")
            await seat.hears("The database does not answer.", "the appointment is as it was")
            await seat.sees("▲ The database does not answer. What you see is", "Łukasz Żółć", "● booked")
        await seat.misses("▲ The database does not answer.", "What you see is")
        await seat.press("a")
        await seat.sees("▶ arrived")

    sit(clinic.context, play)
