"""Servers that are frozen, requests that were kept, bugs: the desk goes on, says so, and tells nobody's secrets."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bookcli.core import config
from bookcli.core.context import Context
from bookcli.core.services import appointments, board, pending
from bookcli.tui.app import DeskApp
from bookcli.tui.undoing import Undo
from tests.clinic import Clinic
from tests.faults import outages
from tests.servers import Server
from tests.tui.harness import PATIENCE, Seat, seated, sit


def test_keys_are_answered_and_the_desk_is_left_while_the_server_is_frozen(
    clinic: Clinic, server: Server, database: str
) -> None:
    async def scene() -> float:
        async with seated(clinic.context) as seat:
            await seat.sees("No slots")
            with outages.frozen(server, database):
                await seat.press("]", "r", "question_mark")
                await seat.sees("Keys")
                await seat.press("escape")
                await seat.sees(" s of 8")
                left_at = time.monotonic()
                await seat.press("q")
                await seat.eventually(lambda: not seat.app.is_running)
        return time.monotonic() - left_at

    # The frozen calls alone would keep whoever waited for them for as long as the deadline, eight seconds each.
    assert asyncio.run(scene()) < PATIENCE


def test_a_desk_that_starts_while_the_server_is_frozen_says_so(clinic: Clinic, server: Server, database: str) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("The database does not answer.")

    with outages.frozen(server, database):
        sit(clinic.context, play)


def test_what_waits_is_counted_and_what_becomes_of_it_is_told_once(
    clinic: Clinic, server: Server, database: str
) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        with outages.stopped(server, database):
            outcome = appointments.book(clinic.context, clinic.request(1, "blood", clinic_slot))
            assert outcome.outcome == "pending"
            await seat.sees("◷ 1 PENDING", "The database does not answer.")
        await seat.hears("1 request kept while the database was away is now BOOKED")
        await seat.misses("PENDING")
        await seat.eventually(lambda: not pending.untold(clinic.context), "told")

    clinic_slot = clinic.slot("blood")
    sit(clinic.context, play)


def _broken(_: Context, patient: str) -> None:
    raise RuntimeError(f"about {patient}")


def test_a_bug_of_a_service_is_said_with_an_id_and_no_value(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        seat.app.calls.ask(seat.app, _broken, "Jane Canary")
        await seat.hears("bookcli has a bug: RuntimeError in", "test_trouble.py")
        assert "Canary" not in seat.text()

    sit(clinic.context, play)
    log = config.paths().log_file.read_text()
    assert "Canary" not in log
    assert len(json.loads(log)["id"]) == 8


def test_a_bug_of_a_screen_ends_the_desk_without_showing_a_value(
    clinic: Clinic, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(patient: str) -> None:
        raise RuntimeError(f"about {patient}")

    apps: list[DeskApp] = []

    async def play(seat: Seat) -> None:
        apps.append(seat.app)
        await seat.sees("No slots")
        seat.app.call_later(broken, "Jane Canary")
        await seat.eventually(lambda: not seat.app.is_running)

    with pytest.raises(RuntimeError):
        sit(clinic.context, play)
    crash = apps[0].crash
    assert crash is not None
    assert crash.message.startswith("bookcli has a bug: RuntimeError in tui/test_trouble.py")
    assert str(config.paths().log_file) in crash.hint
    shown = capsys.readouterr()
    assert "Canary" not in shown.out + shown.err + config.paths().log_file.read_text()


def test_only_the_newest_of_a_group_is_answered(clinic: Clinic) -> None:
    answers: list[int] = []

    def slow(_: Context, n: int) -> int:
        time.sleep(0.2 if n == 1 else 0)
        return n

    async def play(seat: Seat) -> None:
        for n in (1, 2, 3):
            seat.app.calls.ask(seat.app, slow, n, on_done=answers.append, group="numbers")
        seat.app.calls.ask(seat.app, slow, 1, on_done=lambda _: answers.append(9), group="another")
        await seat.eventually(lambda: 9 in answers)

    sit(clinic.context, play)
    assert answers == [3, 9]


def test_what_was_done_is_taken_back_by_u(clinic: Clinic) -> None:
    done: list[Any] = []

    async def play(seat: Seat) -> None:
        await seat.press("u")
        await seat.hears("There is nothing to take back.")
        seat.app.did("Booked.", Undo("Taken back.", lambda _, what: done.append(what), ("it",)))
        await seat.hears("Booked. u takes it back.")
        await seat.press("u")
        await seat.hears("Taken back.")

    sit(clinic.context, play)
    assert done == ["it"]


def test_nothing_of_a_patient_is_kept_on_disk(clinic: Clinic) -> None:
    appointments.book(clinic.context, clinic.request(1, "blood", clinic.slot("blood")))

    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        await seat.press("]")
        await seat.sees("08:00")
        await seat.press("enter")
        await seat.sees("Ana Müller")

    sit(clinic.context, play)
    home = Path(clinic.context.paths.state).parent
    kept = b"".join(file.read_bytes() for file in home.rglob("*") if file.is_file())
    assert "Müller".encode() not in kept


def test_a_board_of_nobody_is_not_found(clinic: Clinic) -> None:
    from bookcli.core.errors import NotFound

    with pytest.raises(NotFound):
        board.day(clinic.context, "nort")


def test_how_long_an_answer_takes_is_counted_anew_when_it_is_asked_for_again(clinic: Clinic) -> None:
    asked_again, done = threading.Event(), threading.Event()

    def service(context: Context) -> None:
        asked_again.wait()
        context.connection()
        done.wait()

    async def play(seat: Seat) -> None:
        calls = seat.app.calls
        await seat.sees("No slots", "● worker")
        calls.ask(seat.app, service)
        await seat.eventually(lambda: calls.asked_for() > 1.5, "waits")
        await seat.sees("2 s of 8")
        asked_again.set()
        await seat.sees("0 s of 8")
        assert calls.waited() > 1.5
        done.set()
        await seat.eventually(lambda: calls.waited() == 0.0, "answered")

    sit(clinic.context, play)
