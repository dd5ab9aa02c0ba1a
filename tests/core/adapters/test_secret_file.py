"""The file with a key in it: read as it was placed by its owner, or refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bookcli.core.adapters import secret_file
from bookcli.core.errors import InvalidInput

KEY = bytes(range(32))
KIND = secret_file.Kind("tests", "make-a-key > {file}", "test-key")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A key that only its owner can read."""
    made = tmp_path / "key"
    made.write_text(KEY.hex() + "\n")
    made.chmod(0o600)
    return made


def _read(file: Path) -> bytes:
    return secret_file.read(file, KIND, bytes.fromhex, range(32, 33))


def _refused(file: Path) -> tuple[str, str]:
    with pytest.raises(InvalidInput) as refusal:
        _read(file)
    assert KEY.hex() not in str(refusal.value)
    return refusal.value.code, refusal.value.hint


def test_a_key_that_only_its_owner_can_read_is_read(file: Path) -> None:
    assert _read(file) == KEY


def test_a_key_behind_links_is_read_as_secrets_are_mounted_into_containers(file: Path, tmp_path: Path) -> None:
    (tmp_path / "..data").symlink_to(tmp_path)
    link = tmp_path / "mounted"
    link.symlink_to(tmp_path / "..data" / file.name)
    file.chmod(0o400)
    assert _read(link) == KEY


def test_a_link_is_judged_by_the_file_that_it_leads_to(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    file.chmod(0o602)
    assert _refused(link)[0] == "test-key-open"
    file.chmod(0o600)
    own = file.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    monkeypatch.setattr(secret_file, "_ROOT", own + 2)
    assert _refused(link)[0] == "test-key-open"


def test_a_link_to_nothing_to_itself_or_to_a_pipe_is_no_key(tmp_path: Path) -> None:
    pipe, nothing, itself, led = (tmp_path / name for name in ("pipe", "nothing", "itself", "led"))
    os.mkfifo(pipe, 0o600)
    nothing.symlink_to(tmp_path / "never-was")
    itself.symlink_to(itself)
    led.symlink_to(pipe)
    assert [_refused(one)[0] for one in (nothing, itself, led)] == ["test-key-invalid"] * 3


def test_a_pipe_or_a_directory_is_no_key_and_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    for one in (pipe, tmp_path):
        assert _refused(one)[0] == "test-key-invalid"


def test_a_key_that_others_can_read_is_refused_with_the_remedy(file: Path) -> None:
    file.chmod(0o640)
    assert _refused(file) == ("test-key-open", f"chmod 600 '{file}'")


def test_a_key_that_somebody_else_placed_is_refused_unless_they_are_root(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = file.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    monkeypatch.setattr(secret_file, "_ROOT", own)
    assert _read(file) == KEY
    monkeypatch.setattr(secret_file, "_ROOT", own + 2)
    assert _refused(file)[0] == "test-key-open"
