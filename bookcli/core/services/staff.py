"""Signing in and out, and who works here.

What must stay true: a password is stretched here and goes no further; a wrong password and a name that nobody has cost
and say the same.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from ..adapters import stretching
from ..context import Context, operating_system_user
from ..db import gateway, schema
from ..db.gateway import Password
from ..errors import BookcliError, InvalidInput, NotAllowed, NotFound, OutcomeUnknown, Refused, Unavailable
from ..model.staff import (
    Member,
    Person,
    Session,
    SignedIn,
    Stretching,
    checked_name,
    checked_role,
    new_password,
    normal_password,
)
from ..model.text import clean_name
from . import suggestions
from .attempts import once

_ASK = "They can add you: bookcli staff add"


def sign_in(context: Context, name: str, password: str) -> SignedIn:
    """Opens a session for this desk and keeps it; the one it had before is ended.

    Raises NotAllowed `wrong-credentials` or `sign-in-locked`. A password that was stretched less than new ones are is
    stretched anew.
    """
    login, secret = checked_name(name), normal_password(password)
    connection = context.connection()
    how, least = gateway.parameters(connection, login)
    key = stretching.stretched(secret, how)
    answer = once(lambda: gateway.sign_in(connection, login, key, context.token))
    if answer.verdict != "signed-in":
        raise _not_signed_in(answer.verdict, answer.wait_seconds)
    assert answer.token and answer.name and answer.role and answer.expires_at
    session = SignedIn(answer.token, answer.name, answer.role, answer.expires_at, bool(answer.must_change))
    _keep(context, session)
    if how.weaker_than(stretching.wanted(least)):
        with contextlib.suppress(BookcliError):  # signed in all the same, and the next time is soon enough
            gateway.change_password(connection, key, _stretched(secret, least), only_stretched=True)
    return session


def _keep(context: Context, session: SignedIn) -> None:
    """Keeps it at the desk; one that cannot be kept is ended, because nobody would have its token."""
    try:
        context.keep(session)
    except BookcliError:
        connection = context.connection()
        connection.token = session.token
        gateway.sign_out(connection)
        raise


def usual_name(context: Context) -> str:
    """Whose session this desk has or had last; with the embedded servers, else, the user of this machine."""
    if context.session is not None:
        return context.session.name
    return operating_system_user() if context.embedded else ""


def needs_password(context: Context, name: str) -> bool:
    """False for the user of this machine at their own embedded servers, unless they have chosen a password.

    Raises InvalidInput when it cannot be a name at all, so that nobody is asked for a password in vain.
    """
    login = checked_name(name)
    if not context.embedded or login != operating_system_user():
        return True
    return gateway.has_password(context.connection(), login)


def sign_in_here(context: Context) -> SignedIn:
    """A session for the user of this machine at their own embedded servers."""
    return context.sign_in_here(context.connection())


def meanings(context: Context) -> dict[str, str]:
    """What each permission allows, in words."""
    return gateway.meanings(context.connection())


def sign_out(context: Context) -> bool:
    """Ends the session and forgets it; False when there was none.

    Raises Unavailable `session-forgotten` when the database cannot be told: the desk has forgotten it even then.
    """
    if context.token is None:
        return False
    try:
        ended = gateway.sign_out(context.connection())
    except (Unavailable, OutcomeUnknown):
        context.keep(None)
        raise Unavailable(
            "This desk has forgotten the session, but the database could not be told.",
            hint="Nobody can use it any more; it expires by itself.",
            code="session-forgotten",
        ) from None
    context.keep(None)
    return ended


def lock(context: Context) -> None:
    """Makes the session useless until its owner signs in again. Raises NotAllowed when nobody is signed in."""
    if context.token is None or not gateway.lock(context.connection()):
        raise NotAllowed("Nobody is signed in at this desk.", hint="bookcli login", code="not-signed-in")


def whoami(context: Context) -> Person:
    """Whose session this desk has, with what they may do. Raises NotAllowed `not-signed-in`, `session-expired`."""
    person = gateway.whoami(context.connection()) if context.token or context.embedded else None
    if person is None:
        raise NotAllowed("Nobody is signed in at this desk.", hint="bookcli login", code="not-signed-in")
    if person.problem == "session-expired":
        raise NotAllowed("The session has ended.", hint="bookcli login", code="session-expired")
    return person


def change_password(context: Context, old: str, new: str) -> None:
    """Gives whoever is signed in a new password; their other sessions end. Raises NotAllowed, InvalidInput."""
    person = whoami(context)
    secret = new_password(new, person.name)
    connection = context.connection()
    how, least = gateway.parameters(connection, person.name)
    if old and secret == normal_password(old):
        raise InvalidInput("The new password is the old one.", code="password-invalid", details={"field": "password"})
    key = stretching.stretched(normal_password(old), how) if old else None
    verdict = gateway.change_password(connection, key, _stretched(secret, least))
    if verdict != "changed":
        raise _not_signed_in(verdict, 0)


def is_empty(context: Context) -> bool:
    """Whether nobody could sign in yet, so that the first manager is to be made. Raises NotAllowed at a desk."""
    return not any(one.has_password and not one.disabled_at for one in gateway.staff(context.connection()))


def add(
    context: Context, name: str, password: str, *, full_name: str = "", role: str = "desk", sites: Sequence[str] = ()
) -> None:
    """Creates somebody; the password must be changed at the first sign-in, except the first manager's.

    `sites` are those they may book and change at, none means all. Raises Refused `name-taken`, NotFound, InvalidInput.
    """
    login, as_role = checked_name(name), checked_role(role)
    called = clean_name(full_name or login, label="full name")
    secret = _stretched(new_password(password, login), _least(context, login))
    verdict = once(lambda: gateway.add(context.connection(), login, called, as_role, sites, secret))
    if verdict == "name-taken":
        raise _taken()
    _expect(context, verdict, "created", sites)


def add_first_manager(context: Context, name: str, password: str) -> None:
    """Creates the first manager. Raises as `add`, and Refused `manager-there` when somebody else just did."""
    with schema.alone(context.connection()):
        if not is_empty(context):
            raise Refused("Somebody else was made the first manager meanwhile.", hint=_ASK, code="manager-there")
        add(context, name, password, role="manager")


def check_new(context: Context, name: str, *, role: str = "desk", sites: Sequence[str] = ()) -> None:
    """Raises what `add` would, before anybody is asked for a password."""
    login, _ = checked_name(name), checked_role(role)
    if any(one.name == login for one in staff(context)):
        raise _taken()
    suggestions.check_codes(context, sites=sites)


def member(context: Context, name: str) -> Member:
    """One of the staff. Raises NotFound `staff-unknown`, NotAllowed, InvalidInput."""
    login = checked_name(name)
    for one in staff(context):
        if one.name == login:
            return one
    raise _unknown()


def change(
    context: Context,
    name: str,
    *,
    role: str | None = None,
    sites: Sequence[str] | None = None,
    enabled: bool | None = None,
) -> bool:
    """Another role or other sites, disabled or enabled; whether anything changed. Counts from the next call on.

    Raises NotFound `staff-unknown`, Refused `last-manager`, InvalidInput.
    """
    login, as_role = checked_name(name), checked_role(role) if role else None
    verdict = once(lambda: gateway.change(context.connection(), login, role=as_role, sites=sites, enabled=enabled))
    if verdict == "last-manager":
        raise Refused(
            "Nobody else is a manager.", hint="Make somebody else one first: bookcli staff role", code="last-manager"
        )
    if verdict != "unchanged":
        _expect(context, verdict, "changed", sites or ())
    return verdict == "changed"


def reset(context: Context, name: str, password: str) -> None:
    """Gives somebody a password that they must change, unlocks the name and ends its sessions. Raises NotFound."""
    login = checked_name(name)
    secret = _stretched(new_password(password, login), _least(context, login))
    _expect(context, once(lambda: gateway.reset(context.connection(), login, secret)), "changed")


def staff(context: Context) -> list[Member]:
    """Everybody who works or worked here, by name."""
    return gateway.staff(context.connection())


def sessions(context: Context) -> list[Session]:
    """The sessions that are live or locked, oldest first."""
    return gateway.sessions(context.connection())


def revoke(context: Context, *, name: str = "", session: int | None = None) -> int:
    """Ends a session by its number, or all of a name. Raises NotFound `session-unknown` when there was none."""
    ended = once(lambda: gateway.revoke(context.connection(), name=name and checked_name(name), session=session))
    if not ended:
        raise NotFound("There is no such session.", hint="bookcli session list", code="session-unknown")
    return ended


def _least(context: Context, name: str) -> Stretching:
    return gateway.parameters(context.connection(), name)[1]


def _stretched(password: str, least: Stretching) -> Password:
    how = stretching.fresh(least)
    return Password(stretching.stretched(password, how), how)


def _expect(context: Context, verdict: str, wanted: str, sites: Sequence[str] = ()) -> None:
    if verdict == "site-unknown":
        suggestions.check_codes(context, sites=sites)
    if verdict != wanted:
        raise _unknown()


def _unknown() -> NotFound:
    return NotFound("Nobody has that name.", hint="bookcli staff list", code="staff-unknown")


def _taken() -> Refused:
    return Refused("Somebody has that name already.", hint="bookcli staff list", code="name-taken")


def _not_signed_in(verdict: str, wait: int) -> NotAllowed:
    if verdict == "locked":
        hint = f"Wait {wait} s, or ask a manager: bookcli staff reset" if wait else "Wait, or ask a manager."
        return NotAllowed(
            "Too many wrong passwords for that name.", hint=hint, code="sign-in-locked", details={"wait_seconds": wait}
        )
    hint = f"The next try is possible in {wait} s." if wait else ""
    return NotAllowed("The name or the password is wrong.", hint=hint, code="wrong-credentials")
