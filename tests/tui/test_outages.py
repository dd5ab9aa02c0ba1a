"""Every view and the main dialogs while PostgreSQL is stopped, and while it is frozen: keys act, what is said is true.

A new view is here by itself, with what holds for all of them; what it shows and does besides is a line in `AT_VIEWS`.
What must stay true: nothing is said to be done that the database has not done, and a screen lives again afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import pytest
from _pytest.mark import ParameterSet

from bookcli.core import context as contexts
from bookcli.core.config import Settings
from bookcli.core.context import Context
from bookcli.core.db import engine
from bookcli.core.services import appointments
from bookcli.tui import app
from bookcli.tui.screens import VIEWS, Entry
from tests.clinic import Clinic
from tests.faults import outages
from tests.faults.outages import Outage
from tests.people import PASSWORD, another_desk, cheap, hire
from tests.servers import Server
from tests.tui.harness import SMALL, Seat, sit

__all__ = ["cheap"]

DEADLINE = 3
WAITS = f" s of {DEADLINE}"
AWAY = "The database does not answer."
DONE = ("✔ BOOKED", "BOOKED ", "▶ arrived", "✕ cancelled", "has arrived", "is cancelled", "will not be sent")
"""What no screen says of anything that was asked while the database was away."""
OUTAGES = {"stopped": outages.stopped, "frozen": outages.frozen}
Step = tuple[tuple[str, ...], tuple[str, ...]]
"""Keys, and the words that are on the screen after them."""


@dataclass(frozen=True)
class Play:
    """What is done at a screen before the outage, in it and after it; `left` is gone once `leaves` was pressed."""

    opens: tuple[Step, ...] = ()
    acts: tuple[Step, ...] = ()
    lives: tuple[Step, ...] = ()
    leaves: tuple[str, ...] = ()
    left: str = ""


AT_VIEWS = {
    "board": Play(
        opens=((("]",), ("Laboratory", "08:00")), (("home",), ("08:00–08:30 Laboratory",))),
        acts=(
            (("down", "right"), ("08:30–09:00 MRI 1",)),
            (("d", "text:+4"), ("Go to", "+4")),
            (("escape", "n", "text:muller"), ("Book", "muller")),
            (("escape", "y"), ("08:30–09:00 MRI 1",)),
        ),
        lives=((("left", "up", "enter"), ("Ana Müller", "booked")),),
    ),
    "agenda": Play(
        opens=(((), ("Ana Müller", "● booked")),),
        acts=((("w", "text:mull"), ("mull ", "Ana Müller")), (("escape", "a"), ("● booked",))),
        lives=((("w", "text:mull"), ("Ana Müller",)),),
    ),
    "patients": Play(
        opens=((("text:muller",), ("P1",)), (("enter",), ("Number    P1",))),
        acts=((("w", "text:silva"), ("Patient  silva",)), (("escape",), ())),
        lives=(((), ("José da Silva",)),),
    ),
    "pending": Play(
        opens=(((), ("Nothing waits, and nothing",)),),
        acts=((("s", "x", "enter"), ("Nothing waits, and nothing",)),),
        lives=((("s",), ("Nothing waits.",)),),
    ),
    "messages": Play(
        opens=(((), ("◷ waiting", "confirmation")),),
        acts=((("x",), ("Stop the confirmation",)), (("y",), ("◷ waiting", "confirmation"))),
        lives=((("enter",), ("Ana Müller  P1", "History")),),
    ),
}


def cases(names: Collection[str], runs: Mapping[str, Collection[str]]) -> list[ParameterSet]:
    """Every name with every outage; those that are not in `runs` of the outage are soak tests."""
    return [
        pytest.param(name, outage, id=f"{name}-{word}", marks=[] if name in runs[word] else [pytest.mark.soak])
        for word, outage in OUTAGES.items()
        for name in names
    ]


@pytest.fixture
def desk(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    """A desk that soon gives up and soon looks again; somebody is booked today, and on the first slot of tomorrow."""
    monkeypatch.setattr(app, "LOOK_SECONDS", 0.3)
    monkeypatch.setattr(contexts, "_STILL_AWAY", 0.3)
    for index in (0, 1):
        booked = appointments.book(clinic.context, clinic.request(1, "blood", clinic.slot("blood", 1, index)))
    clinic.happens_today(booked.verdicts[0].reference or "")
    with hasty(clinic.context) as opened:
        yield opened


def hasty(context: Context) -> Context:
    """The same desk, with a short deadline."""
    return Context(Settings(database_url=context.settings.database_url, deadline=str(DEADLINE)), context.paths)


async def does(seat: Seat, *steps: Step) -> None:
    """Presses keys and sees words, step by step."""
    for keys, words in steps:
        await seat.press(*keys)
        await seat.sees(*words)


async def is_answered(seat: Seat, view: str) -> None:
    """Whatever the database does: the help opens and goes, and another view is reached by its key and left again."""
    await does(seat, (("question_mark",), ("Keys",)))
    await seat.press("escape")
    await seat.misses("Keys  ")
    places = [entry.id for entry in VIEWS]
    for entry in (VIEWS[places.index(view) - 1], VIEWS[places.index(view)]):
        # In a line to type in a digit is a letter.
        await goes_to(seat, entry)
        await seat.sees(entry.title)


def is_sound(clinic: Clinic, desk: Context) -> bool:
    """The same, asked over a connection that no outage has ended."""
    with desk.another() as fresh:
        return replace(clinic, context=fresh).sound()


async def goes_to(seat: Seat, entry: Entry) -> None:
    """Reaches a view by its key; in a line to type in a digit is a letter."""
    await seat.press("escape", entry.key)
    await seat.eventually(lambda: seat.app.current_mode == entry.id, entry.title)


async def is_away(seat: Seat, entry: Entry) -> None:
    """What is seen and done at a view while the database is away."""
    await seat.press("r")
    await seat.eventually(lambda: WAITS in seat.text() or AWAY in seat.text(), "that it waits is said")
    await does(seat, *AT_VIEWS.get(entry.id, Play()).acts)
    await is_answered(seat, entry.id)
    assert not [words for words in DONE if words in seat.text()]


def test_all_views_answer_keys_while_the_database_is_frozen_and_live_again(
    clinic: Clinic, desk: Context, server: Server, database: str
) -> None:
    async def scene(seat: Seat) -> None:
        await seat.sees("● worker", " places free")
        for entry in VIEWS:
            await goes_to(seat, entry)
            await does(seat, ((), (entry.title,)), *AT_VIEWS.get(entry.id, Play()).opens)
        with outages.frozen(server, database):
            for entry in VIEWS:
                await goes_to(seat, entry)
                await seat.press("escape")  # leaves the line of the patients
                await is_away(seat, entry)
            await does(seat, ((), (AWAY, "PENDING")))
        await seat.misses(AWAY)
        for entry in VIEWS:
            await goes_to(seat, entry)
            await does(seat, *AT_VIEWS.get(entry.id, Play()).lives)
            await seat.press("escape")

    sit(desk, scene, SMALL)
    assert is_sound(clinic, desk)


@pytest.mark.parametrize(("view", "outage"), cases([entry.id for entry in VIEWS], {"stopped": ["board"], "frozen": []}))
def test_a_view_answers_keys_while_the_database_is_away_and_lives_again(
    clinic: Clinic, desk: Context, server: Server, database: str, view: str, outage: Outage
) -> None:
    (entry,) = (one for one in VIEWS if one.id == view)
    play = AT_VIEWS.get(view, Play())

    async def scene(seat: Seat) -> None:
        await seat.sees("● worker", " places free")
        await does(seat, ((entry.key,), (entry.title,)), *play.opens)
        with outage(server, database):
            await is_away(seat, entry)
            await does(seat, ((), (AWAY, "PENDING")))
        await seat.misses(AWAY)
        await does(seat, *play.lives)

    sit(desk, scene, SMALL)
    assert is_sound(clinic, desk)


AT_DIALOGS = {
    "booking": Play(
        opens=(
            (("]",), ("Laboratory", "08:00")),
            (("home", "right", "n"), ("mri · mri-contrast",)),
            (("text:silva",), ("P2",)),
            (("enter",), ("no birth date",)),
            (("text:mri", "enter"), ("◐ Held 4:5",)),
        ),
        acts=(
            (("text:still here", "enter"), ("still here", "asked again")),
            (("escape",), ("Leave without booking?", "is not there yet")),
            (("escape",), ("still here", "asked again")),
        ),
        lives=(((), ("✔ BOOKED", "No metal.")), (("enter",), ("█ 1/1",))),
    ),
    "quick line": Play(
        opens=((("slash",), ("Book in one line",)), (("text:silva, mri",), ("José da Silva",))),
        acts=((("text:, tomorrow",), ("silva, mri, tomorrow", AWAY)),),
        leaves=("escape",),
        left="Book in one line",
        lives=((("slash",), ("Book in one line",)), (("text:silva, mri, tomorrow",), ("mri 08:00 mri-1",))),
    ),
    "appointment": Play(
        opens=((("slash",), ("Book in one line",)), (("text:{reference}", "enter"), ("● booked", "History"))),
        acts=((("x",), ("Cancel it",)), (("right", "enter"), ("● booked", AWAY))),
        leaves=("escape",),
        left="History",
        lives=((("slash",), ("Book in one line",)), (("text:{reference}", "enter"), ("History",))),
    ),
    "new patient": Play(
        opens=((("b",), ("Book",)), (("ctrl+n",), ("New patient", "Birth date"))),
        acts=((("text:Zoe Frost", "ctrl+s"), ("Zoe Frost", AWAY)),),
        leaves=("escape", "y"),
        left="Birth date",
        lives=((("ctrl+n",), ("Birth date",)), (("text:Zoe Later", "ctrl+s"), ("Zoe Later P1", "nothing ahead"))),
    ),
}


@pytest.mark.parametrize(("dialog", "outage"), cases(AT_DIALOGS, {"stopped": ["booking"], "frozen": AT_DIALOGS}))
def test_a_dialog_keeps_what_is_typed_while_the_database_is_away_and_goes_on(
    clinic: Clinic, desk: Context, server: Server, database: str, dialog: str, outage: Outage
) -> None:
    play = AT_DIALOGS[dialog]
    (reference,) = clinic.row("SELECT app.reference_of(min(appointment_id)) FROM appointment")

    def named(steps: tuple[Step, ...]) -> list[Step]:
        return [(tuple(key.format(reference=reference) for key in keys), words) for keys, words in steps]

    async def scene(seat: Seat) -> None:
        await seat.sees("● worker", " places free")
        await does(seat, *named(play.opens))
        with outage(server, database):
            await does(seat, *named(play.acts))
            await does(seat, ((), (AWAY,)))
            assert not [words for words in DONE if words in seat.text()]
            if play.leaves:
                # While nobody knows whether it is saved, esc leaves nothing.
                await seat.eventually(lambda: not seat.app.calls.waited(), "every answer")
                await seat.press(*play.leaves)
                await seat.misses(play.left)
        await seat.misses(AWAY)
        await does(seat, *named(play.lives))

    sit(desk, scene, SMALL)
    assert is_sound(clinic, desk)


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES)
def test_who_signs_in_while_the_database_is_away_is_told_and_gets_in_afterwards(
    clinic: Clinic, desk: Context, owner: engine.Connection, server: Server, database: str, cheap: None, outage: Outage
) -> None:
    hire(clinic.context, owner, "ana")

    async def scene(seat: Seat) -> None:
        await does(seat, ((), ("Sign in",)))
        with outage(server, database):
            await does(seat, (("text:ana", "enter", f"paste:{PASSWORD}", "enter"), ("ana", AWAY)))
            await does(seat, (("text:abc",), ("•••",)), (("escape",), ("ana",)))
            assert PASSWORD not in seat.text() and "Clinic North" not in seat.text()
        await seat.presses_until("enter", "Clinic North", f"paste:{PASSWORD}")

    with another_desk(clinic.context) as nobody, hasty(nobody) as elsewhere:
        sit(elsewhere, scene, SMALL)
