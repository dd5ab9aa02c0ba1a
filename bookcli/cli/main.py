"""The entry point: finds the command, runs it, and owns every exit code.

What must stay true: `--version` imports nothing, `--help` no command, and a command only itself. A module of the table
below has `def register(app: typer.Typer) -> None`, which adds its commands to `app` (`app.command("book")(book)`,
`app.add_typer(patient, name="patient")`); their first parameter is the `desk` (see command.py).
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as typing's, which would have to be imported
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

COMMANDS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "Booking": {
        "slots": ("slots", "Find free slots for a test."),
        "book": ("appointments", "Book a test for a patient."),
        "hold": ("appointments", "Keep a place for some minutes."),
        "confirm": ("appointments", "Turn a hold into a booking."),
        "release": ("appointments", "Give back what you hold."),
        "visit": ("visits", "Book several tests, all or none."),
        "offers": ("visits", "Find where several tests fit into one visit."),
        "reschedule": ("appointments", "Move an appointment; its reference stays."),
        "cancel": ("appointments", "Cancel an appointment."),
        "waitlist": ("waitlist", "Who is offered a place when one becomes free."),
        "undo": ("undo", "Take back what you have just done."),
        "show": ("appointments", "Show an appointment."),
        "pending": ("pending", "What was asked while the database was away."),
    },
    "The day": {
        "tui": ("terminal", "Show the desk in this terminal; bookcli alone does so too."),
        "agenda": ("agenda", "List the appointments of a day."),
        "arrive": ("appointments", "Note that the patient has arrived."),
        "check-in": ("appointments", "Note that the patient has been checked in."),
        "fulfil": ("appointments", "Note that the test has been done."),
        "noshow": ("appointments", "Note that the patient did not come."),
    },
    "Who is at the desk": {
        "login": ("sign_in", "Sign in, or take over the desk from somebody else."),
        "logout": ("sign_in", "End the session of this desk."),
        "lock": ("sign_in", "Lock the session until its owner signs in again."),
        "whoami": ("sign_in", "Show who is signed in and what they may do."),
        "passwd": ("sign_in", "Change your password."),
        "staff": ("staff", "Who works here, and as what."),
        "session": ("staff", "Who is signed in, everywhere."),
    },
    "The clinic": {
        "patient": ("patients", "Add, find, edit and merge patients."),
        "site": ("catalog", "The sites."),
        "test": ("catalog", "The tests and their rules."),
        "resource": ("catalog", "The machines, rooms and people."),
        "schedule": ("schedules", "Weekly hours, slots and closures."),
        "report": ("reports", "How full it was, who did not come, how long people wait."),
    },
    "Messages": {
        "notification": ("notifications", "Messages to patients, and what became of them."),
        "message": ("notifications", "See what a message says before it is sent."),
        "remind": ("notifications", "Make the reminders that are due."),
    },
    "Files": {
        "import": ("imports", "Read sites, tests, patients or appointments from a file."),
        "export": ("exports", "Write what import reads."),
    },
    "The machine": {
        "demo": ("demo", "Load a clinic to try bookcli with."),
        "up": ("servers", "Start the local servers."),
        "down": ("servers", "Stop the local servers."),
        "status": ("servers", "Show what runs."),
        "doctor": ("servers", "Look for what is wrong and say what to do."),
        "cache": ("cache", "Fill, show and empty the cache of free slots."),
        "worker": ("workers", "Run, watch, pause and resume what sends messages."),
        "metrics": ("notifications", "Print numbers for Prometheus."),
        "db": ("database", "Prepare, check and upgrade the database."),
        "verify": ("database", "Check that no promise is broken."),
        "audit": ("audit", "Who did and saw what, and the proof that nothing was altered."),
        "selftest": ("selftest", "Try to break the promises on a scratch database."),
    },
    "Help": {
        "completion": ("completion", "Print the completion script of a shell."),
        "help": ("help_topics", "Explain a command or a topic."),
    },
}
_HELP_OPTIONS = ("-h", "--help")
_LONG = frozenset({"import", "export", "demo", "selftest", "worker", "tui"})


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code (design.md §12); the console script ends with it."""
    words = list(sys.argv[1:] if argv is None else argv) or _desk()
    if argv is None and not _LONG.intersection(words[:1]):
        _leave_garbage()
    if words[:1] in (["--version"], ["-V"]):
        return _version()
    try:
        code = _run(words)
    except BrokenPipeError:
        from . import diagnostics, output  # noqa: PLC0415 - only when stdout went away

        output.discard()
        code = diagnostics.BROKEN_PIPE
    except KeyboardInterrupt:
        from . import diagnostics  # noqa: PLC0415 - only when interrupted

        diagnostics.say("Interrupted.")
        code = diagnostics.INTERRUPTED
    return code


def _desk() -> list[str]:
    """What `bookcli` alone means: the desk where somebody sits at a terminal, else the help."""
    return ["tui"] if "_BOOKCLI_COMPLETE" not in os.environ and is_seated() else []


def is_seated() -> bool:
    """Whether somebody sits there: input and output are a terminal that can draw."""
    able = os.environ.get("TERM", "") not in ("", "dumb")
    return able and all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def _leave_garbage() -> None:
    """A short process ends before garbage matters; looking for it, also while ending, is a tenth of its time."""
    import atexit  # noqa: PLC0415 - nothing is imported before it is needed
    import gc  # noqa: PLC0415 - likewise

    gc.disable()
    atexit.register(gc.freeze)


def _version() -> int:
    from .. import __version__  # noqa: PLC0415 - nothing is imported before it is needed
    from . import output  # noqa: PLC0415 - likewise

    output.write(f"bookcli {__version__}\n")
    return 0


def _run(words: list[str]) -> int:
    if "_BOOKCLI_COMPLETE" in os.environ:
        from . import completion  # noqa: PLC0415 - only when a shell asks

        return completion.answer(COMMANDS)
    if not words or words[0] in _HELP_OPTIONS:
        from . import output  # noqa: PLC0415 - nothing is imported before it is needed

        output.write(overview())
        return 0
    return _guarded(words)


def _guarded(words: list[str]) -> int:
    from ..core.errors import BookcliError  # noqa: PLC0415 - nothing is imported before it is needed
    from . import diagnostics  # noqa: PLC0415 - likewise

    talk = diagnostics.Talk(json=diagnostics.wants_json(words), debug="--debug" in words)
    try:
        from . import command  # noqa: PLC0415 - inside, so that even a broken installation gets a sentence

        return command.run(module_of(words), words)
    except BookcliError as problem:
        return talk.error(problem)
    except (BrokenPipeError, KeyboardInterrupt, SystemExit):
        raise
    except Exception as problem:  # noqa: BLE001 - the one place where a bug becomes a sentence
        return talk.bug(problem)


def module_of(words: Sequence[str], others: Sequence[str] = ()) -> str:
    """The module of the command that `words` begin with. Raises InvalidInput with the nearest, `others` too."""
    for commands in COMMANDS.values():
        if words[0] in commands:
            return commands[words[0]][0]
    from ..core.errors import InvalidInput  # noqa: PLC0415 - only when something is wrong
    from ..core.model.text import nearest  # noqa: PLC0415 - likewise

    if words[0].startswith("-"):
        raise InvalidInput(
            "Options come after the command.", hint="For example: bookcli slots --test mri --json", code="usage"
        )
    near = nearest(words[0], [*names(), *others])
    hint = f"Did you mean {' or '.join(near)}?" if near else "bookcli --help lists the commands."
    kind = "command or topic" if others else "command"
    raise InvalidInput(f"There is no {kind} {words[0][:40]}.", hint=hint, code="command-unknown")


def names() -> list[str]:
    """The names of all commands, in the order of the help."""
    return [name for commands in COMMANDS.values() for name in commands]


def overview() -> str:
    """The text of `bookcli --help`."""
    lines = ["Usage: bookcli COMMAND [OPTIONS]", "", "Book diagnostic tests at clinic desks.", ""]
    for heading, commands in COMMANDS.items():
        lines += [f"{heading}:", *(f"  {name:<14}{text}" for name, (_, text) in commands.items()), ""]
    lines += [
        "Examples:",
        "  bookcli slots --test mri --on tomorrow",
        "  bookcli book --patient P1 --test mri --site north --at 'tomorrow 9:20'",
        "  bookcli cancel 7F3K-Q2MG",
        "",
        "bookcli COMMAND -h explains a command; bookcli help environment|exit-codes|formats|import-format a topic.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
