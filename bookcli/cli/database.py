"""`bookcli db` and `bookcli verify`: whether the database is there, is what schema.sql says, and keeps its promises."""

from __future__ import annotations

from typing import Annotated

import typer

from .command import Desk, new_app
from .output import View

DIFFERENCES = View("differences", "name", ("kind", "name", "problem"))
MIGRATIONS = View("migrations", "migration", ("migration",))
RULES = View("rules", "rule", ("rule", "violations"))


def register(app: typer.Typer) -> None:
    """Adds the command group and the command."""
    group = new_app("Prepare, check and upgrade the database.")
    group.command("init")(init)
    group.command("check")(check)
    group.command("upgrade")(upgrade)
    app.add_typer(group, name="db")
    app.command("verify")(verify)


def init(
    desk: Desk,
    manager: Annotated[str, typer.Option("--manager", metavar="NAME", help="The first manager; asked for.")] = "",
) -> None:
    """Load the schema into an empty database and make the first manager; harmless where both are there.

    Asks for the manager's password, or reads it from stdin. Run it as whoever owns the database.

    \b
    Examples:
      bookcli db init
      bookcli db init --manager a.moreno < password-file
    """
    from ..core.services import database  # noqa: PLC0415 - the driver comes after the words are understood

    made = database.init(desk.context)
    sentence = "The database is prepared." if made else "The database was prepared already."
    desk.output.show(MIGRATIONS, [], sentence=sentence, extra={"created": made})
    if database.lacks_a_manager(desk.context):
        _first_manager(desk, manager)
    elif manager:
        desk.talk.note("There is somebody who can sign in already, so nobody was added: bookcli staff add")


def _first_manager(desk: Desk, name: str) -> None:
    from ..core.services import staff  # noqa: PLC0415 - the driver comes after the words are understood
    from . import diagnostics, dialogue  # noqa: PLC0415 - likewise

    if not name and not diagnostics.interactive():
        desk.talk.note("Nobody can sign in yet: bookcli db init --manager NAME < password-file")
        return
    who = name or desk.talk.ask("Name of the first manager:")
    staff.check_new(desk.context, who, role="manager")
    staff.add_first_manager(desk.context, who, dialogue.Secrets(desk).ask(f"Password of {who}:", twice=True))
    desk.talk.note(f"{who} is the first manager: bookcli login {who}")


def check(desk: Desk) -> None:
    """Compare the database with schema.sql; exit code 1 when they differ.

    \b
    Examples:
      bookcli db check
      bookcli db check --json
    """
    from ..core.services import database  # noqa: PLC0415 - the driver comes after the words are understood

    found = database.check(desk.context)
    records = [{"kind": one.kind, "name": one.name, "problem": one.problem} for one in found]
    desk.output.show(DIFFERENCES, records, sentence="" if found else "The database is what schema.sql says.")
    if found:
        raise typer.Exit(1)


def upgrade(desk: Desk) -> None:
    """Apply the migrations that the database lacks, each in a transaction of its own.

    \b
    Examples:
      bookcli db upgrade
    """
    from ..core.services import database  # noqa: PLC0415 - the driver comes after the words are understood

    applied = database.upgrade(desk.context)
    numbers = ", ".join(str(number) for number in applied)
    sentence = f"Applied {numbers}." if applied else "Nothing to upgrade."
    desk.output.show(MIGRATIONS, [{"migration": number} for number in applied], sentence=sentence)


def verify(desk: Desk) -> None:
    """Check every promise on every booking; exit code 1 when one is broken. Reads everything.

    \b
    Examples:
      bookcli verify
      bookcli verify --json
    """
    from ..core.services import database  # noqa: PLC0415 - the driver comes after the words are understood

    found = database.verify(desk.context)
    desk.output.show(RULES, [{"rule": rule, "violations": violations} for rule, violations in found])
    broken = {rule for rule, violations in found if violations}
    desk.talk.note(_what_to_do(broken, database.CACHE_RULE))
    if broken:
        raise typer.Exit(1)


def _what_to_do(broken: set[str], cache_rule: str) -> str:
    if broken == {cache_rule}:
        return "Every promise is kept, but the cache is not this database's: bookcli cache drop"
    if broken:
        return "A promise is broken. Stop booking and keep the database as it is for whoever looks into it."
    return "Every promise is kept."
