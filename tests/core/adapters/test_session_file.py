"""The file that keeps a desk's session: whole or not at all, its owner's alone, and refused when it is not."""

from __future__ import annotations

import json
import os
import stat
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bookcli.core.adapters import session_file
from bookcli.core.config import Paths, Settings
from bookcli.core.errors import NotAllowed, Unavailable
from bookcli.core.model.staff import SignedIn

TOKEN = "5e" * 32
SESSION = SignedIn(TOKEN, "a.moreno", "desk", datetime(2030, 1, 2, 3, 4, tzinfo=UTC))
KEPT = {"token": TOKEN, "name": "a.moreno", "role": "desk", "expires_at": "2030-01-02T03:04:00+00:00"}
NOBODY = 65534


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A session that is kept."""
    kept = tmp_path / "state" / "sessions" / "local"
    session_file.write(kept, SESSION)
    return kept


def _as_nobody(work: Callable[[], None]) -> str:
    """What `work` raised in a process of a user whom directories can keep out; root becomes somebody else for it."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setuid(NOBODY)
            work()
            os.write(write, b"nothing")
        except BaseException:  # noqa: BLE001 - the test reads what it was
            os.write(write, traceback.format_exc().encode()[-4000:])
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as said:
        answer = said.read()
    os.waitpid(pid, 0)
    return answer


def _refused(file: Path) -> NotAllowed:
    with pytest.raises(NotAllowed) as refused:
        session_file.read(file)
    assert refused.value.code == "session-file-open"
    assert TOKEN not in refused.value.message + refused.value.hint
    return refused.value


def test_what_was_kept_is_read_again_and_only_its_owner_can(file: Path) -> None:
    assert session_file.read(file) == SESSION
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in file.parent.iterdir()] == ["local"]


def test_nothing_is_kept_before_and_after(file: Path) -> None:
    session_file.forget(file)
    session_file.forget(file)
    assert session_file.read(file) is None
    assert session_file.read(file.parent / "never" / "was") is None


def test_a_generous_umask_opens_nothing(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        session_file.write(tmp_path / "state" / "sessions" / "x", SESSION)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "state" / "sessions" / "x").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state" / "sessions").stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o666])
def test_a_file_that_others_can_reach_is_refused_with_the_remedy(file: Path, mode: int) -> None:
    file.chmod(mode)
    assert _refused(file).hint == f"chmod 600 '{file}'"


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701, 0o770])
def test_a_directory_that_others_can_enter_is_refused_for_reading_and_writing(file: Path, mode: int) -> None:
    file.parent.chmod(mode)
    assert _refused(file).hint == f"chmod 700 '{file.parent}'"
    with pytest.raises(NotAllowed):
        session_file.write(file, SESSION)


def test_a_link_is_not_followed_and_is_replaced_rather_than_written_through(file: Path, tmp_path: Path) -> None:
    elsewhere = file.rename(tmp_path / "elsewhere")
    before = elsewhere.read_text()
    file.symlink_to(elsewhere)
    _refused(file)
    session_file.write(file, SESSION)
    assert not file.is_symlink()
    assert elsewhere.read_text() == before


@pytest.mark.parametrize("place", [os.mkfifo, os.mkdir], ids=["pipe", "directory"])
def test_what_is_no_file_is_refused_and_not_waited_for(file: Path, place: Callable[[Path, int], None]) -> None:
    file.unlink()
    place(file, 0o600)
    _refused(file)


def test_a_file_or_a_directory_of_somebody_else_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root gives them away; anybody else is looked at as if they were another user."""
    if os.geteuid() != 0:
        monkeypatch.setattr(os, "geteuid", lambda: NOBODY)
        assert "belong" in _refused(file).message
        return
    os.chown(file, NOBODY, -1)
    assert "belong" in _refused(file).message
    os.chown(file, 0, -1)
    os.chown(file.parent, NOBODY, -1)
    assert str(file.parent) in _refused(file).message
    with pytest.raises(NotAllowed):
        session_file.write(file, SESSION)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[1]",
        b"\xff\xfe\x00",
        b"[" * 4000,
        b"{}",
        json.dumps({**KEPT, "token": "short"}).encode(),
        json.dumps({**KEPT, "token": 7}).encode(),
        json.dumps({**KEPT, "token": "\ud800" * 64}).encode(),
        json.dumps({**KEPT, "name": "../../etc"}).encode(),
        json.dumps({**KEPT, "role": "root"}).encode(),
        json.dumps({**KEPT, "expires_at": "soon"}).encode(),
        json.dumps({**KEPT, "expires_at": "2030-01-02T03:04:00"}).encode(),
        b" " * 5000 + json.dumps(KEPT).encode(),
    ],
)
def test_garbage_is_no_session_and_does_not_break_anything(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert session_file.read(file) is None
    session_file.write(file, SESSION)
    assert session_file.read(file) == SESSION


def test_what_a_killed_command_left_is_in_nobodys_way(file: Path) -> None:
    left = file.with_name(f"{file.name}.{os.getpid()}")
    left.write_text("half")
    session_file.write(file, SESSION)
    assert not left.exists()


def test_a_session_that_cannot_be_kept_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    where = tmp_path / "sessions"
    where.mkdir(mode=0o500)
    for directory in (tmp_path, *tmp_path.parents[:2]):
        directory.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(where, NOBODY, -1)
    said = _as_nobody(lambda: session_file.write(where / "x", SESSION))
    assert "The session cannot be kept." in said
    assert TOKEN not in said
    assert list(where.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where a directory should be")
    with pytest.raises(Unavailable) as said:
        session_file.write(tmp_path / "state" / "sessions" / "x", SESSION)
    assert said.value.code == "session-not-kept"


def test_each_database_has_its_own_session_whatever_user_and_password_lead_to_it(tmp_path: Path) -> None:
    paths = Paths(tmp_path, tmp_path, tmp_path)

    def named(address: str) -> str:
        return session_file.path(paths, Settings(database_url=address)).name

    assert named("") == "local"
    assert named("postgresql://desk7:secret@db/clinic") == named("postgresql://desk8@db/clinic")
    assert named("host=db dbname=clinic password=one") == named("host=db dbname=clinic password='two words'")
    addresses = ["postgresql://d@db/clinic", "postgresql://d@db/other", "postgresql://d@db2/clinic", ""]
    assert len({named(address) for address in addresses}) == len(addresses)
