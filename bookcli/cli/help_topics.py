"""`bookcli help`: a command's own help, or one of the topics that belong to no command."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from .command import Desk, run
from .output import write_lines

TOPICS = ("environment", "exit-codes", "formats", "import-format")

_EXIT_CODES = """Exit codes

  0    done
  1    a bug in bookcli, or a check that found something (doctor, status, verify, db check, audit verify)
  2    the command line or a value cannot be understood
  3    refused by a rule; the reason is on stderr and in JSON
  4    not found: no such site, test, patient, reference or file
  5    not signed in, a wrong name or password, or not allowed
  6    some rows of a file were refused, the others are done
  75   not possible now: a booking or visit is PENDING, kept at this desk and sent when the database answers
       (bookcli pending list); if it says NOT kept, and for everything else, nothing was changed: try again later
  76   outcome unknown: kept and asked again by itself; the same --key asks again too and never books twice
  130  interrupted
  141  the reader of the output went away"""

_FORMATS = """Formats: -o table|json|ndjson|csv|tsv|ids, --json for -o json

  table    aligned, for people; the default on a terminal
  tsv      tab-separated with a heading, never truncated; the default elsewhere
  csv      the same with commas; a cell that a spreadsheet would run as a formula gets a ' in front
  json     one object: {"version":1, ...}; fields are only ever added
  ndjson   one JSON object a line
  ids      only what names a record: references, slot numbers, codes

  slots                           as_of, stale, slots: [slot, site, test, resource, start, end, zone, capacity,
                                  remaining, status], and unknown: [site, test, day] when the database is away
  book, hold, visit, reschedule   outcome (booked, held, refused, pending, unknown), reason, request_key,
                                  appointments: [reference, slot, patient, test, site, resource, start, end, zone,
                                  status, ...], alternatives: [as slots]
  login                           sessions: [name, role, expires_at]; a token is never shown
  whoami                          people: [name, full_name, role, sites (none: all), since, ends, idle_minutes, locked,
                                  must_change_password, permissions]
  an error                        on stderr: {"error": {code, message, hint, exit, retryable, details}}

  Times are ISO 8601 with the offset of the site, beside the name of its zone."""

_IMPORT = """What import reads: CSV (any delimiter), JSON Lines or XLSX; the first row names the columns

  sites         code, name, zone, phone, active, quiet (21:00-07:00), names_test,
                offer_minutes
  tests         code, name, duration_minutes, buffer_before_minutes, buffer_after_minutes, lead_minutes,
                window_days, min_interval_days, preparation, active, remind_before (24h,2h),
                fasting (yes, no, words)
  resources     site, code, name, tests (separated by commas), active
  schedules     site, resource, weekdays, opens, closes, slot_minutes, capacity, valid_from, valid_until
  patients      mrn, name, birth_date, sex, phone, email, language, channel (email, sms, none),
                consent (given, declined), note
  appointments  patient, test, and slot, or site and start (2026-12-01T09:20 at the site), or site and day (its first
                free place); resource, id, status, note; patient_name, birth_date, sex, phone, email

  Other headings are mapped: --map field=COLUMN, or a TOML file with --mapping.
  bookcli import -h has the options; export writes what import reads."""


def register(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("help")(help)


def help(desk: Desk, topic: Annotated[list[str] | None, typer.Argument(metavar="COMMAND|TOPIC")] = None) -> None:
    """Explain a command, or one of the topics environment, exit-codes, formats and import-format.

    \b
    Examples:
      bookcli help book
      bookcli help exit-codes
    """
    from . import main  # noqa: PLC0415 - main starts this module, not the other way round

    words = topic or []
    texts: dict[str, Callable[[], str]] = {"": main.overview, "environment": _environment}
    texts |= {"exit-codes": lambda: _EXIT_CODES, "formats": lambda: _FORMATS, "import-format": lambda: _IMPORT}
    if (words or [""])[0] in texts:
        write_lines(texts[(words or [""])[0]]().rstrip("\n").split("\n"))
        return
    run(main.module_of(words, TOPICS), [*words, "--help"])


def _environment() -> str:
    import dataclasses  # noqa: PLC0415 - only for this topic
    import textwrap  # noqa: PLC0415 - likewise

    from ..core import config  # noqa: PLC0415 - likewise

    places = config.paths()
    rows = {f"BOOKCLI_{one.name.upper()}": one.metadata["description"] for one in dataclasses.fields(config.Settings)}
    rows |= {
        "BOOKCLI_HOME": "one directory for settings, data, log and session; without it the XDG directories",
        "BOOKCLI_NO_INPUT": "set to anything: never ask a question",
        "NO_COLOR": "set to anything: no colour",
        "TZ": "this desk's own time zone",
    }
    lines = ["Environment. A flag goes before the environment, the environment before the settings file.", ""]
    for name, text in rows.items():
        wrapped = textwrap.wrap(text, 76)
        lines += [f"  {name:<22} {wrapped[0]}", *(" " * 25 + more for more in wrapped[1:])]
    lines += ["", f"Settings file: {places.config_file}", f"Data: {places.data}", f"Log: {places.log_file}"]
    lines += [f"Session of this desk: below {places.sessions}, one for each database"]
    return "\n".join(lines)
