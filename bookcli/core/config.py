"""Settings and where files live: flag > environment > file > default; an unknown key is refused.

Secrets come from the environment or a file that only its owner can read, never from argv.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path

from .errors import InvalidInput

_CACHE_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,39}|")

SECRET_SETTINGS = frozenset({"database_url", "redis_url", "smtp_url", "sms_url", "webhook_url"})
MRN_CHECKS = ("none", "luhn", "mod11-10", "mod97-10", "mod37-36")
LONGEST_PATTERN = 200


def _setting(description: str, default: str = "") -> str:
    """A dataclass field that carries its own description, from which the docs page is made."""
    return field(default=default, metadata={"description": description})


@dataclass(frozen=True)
class Settings:
    """Everything a user can set. Environment name: `BOOKCLI_` + the upper-case field name."""

    database_url: str = _setting("PostgreSQL address (libpq URL); empty means the embedded server")
    redis_url: str = _setting("Redis or Valkey address; empty means the embedded server")
    site: str = _setting("the site this desk belongs to, used when a command names none")
    desk: str = _setting("the name of this desk, written beside what it did; default is the host name")
    postgres_bin: str = _setting("directory of the PostgreSQL binaries for the embedded server")
    valkey_bin: str = _setting("path of the valkey-server or redis-server binary for the embedded server")
    pending_key: str = _setting(
        "file of 64 hex digits that desks and workers share; pending requests are copied to Redis, sealed with it"
    )
    deadline: str = _setting("seconds after which a command gives up waiting for a server", "8")
    mrn_pattern: str = _setting(
        "regular expression (Python's) that a new medical record number must match as a whole; empty means any of up "
        "to 40 letters, digits, dots, slashes and hyphens"
    )
    mrn_check: str = _setting(
        "check digit at the end of a new medical record number: none, luhn (ISO/IEC 7812-1), or mod11-10, mod97-10, "
        "mod37-36 (ISO/IEC 7064); letters count for mod37-36 only, dots, slashes and hyphens never",
        "none",
    )
    phone_region: str = _setting(
        "country (ISO 3166, such as DE) of phone numbers without a country code; empty keeps them as typed"
    )
    cache_soft_seconds: str = _setting("seconds for which cached availability is shown unasked", "5")
    cache_name: str = _setting(
        "a name for the database in the cache, for desks that reach one database by different addresses"
    )

    warm_days: str = _setting("workers: days ahead whose availability is kept in the cache; 0 for none", "14")
    publish_days: str = _setting(
        "workers: days ahead for which the slots that weekly hours say are opened; 0 leaves that to `schedule publish`",
        "0",
    )
    smtp_url: str = _setting(
        "mail server of the workers: smtps://USER:PASSWORD@HOST:465, or smtp://HOST:587, which must offer STARTTLS "
        "unless it is this machine"
    )
    mail_from: str = _setting("sender of messages to patients, such as 'Clinic North <appointments@clinic.example>'")
    smtp_seconds: str = _setting("seconds to wait for each answer of the mail server", "30")
    sms_url: str = _setting(
        "gateway of the workers for text messages: an Apprise URL with {phone} where the number belongs, such as "
        "twilio://SID:TOKEN@FROM/{phone}; needs the extra bookcli[channels]"
    )
    webhook_url: str = _setting(
        "address of your own system that the workers tell of every message, https unless it is here"
    )
    webhook_secret: str = _setting("file (0600) with whsec_ and the key in base64 that signs what webhook_url is told")
    theme: str = _setting(
        "colours of the terminal UI: dark, light, ansi-dark or ansi-light (the terminal's own)", "dark"
    )
    motion: str = _setting("whether things move in the terminal UI: full or reduced", "full")
    print_command: str = _setting("command that prints the text it reads, for the slips of the terminal UI", "lp")
    lock_minutes: str = _setting("minutes without a key after which the terminal UI locks itself; 0 means never", "10")

    @property
    def deadline_seconds(self) -> float:
        """The deadline as a number of seconds, between 1 and 60."""
        return self._seconds("deadline")

    def _seconds(self, name: str) -> float:
        try:
            seconds = float(getattr(self, name))
        except ValueError:
            seconds = -1.0
        if not 1 <= seconds <= 60:
            raise _not_allowed(name, "must be a number of seconds between 1 and 60")
        return seconds

    @property
    def smtp_patience(self) -> float:
        """`smtp_seconds` as a number, between 1 and 60."""
        return self._seconds("smtp_seconds")

    @property
    def cache_seconds(self) -> float:
        """The soft lifetime of the cache as a number of seconds, between 0 and an hour."""
        try:
            seconds = float(self.cache_soft_seconds)
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds <= 3600:
            raise _not_allowed("cache_soft_seconds", "must be a number of seconds between 0 and 3600")
        if not _CACHE_NAME.fullmatch(self.cache_name):
            raise _not_allowed("cache_name", "takes lower-case letters, digits, dots and hyphens")
        return seconds

    @property
    def lock_seconds(self) -> float:
        """`lock_minutes` as a number of seconds, up to a day. Raises InvalidInput."""
        try:
            minutes = float(self.lock_minutes)
        except ValueError:
            minutes = -1.0
        if not 0 <= minutes <= 1440:
            raise _not_allowed("lock_minutes", "must be a number of minutes between 0 and 1440")
        return minutes * 60

    @property
    def moves(self) -> bool:
        """Whether anything may move on the screen. Raises InvalidInput."""
        if self.motion not in ("full", "reduced"):
            raise _not_allowed("motion", "must be full or reduced")
        return self.motion == "full"

    @property
    def days_to_warm(self) -> int:
        """`warm_days` as a number. Raises InvalidInput."""
        return _days("warm_days", self.warm_days, 400)

    @property
    def days_to_publish(self) -> int:
        """`publish_days` as a number. Raises InvalidInput."""
        return _days("publish_days", self.publish_days, 730)

    @cached_property
    def mrn_regex(self) -> re.Pattern[str] | None:
        """`mrn_pattern`, compiled; None when it is not set. Raises InvalidInput."""
        if not self.mrn_pattern:
            return None
        try:
            if len(self.mrn_pattern) > LONGEST_PATTERN:
                raise _not_allowed(
                    "mrn_pattern", f"must be a regular expression of at most {LONGEST_PATTERN} characters"
                )
            pattern = re.compile(self.mrn_pattern)
        except (re.error, OverflowError, RecursionError):
            raise _not_allowed("mrn_pattern", "must be a regular expression") from None
        if pattern.fullmatch(""):
            raise _not_allowed("mrn_pattern", "must not match an empty number")
        return pattern

    @property
    def mrn_check_digit(self) -> str:
        """One of MRN_CHECKS. Raises InvalidInput."""
        check = self.mrn_check.strip().lower()
        if check not in MRN_CHECKS:
            raise _not_allowed("mrn_check", "must be one of " + ", ".join(MRN_CHECKS))
        return check

    @property
    def mrn_must_be_typed(self) -> bool:
        """Whether numbers have a format of the clinic's own, which those that bookcli gives would not have."""
        return self.mrn_regex is not None or self.mrn_check_digit != "none"

    @property
    def phone_country(self) -> str:
        """`phone_region` in upper case. Raises InvalidInput."""
        region = self.phone_region.strip().upper()
        if region and not re.fullmatch("[A-Z]{2}", region):
            raise _not_allowed("phone_region", "must be a country's two letters, such as DE")
        return region

    def check(self) -> None:
        """Looks at every setting that has a form. Raises InvalidInput."""
        _ = self.deadline_seconds, self.mrn_must_be_typed, self.phone_country, self.cache_seconds
        _ = self.lock_seconds, self.moves
        _ = self.days_to_warm, self.days_to_publish


def _days(name: str, text: str, most: int) -> int:
    days = int(text) if re.fullmatch("[0-9]{1,4}", text.strip()) else -1
    if not 0 <= days <= most:
        raise _not_allowed(name, f"must be a number of days between 0 and {most}")
    return days


def _not_allowed(name: str, what: str) -> InvalidInput:
    return InvalidInput(f"The setting {name} {what}.", hint=f"Correct BOOKCLI_{name.upper()}.", code="config-invalid")


@dataclass(frozen=True)
class Paths:
    """The three directories of one user's installation; nothing here is created by looking."""

    config: Path
    data: Path
    state: Path

    @property
    def config_file(self) -> Path:
        return self.config / "config.toml"

    @property
    def postgres(self) -> Path:
        return self.data / "postgres"

    @property
    def valkey(self) -> Path:
        return self.data / "valkey"

    @property
    def sessions(self) -> Path:
        return self.state / "sessions"

    @property
    def spool(self) -> Path:
        """What this desk was asked while the database was away."""
        return self.data / "spool"

    @property
    def remembered(self) -> Path:
        """What this desk remembers of its databases."""
        return self.data / "remembered.json"

    @property
    def templates(self) -> Path:
        """The clinic's own templates of messages."""
        return self.config / "templates"

    @property
    def screen_file(self) -> Path:
        """What the terminal UI keeps between starts: site, theme, filter; nothing about a patient."""
        return self.state / "screen.json"

    @property
    def log_file(self) -> Path:
        return self.state / "bookcli.log"

    @property
    def cache_away_file(self) -> Path:
        """Its time of change is when Redis last failed."""
        return self.state / "cache-away"


def paths(environ: Mapping[str, str] = os.environ) -> Paths:
    """Where this user's files live.

    `BOOKCLI_HOME` puts all three below one directory. Otherwise the XDG directories count; root uses
    `/etc/bookcli`, `/var/lib/bookcli` and `/var/log/bookcli`, as a service would.
    """
    if home := environ.get("BOOKCLI_HOME"):
        root = Path(home).absolute()
        return Paths(root / "config", root / "data", root / "state")
    if os.geteuid() == 0:
        return Paths(Path("/etc/bookcli"), Path("/var/lib/bookcli"), Path("/var/log/bookcli"))
    user_home = Path(environ.get("HOME") or "~").expanduser()

    def xdg(name: str, default: str) -> Path:
        return Path(environ.get(name) or user_home / default) / "bookcli"

    return Paths(
        xdg("XDG_CONFIG_HOME", ".config"),
        xdg("XDG_DATA_HOME", ".local/share"),
        xdg("XDG_STATE_HOME", ".local/state"),
    )


def load(environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings from the file and the environment. Raises InvalidInput for an unknown key or an open secret."""
    settings = Settings()
    config_file = paths(environ).config_file
    if config_file.is_file():
        settings = replace(settings, **_read_file(config_file))
    from_environment = {
        name: environ[f"BOOKCLI_{name.upper()}"] for name in _names() if environ.get(f"BOOKCLI_{name.upper()}")
    }
    return replace(settings, **from_environment)


def _names() -> list[str]:
    return [item.name for item in fields(Settings)]


def keys(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The table `[keys]` of the settings file: keys by the id of what they do. Raises as `load`."""
    config_file = paths(environ).config_file
    table = _content(config_file).get("keys", {}) if config_file.is_file() else {}
    if not isinstance(table, dict) or not all(isinstance(value, str) and value.strip() for value in table.values()):
        raise InvalidInput(
            f"The table [keys] in {config_file} must name a key for every id.",
            hint="undo = 'ctrl+z'",
            code="keys-invalid",
        )
    return table


def _content(config_file: Path) -> dict[str, object]:
    import tomllib  # noqa: PLC0415 - 16 ms, and most desks have no file

    try:
        return tomllib.loads(config_file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise InvalidInput(
            f"The settings file {config_file} cannot be read.", hint=str(problem), code="config-unreadable"
        ) from problem


def _read_file(config_file: Path) -> dict[str, str]:
    content = {name: value for name, value in _content(config_file).items() if name != "keys"}
    for name, value in content.items():
        if name not in _names():
            raise InvalidInput(
                f"The settings file {config_file} has an unknown key: {name}.",
                hint="Known keys: " + ", ".join(_names()),
                code="config-unknown-key",
            )
        if name in SECRET_SETTINGS and stat.S_IMODE(config_file.stat().st_mode) & 0o077:
            raise InvalidInput(
                f"The settings file {config_file} holds {name} and can be read by others.",
                hint=f"chmod 600 {config_file}",
                code="config-open-secret",
            )
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise InvalidInput(f"The key {name} in {config_file} must be text or a number.")
    return {name: str(value) for name, value in content.items()}
