"""Many at one name, and two managers at each other, at the same moment."""

from __future__ import annotations

from bookcli.core.context import Context
from bookcli.core.errors import BookcliError
from bookcli.core.model.staff import SignedIn
from bookcli.core.services import staff
from tests.clinic import STAFF, Clinic
from tests.people import PASSWORD, another_desk, cheap, hire
from tests.processes import Crowd

__all__ = ["cheap"]
GUESSERS = 12


def guess(context: Context, name: str, password: str) -> str:
    """The code of the answer to a guess."""
    try:
        staff.sign_in(context, name, password)
    except BookcliError as refused:
        return refused.code
    return "signed-in"


def demote(context: Context, session: SignedIn, whom: str) -> str:
    """What happened when a manager with that session makes another a clerk."""
    context.keep(session, on_disk=False)
    try:
        return "changed" if staff.change(context, whom, role="desk") else "unchanged"
    except BookcliError as refused:
        return refused.code


def test_guessing_from_many_desks_at_once_wins_no_more_tries(clinic: Clinic, crowd: Crowd, cheap: None) -> None:
    hire(clinic.context, clinic.owner, "ana")
    (free,) = clinic.row("SELECT free_failures FROM app.gateway")
    for name in ("ana", "nobody"):
        guesses = [(name, f"guess number {number}") for number in range(GUESSERS)]
        answers = crowd.at_once(guess, clinic.context.dsn, guesses)
        assert sorted(answers) == ["sign-in-locked"] * (GUESSERS - free) + ["wrong-credentials"] * free
        assert crowd.at_once(guess, clinic.context.dsn, [(name, PASSWORD)]) == ["sign-in-locked"]


def test_everybody_with_the_right_password_comes_in_at_once(clinic: Clinic, crowd: Crowd, cheap: None) -> None:
    """Also where each of them has a failure of yesterday, which all of them want to clear away."""
    names = [hire(clinic.context, clinic.owner, f"clerk{number}") for number in range(8)]
    for name in names:
        guess(clinic.context, name, "not the password")
    clinic.owner.execute("UPDATE app.sign_in_attempt SET last_at = now() - interval '2 days'")
    answers = crowd.at_once(guess, clinic.context.dsn, [(name, PASSWORD) for name in names])
    assert answers == ["signed-in"] * len(names)


def test_two_managers_who_demote_each_other_leave_one(clinic: Clinic, crowd: Crowd, cheap: None) -> None:
    for turn in range(6):
        pair = [hire(clinic.context, clinic.owner, f"{name}{turn}", "manager") for name in ("ana", "ben")]
        clinic.owner.execute("UPDATE app.staff SET role = 'desk' WHERE name <> ALL (%s)", (pair,))
        ana, ben = (staff.sign_in(another_desk(clinic.context, n), who, PASSWORD) for n, who in enumerate(pair))
        answers = crowd.at_once(demote, clinic.context.dsn, [(ana, pair[1]), (ben, pair[0])])
        assert sorted(answers) in (["changed", "forbidden"], ["changed", "last-manager"]), answers
        assert clinic.row("SELECT count(*) FROM app.staff WHERE role = 'manager'") == (1,)
        clinic.owner.execute("UPDATE app.staff SET role = 'manager' WHERE name = %s", (STAFF,))
