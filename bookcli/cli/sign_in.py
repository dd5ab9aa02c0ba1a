"""`bookcli login`, `logout`, `lock`, `whoami` and `passwd`; a password is typed or piped in, never an argument."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .command import Desk
from .output import View

if TYPE_CHECKING:
    from ..core.model.staff import Person

_FIELDS = ("name", "full_name", "role", "sites", "since", "ends", "idle_minutes", "locked", "must_change_password")
PEOPLE = View("people", "name", (*_FIELDS, "permissions"))
SIGNED_IN = View("sessions", "name", ("name", "role", "expires_at"))
_NAME = Annotated[str, typer.Argument(metavar="NAME", help="Who; asked for when it is not said.")]


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    app.command("login")(login)
    app.command("logout")(logout)
    app.command("lock")(lock)
    app.command("whoami")(whoami)
    app.command("passwd")(passwd)


def login(desk: Desk, name: _NAME = "") -> None:
    """Sign in at this desk. Whoever was signed in before is signed out; after `lock` the same name unlocks it.

    Asks for the password; where nobody can be asked, it is the first line of stdin.

    \b
    Examples:
      bookcli login a.moreno
      bookcli login night-import < password-file
    """
    from ..core.services import staff  # noqa: PLC0415 - the driver comes after the words are understood
    from . import dialogue  # noqa: PLC0415 - likewise

    who = name or staff.usual_name(desk.context) or dialogue.name(desk, "bookcli login NAME < password-file")
    if not staff.needs_password(desk.context, who):
        session = staff.sign_in_here(desk.context)
    else:
        session = staff.sign_in(desk.context, who, dialogue.Secrets(desk).ask(f"Password of {who}:"))
    desk.output.show(SIGNED_IN, [_session(session)], sentence=f"Signed in as {session.name} ({session.role}).")
    if session.must_change:
        desk.talk.note("Your password must be changed before anything else: bookcli passwd")


def logout(desk: Desk) -> None:
    """End the session of this desk.

    \b
    Examples:
      bookcli logout
    """
    from ..core.services import staff  # noqa: PLC0415 - the driver comes after the words are understood

    ended = staff.sign_out(desk.context)
    desk.output.show(SIGNED_IN, [], sentence="Signed out." if ended else "Nobody was signed in.")
    if ended and desk.context.embedded:
        desk.talk.note("These servers are yours: the next command signs you in again, as a manager.")


def lock(desk: Desk) -> None:
    """Lock the session, as when you leave the desk for a moment; `bookcli login` unlocks it.

    \b
    Examples:
      bookcli lock
    """
    from ..core.services import staff  # noqa: PLC0415 - the driver comes after the words are understood

    staff.lock(desk.context)
    desk.output.show(SIGNED_IN, [], sentence="Locked. bookcli login unlocks it.")


def whoami(
    desk: Desk, permissions: Annotated[bool, typer.Option("--permissions", help="List what you may do.")] = False
) -> None:
    """Show who is signed in at this desk. Exit code 5 when nobody is.

    \b
    Examples:
      bookcli whoami
      bookcli whoami --permissions
    """
    from ..core.services import staff  # noqa: PLC0415 - the driver comes after the words are understood

    record = _person(staff.whoami(desk.context))
    meanings = staff.meanings(desk.context) if permissions else {}
    lines = [f"  {name:<18}{meanings[name]}" for name in record["permissions"] if permissions]
    desk.output.show(PEOPLE, [record], sentence="\n".join([_described(record), *lines]))


def passwd(desk: Desk) -> None:
    """Change your password: asks for the old one and twice for the new one; piped in, a line each.

    \b
    Examples:
      bookcli passwd
    """
    from ..core.services import staff  # noqa: PLC0415 - the driver comes after the words are understood
    from . import dialogue  # noqa: PLC0415 - likewise

    secrets = dialogue.Secrets(desk)
    person = staff.whoami(desk.context)
    known = staff.needs_password(desk.context, person.name)
    old = secrets.ask(f"Password of {person.name} until now:") if known else ""
    staff.change_password(desk.context, old, secrets.ask("New password:", twice=True))
    desk.output.show(PEOPLE, [], sentence="Changed. Your sessions at other desks have ended.")


def _session(session: Any) -> dict[str, Any]:
    return {"name": session.name, "role": session.role, "expires_at": session.expires_at.isoformat()}


def _person(person: Person) -> dict[str, Any]:
    return {
        "name": person.name,
        "full_name": person.full_name,
        "role": person.role,
        "sites": list(person.sites),
        "since": person.started_at.isoformat(),
        "ends": person.expires_at.isoformat(),
        "idle_minutes": person.idle_seconds // 60,
        "locked": person.problem == "session-locked",
        "must_change_password": person.problem == "password-change-needed",
        "permissions": list(person.permissions),
    }


def _described(record: dict[str, Any]) -> str:
    where = "at " + ", ".join(record["sites"]) if record["sites"] else "at all sites"
    called = "" if record["full_name"] == record["name"] else f" ({record['full_name']})"
    more = " Locked: bookcli login." if record["locked"] else ""
    more += " The password must be changed: bookcli passwd." if record["must_change_password"] else ""
    return f"{record['name']}{called}, {record['role']} {where}.{more}"
