"""Settings and where files live: flag > environment > file > default; an unknown key is refused.

Secrets come from the environment or a file that only its owner can read, never from argv.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from .errors import InvalidInput

SECRET_SETTINGS = frozenset({"database_url", "redis_url"})


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

    @property
    def deadline_seconds(self) -> float:
        """The deadline as a number of seconds, between 1 and 60."""
        try:
            seconds = float(self.deadline)
        except ValueError:
            seconds = -1.0
        if not 1 <= seconds <= 60:
            raise InvalidInput("The setting deadline must be a number of seconds between 1 and 60.")
        return seconds


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
    def spool(self) -> Path:
        """What this desk was asked while the database was away."""
        return self.data / "spool"

    @property
    def remembered(self) -> Path:
        """What this desk remembers of its databases."""
        return self.data / "remembered.json"

    @property
    def log_file(self) -> Path:
        return self.state / "bookcli.log"


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


def _read_file(config_file: Path) -> dict[str, str]:
    import tomllib  # noqa: PLC0415 - 16 ms, and most desks have no file

    try:
        content = tomllib.loads(config_file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise InvalidInput(
            f"The settings file {config_file} cannot be read.", hint=str(problem), code="config-unreadable"
        ) from problem
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
