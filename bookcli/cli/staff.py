"""`bookcli staff` and `bookcli session`: who works here, as what, and who is signed in."""

from __future__ import annotations

import dataclasses
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..core.errors import InvalidInput
from . import params
from .command import Desk, new_app
from .output import View

if TYPE_CHECKING:
    from ..core.model.staff import Member, Session

STAFF = View(
    "staff",
    "name",
    ("name", "full_name", "role", "sites", "has_password", "must_change", "disabled_at", "live_sessions"),
    (
        ("Name", lambda record: record["name"]),
        ("Called", lambda record: record["full_name"]),
        ("Role", lambda record: record["role"]),
        ("Sites", lambda record: ", ".join(record["sites"]) or "all"),
        ("State", lambda record: _state(record)),
        ("Signed in", lambda record: str(record["live_sessions"] or "")),
    ),
)
SESSIONS = View(
    "sessions",
    "session_id",
    ("session_id", "name", "role", "machine", "source", "started_at", "seen_at", "expires_at", "locked", "own"),
    (
        ("Session", lambda record: str(record["session_id"])),
        ("Name", lambda record: record["name"]),
        ("Role", lambda record: record["role"]),
        ("Desk", lambda record: f"{_desk(record['source'])} ({record['machine']})"),
        ("Since", lambda record: _moment(record["started_at"])),
        ("Seen", lambda record: _moment(record["seen_at"])),
        ("", lambda record: "locked" if record["locked"] else "this one" if record["own"] else ""),
    ),
)
_Name = Annotated[str, typer.Argument(metavar="NAME", help="As they sign in.")]
_Sites = Annotated[str, typer.Option("--sites", metavar="SITES", help="Only at these, with commas; all: everywhere.")]
_ROLES = "desk, manager, auditor or worker"


def register(app: typer.Typer) -> None:
    """Adds the command groups."""
    group = new_app("Who works here, and as what.")
    for name, command in (("add", add), ("list", list_), ("role", role), ("disable", disable), ("enable", enable)):
        group.command(name)(command)
    group.command("reset")(reset)
    app.add_typer(group, name="staff")
    sessions = new_app("Who is signed in, everywhere.")
    sessions.command("list")(list_sessions)
    sessions.command("revoke")(revoke)
    app.add_typer(sessions, name="session")


def add(
    desk: Desk,
    name: _Name,
    role: Annotated[str, typer.Option("--role", help=f"One of {_ROLES}.")] = "desk",
    full_name: Annotated[str, typer.Option("--full-name", help="What people call them.")] = "",
    sites: _Sites = "",
) -> None:
    """Add somebody. Asks for a first password, which they must change when they sign in; or reads it from stdin.

    \b
    Examples:
      bookcli staff add a.moreno --full-name "Ana Moreno" --sites riverside
      bookcli staff add night-import --role manager < password-file
    """
    from ..core.services import staff  # noqa: PLC0415 - the driver comes after the words are understood
    from . import dialogue  # noqa: PLC0415 - likewise

    staff.check_new(desk.context, name, role=role, sites=_codes(sites) or ())
    password = dialogue.Secrets(desk).ask(f"First password of {name}:", twice=True)
    staff.add(desk.context, name, password, full_name=full_name, role=role, sites=_codes(sites) or ())
    desk.output.show(STAFF, [], sentence=f"Added {name} ({role}).")
    desk.talk.suggest(f"bookcli login {name}")


def list_(desk: Desk) -> None:
    """List everybody.

    \b
    Examples:
      bookcli staff list
    """
    from ..core.services import staff  # noqa: PLC0415 - the driver comes after the words are understood

    desk.output.show(STAFF, [_member(member) for member in staff.staff(desk.context)])


def role(
    desk: Desk,
    name: _Name,
    role: Annotated[str, typer.Argument(metavar="ROLE", help=f"One of {_ROLES}.")] = "",
    sites: _Sites = "",
) -> None:
    """Give somebody another role, or other sites; it counts at once, also where they are signed in.

    \b
    Examples:
      bookcli staff role a.moreno manager
      bookcli staff role a.moreno --sites riverside,harbour
    """
    from ..core.services import staff  # noqa: PLC0415 - the driver comes after the words are understood

    changed = staff.change(desk.context, name, role=role or None, sites=_codes(sites))
    desk.output.show(STAFF, [], sentence=f"Changed {name}." if changed else "Nothing to change.")


def disable(desk: Desk, name: _Name, yes: params.Yes = False) -> None:
    """Let somebody sign in no more and end their sessions. They stay in the list, because the audit names them.

    \b
    Examples:
      bookcli staff disable a.moreno
    """
    from ..core.services import staff  # noqa: PLC0415 - the driver comes after the words are understood

    staff.member(desk.context, name)
    if not desk.talk.agree(f"{name} will be signed out everywhere.", yes=yes):
        desk.talk.note("Not disabled.")
        return
    changed = staff.change(desk.context, name, enabled=False)
    desk.output.show(STAFF, [], sentence=f"Disabled {name}." if changed else "Nothing to change.")


def enable(desk: Desk, name: _Name) -> None:
    """Let somebody sign in again who was disabled.

    \b
    Examples:
      bookcli staff enable a.moreno
    """
    from ..core.services import staff  # noqa: PLC0415 - the driver comes after the words are understood

    changed = staff.change(desk.context, name, enabled=True)
    desk.output.show(STAFF, [], sentence=f"Enabled {name}." if changed else "Nothing to change.")


def reset(desk: Desk, name: _Name) -> None:
    """Give somebody a new first password, which they must change; unlocks the name and ends their sessions.

    \b
    Examples:
      bookcli staff reset a.moreno
    """
    from ..core.services import staff  # noqa: PLC0415 - the driver comes after the words are understood
    from . import dialogue  # noqa: PLC0415 - likewise

    staff.member(desk.context, name)
    staff.reset(desk.context, name, dialogue.Secrets(desk).ask(f"New first password of {name}:", twice=True))
    desk.output.show(STAFF, [], sentence=f"Reset. {name} must change the password at the next sign-in.")


def list_sessions(desk: Desk) -> None:
    """List who is signed in, and where.

    \b
    Examples:
      bookcli session list
    """
    from ..core.services import staff  # noqa: PLC0415 - the driver comes after the words are understood

    desk.output.show(SESSIONS, [_session(session) for session in staff.sessions(desk.context)])


def revoke(
    desk: Desk,
    session: Annotated[int, typer.Argument(metavar="SESSION", max=2**63 - 1, help="Its number, as list shows it.")] = 0,
    of: Annotated[str, typer.Option("--of", metavar="NAME", help="All sessions of this name instead.")] = "",
) -> None:
    """End a session, or all of somebody, at once.

    \b
    Examples:
      bookcli session revoke 17
      bookcli session revoke --of a.moreno
    """
    from ..core.services import staff  # noqa: PLC0415 - the driver comes after the words are understood

    if bool(session) == bool(of):
        raise InvalidInput("Say either the number of a session or --of NAME.", hint="bookcli session list")
    ended = staff.revoke(desk.context, name=of, session=session or None)
    desk.output.show(SESSIONS, [], sentence=f"Ended {ended} session{'' if ended == 1 else 's'}.")


def _codes(sites: str) -> list[str] | None:
    """The codes that were typed; None for nothing, none for `all`."""
    return None if not sites else [] if sites == "all" else [code.strip() for code in sites.split(",")]


def _desk(source: str) -> str:
    """The desk and its address, without the program that every desk runs."""
    program, _, rest = source.partition(" ")
    return rest if program.startswith("bookcli/") and rest else source


def _moment(text: str) -> str:
    """A moment in the time of this desk, short."""
    return datetime.fromisoformat(text).astimezone().strftime("%d %b %H:%M")


def _state(record: Any) -> str:
    if record["disabled_at"]:
        return "disabled"
    return "password to be changed" if record["must_change"] else "" if record["has_password"] else "no password"


def _member(member: Member) -> dict[str, Any]:
    disabled = member.disabled_at.isoformat() if member.disabled_at else None
    return dataclasses.asdict(member) | {"sites": list(member.sites), "disabled_at": disabled}


def _session(session: Session) -> dict[str, Any]:
    moments = {name: getattr(session, name).isoformat() for name in ("started_at", "seen_at", "expires_at")}
    return dataclasses.asdict(session) | moments
