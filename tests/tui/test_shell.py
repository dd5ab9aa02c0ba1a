"""What all screens share: help, palette, sites, keys, colours, and how the desk is left."""

from __future__ import annotations

import json
import stat
from dataclasses import replace

import pytest

from bookcli.core.context import Context
from bookcli.core.errors import InvalidInput
from bookcli.core.services import appointments, tasks
from bookcli.tui import keys
from bookcli.tui.app import DeskApp
from bookcli.tui.screens.days import Days
from tests.clinic import Clinic
from tests.tui.harness import SMALL, Seat, seated, sit


def test_the_help_lists_the_keys_is_searched_and_does_what_is_chosen(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        await seat.press("question_mark")
        await seat.sees("Keys", "Day after", "Undo")
        await seat.press("text:after")
        await seat.misses("Undo")
        await seat.press("enter")
        await seat.misses("Keys")
        await seat.sees("08:00", "tomorrow")

    sit(clinic.context, play)


def test_the_palette_has_every_action(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        await seat.press("ctrl+p", "text:day after")
        await seat.sees("Key: ]")
        await seat.press("enter")
        await seat.sees("08:00", "tomorrow")

    sit(clinic.context, play)


def test_another_site_is_chosen_by_a_letter_and_kept(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("Clinic North", "north tests")
        await seat.press("s", "text:s", "enter")
        await seat.sees("Clínica Sul", "south tests")

    async def play_again(seat: Seat) -> None:
        await seat.sees("Clínica Sul")

    sit(clinic.context, play)
    file = clinic.context.paths.screen_file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert json.loads(file.read_text()) == {"site": "south"}
    sit(clinic.context, play_again)


def test_q_leaves_and_asks_only_when_something_is_not_saved(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        monkeypatch.setattr(Days, "unsaved", property(lambda _: True))
        await seat.press("d", "escape")
        await seat.sees("Leave without saving?", "Keep editing")
        await seat.press("enter")
        await seat.misses("Leave without saving?")
        await seat.sees("Go to")
        await seat.press("ctrl+q")
        await seat.sees("Quit without saving?")
        await seat.press("n", "escape")
        await seat.press("y")
        await seat.misses("Go to")
        await seat.press("q")
        await seat.eventually(lambda: seat.app.return_code == 0 and not seat.app.is_running, "the end")

    sit(clinic.context, play)


def test_keys_are_changed_by_their_ids(clinic: Clinic) -> None:
    file = clinic.context.paths.config_file
    file.parent.mkdir(parents=True)
    file.write_text('[keys]\n"board.after" = "g,plus"\n')

    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        await seat.press("]")
        await seat.press("g")
        await seat.sees("tomorrow")
        await seat.press("+")
        await seat.sees(f"{clinic.day(2):%a %d %b}")

    sit(clinic.context, play)
    assert Context(paths=clinic.context.paths).settings.motion == "reduced"


def test_an_id_that_no_key_has_is_refused_with_the_nearest(clinic: Clinic) -> None:
    with pytest.raises(InvalidInput) as refused:
        keys.checked({"board.aftr": "g"})
    assert refused.value.hint.startswith("Did you mean board.after or ")


def test_the_keys_of_the_whole_desk_of_screens_and_of_dialogs_have_ids() -> None:
    wide = {"help", "palette", "undo", "quit", "site", "lock", "mouse", "view.board", "open.booking", "back", "refresh"}
    assert set(keys.ids()) >= wide | {"board.book", "patient.save", "merge.next", "confirm.yes", "sign-in.anew"}


def test_the_colours_are_those_asked_for_then_those_kept_then_those_set(clinic: Clinic) -> None:
    settings = replace(clinic.context.settings, theme="light")
    with Context(settings, clinic.context.paths) as context:
        assert DeskApp(context).theme == "light"
        assert DeskApp(context, "ansi-dark").theme == "ansi-dark"
        context.paths.screen_file.parent.mkdir(parents=True, exist_ok=True)
        context.paths.screen_file.write_text('{"theme": "dark"}')
        assert DeskApp(context).theme == "dark"
        context.paths.screen_file.write_text("[" * 5000)
        assert DeskApp(context).theme == "light"


async def _themes(clinic: Clinic) -> None:
    for theme in ("dark", "light", "ansi-dark", "ansi-light"):
        clinic.context.paths.screen_file.unlink(missing_ok=True)
        async with seated(replace_theme(clinic.context, theme), SMALL) as seat:
            await seat.sees("No slots", "● db")


def replace_theme(context: Context, theme: str) -> Context:
    """A desk of the same session with other colours."""
    other = context.another()
    other.settings = replace(context.settings, theme=theme)
    return other


def test_every_theme_shows_the_same_words(clinic: Clinic) -> None:
    import asyncio

    asyncio.run(_themes(clinic))


def test_that_no_worker_is_seen_is_said_as_soon_as_a_message_waits(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "unseen", lambda _: True)

    async def play(seat: Seat) -> None:
        await seat.sees("No slots", "● worker")
        appointments.book(clinic.context, clinic.request(1, "mri", clinic.slot("mri")))
        await seat.sees("▲ no worker seen")

    sit(clinic.context, play, SMALL)


def test_what_is_said_leaves_the_keys_on_the_screen(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("No slots", "^p Actions", "● worker")
        before = seat.text().splitlines()[-3:]
        seat.app.toast("What has happened takes several lines of a small screen, and more than two of them here.")
        await seat.sees("What has happened")
        assert seat.text().splitlines()[-3:-1] == before[:-1]

    sit(clinic.context, play, SMALL)


def test_the_clock_of_the_site_goes_on_below_two_dialogs(clinic: Clinic) -> None:
    async def play(seat: Seat) -> None:
        await seat.sees("No slots")
        await seat.press("slash")
        await seat.sees("^n New patient")
        await seat.press("ctrl+n")
        await seat.sees("Birth date")
        shown = seat.text().splitlines()[-1]
        assert shown.strip()[-8:].count(":") == 2
        await seat.eventually(lambda: seat.text().splitlines()[-1] != shown, "the clock goes on")

    sit(clinic.context, play, SMALL)
