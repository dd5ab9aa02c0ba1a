"""The spool of a desk: what was kept is whole, in order and nobody else's, whatever happens to the disk or the desk."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bookcli.core.adapters import spool as spools
from bookcli.core.adapters.spool import ENDED, TOLD, WAITING, Name, Spool
from bookcli.core.errors import NotAllowed, Unavailable
from tests.processes import REPOSITORY

REQUEST = {"patient": "P1", "test": "mri"}


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "data" / "spool")


def test_what_was_kept_first_comes_first(spool: Spool) -> None:
    keys = [uuid.uuid4() for _ in range(12)]
    for n, key in enumerate(keys):
        spool.add(key, {"n": n})
    names = spool.names(WAITING)
    assert [name.key for name in names] == keys
    assert [spool.read(name)["n"] for name in names] == list(range(12))


def test_an_older_file_that_was_touched_keeps_its_place(spool: Spool) -> None:
    first, second = spool.add(uuid.uuid4(), REQUEST), spool.add(uuid.uuid4(), REQUEST)
    os.utime(spool.directory / first.file, (time.time() + 3600, time.time() + 3600))
    assert spool.names(WAITING) == [first, second]


def test_only_the_owner_can_read_what_was_kept_and_names_carry_no_patient(spool: Spool) -> None:
    key = uuid.uuid4()
    old = os.umask(0)
    try:
        name = spool.add(key, {"patient": "CANARY-7"})
    finally:
        os.umask(old)
    file = spool.directory / name.file
    assert spool.directory.stat().st_mode & 0o777 == 0o700
    assert file.stat().st_mode & 0o777 == 0o600
    assert name.file == f"0000000001-{key}.waiting"
    assert not [path for path in spool.directory.iterdir() if "CANARY" in path.name]


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o750, 0o777])
def test_a_directory_that_others_can_enter_is_refused(spool: Spool, mode: int) -> None:
    spool.add(uuid.uuid4(), REQUEST)
    spool.directory.chmod(mode)
    with pytest.raises(NotAllowed) as refusal:
        spool.add(uuid.uuid4(), REQUEST)
    assert refusal.value.code == "spool-open"
    with pytest.raises(NotAllowed):
        spool.names(WAITING)


def test_a_directory_that_is_a_link_is_refused(spool: Spool, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    spool.directory.parent.mkdir()
    spool.directory.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotAllowed):
        spool.add(uuid.uuid4(), REQUEST)
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_file_that_others_can_read_or_that_is_a_link_is_not_believed(spool: Spool, tmp_path: Path) -> None:
    opened, linked = spool.add(uuid.uuid4(), REQUEST), spool.add(uuid.uuid4(), REQUEST)
    (spool.directory / opened.file).chmod(0o640)
    (tmp_path / "forged").write_text("{}")
    (tmp_path / "forged").chmod(0o600)
    (spool.directory / linked.file).unlink()
    (spool.directory / linked.file).symlink_to(tmp_path / "forged")
    for name in (opened, linked):
        with pytest.raises(ValueError):
            spool.read(name)


def test_an_end_takes_the_place_of_the_request_and_is_told_once(spool: Spool) -> None:
    name = spool.add(uuid.uuid4(), REQUEST)
    ended = spool.end(name, {**REQUEST, "end": "booked"})
    assert spool.names(WAITING) == []
    assert spool.names(ENDED) == [ended]
    assert spool.end(name, {**REQUEST, "end": "booked"}) == ended
    spool.tell(ended)
    assert spool.names(ENDED) == []
    (told,) = spool.names(TOLD)
    assert spool.read(told)["end"] == "booked"


def test_what_was_told_is_forgotten_after_a_day_and_what_was_not_told_is_not(spool: Spool) -> None:
    told, untold = (spool.end(spool.add(uuid.uuid4(), REQUEST), REQUEST) for _ in "ab")
    spool.tell(told)
    spool.sweep()
    assert len(spool.names(ENDED, TOLD)) == 2
    long_ago = time.time() - 90000
    for path in spool.directory.iterdir():
        os.utime(path, (long_ago, long_ago))
    spool.sweep()
    assert spool.names(WAITING, ENDED, TOLD) == [untold]


def test_an_end_beside_its_request_counts_and_the_request_never_comes_back(spool: Spool) -> None:
    """As a crash leaves it between the two steps of `end`."""
    name = spool.add(uuid.uuid4(), REQUEST)
    content = (spool.directory / name.file).read_bytes()
    ended = spool.end(name, REQUEST)
    (spool.directory / name.file).write_bytes(content)
    assert (spool.names(WAITING), spool.names(ENDED)) == ([], [ended])
    spool.drop(ended)
    assert spool.names(WAITING, ENDED, TOLD) == []


def test_the_file_then_its_name_then_the_directory_are_on_the_disk_before_it_is_said(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.add(uuid.uuid4(), REQUEST)
    steps = _steps(monkeypatch)
    spool.add(uuid.uuid4(), REQUEST)
    assert steps == ["fsync file", "rename", "fsync directory"]


@pytest.mark.parametrize(("step", "kept"), [("fsync file", 0), ("rename", 0), ("fsync directory", 1)])
def test_ctrl_c_leaves_a_whole_request_or_none(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, step: str, kept: int
) -> None:
    spool.directory.mkdir(parents=True, mode=0o700)

    class Interrupted(list[str]):
        def append(self, seen: str) -> None:
            if seen == step:
                signal.raise_signal(signal.SIGINT)

    _steps(monkeypatch, Interrupted())
    with pytest.raises(KeyboardInterrupt):
        spool.add(uuid.uuid4(), REQUEST)
    monkeypatch.undo()
    assert [spool.read(name) for name in spool.names(WAITING)] == [REQUEST] * kept
    assert len(list(spool.directory.iterdir())) == kept


@pytest.mark.parametrize("room", [0, 8])
def test_a_disk_without_room_keeps_nothing_and_says_so(spool: Spool, room: int) -> None:
    name = spool.add(uuid.uuid4(), REQUEST)
    with _room_for(room), pytest.raises(Unavailable) as refusal:
        spool.add(uuid.uuid4(), REQUEST)
    assert refusal.value.code == "not-kept"
    assert [path.name for path in spool.directory.iterdir()] == [name.file]


def test_an_end_that_finds_no_room_leaves_the_request_waiting(spool: Spool) -> None:
    name = spool.add(uuid.uuid4(), REQUEST)
    with _room_for(0), pytest.raises(Unavailable):
        spool.end(name, REQUEST)
    assert spool.names(WAITING, ENDED) == [name]
    assert spool.read(name) == REQUEST


KILLED_WHILE_WRITING = """
import os, signal, sys, uuid
from pathlib import Path
from bookcli.core.adapters import spool
{mutant}
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
spool.Spool(Path(sys.argv[1])).add(uuid.uuid4(), {{"patient": "P1"}})
"""
WITHOUT_RENAME = "spool._PART, spool.os.rename = '.' + spool.WAITING, lambda *_, **__: None"


@pytest.mark.parametrize(("mutant", "seen"), [("", 0), (WITHOUT_RENAME, 1)], ids=["as it is", "without the rename"])
def test_a_desk_that_is_killed_while_writing_keeps_nothing_that_was_not_said(
    spool: Spool, mutant: str, seen: int
) -> None:
    """The control: written under its own name at once, a request is there before it is on the disk."""
    spool.directory.mkdir(parents=True, mode=0o700)
    done = _run(KILLED_WHILE_WRITING.format(mutant=mutant), spool)
    assert done.returncode == -signal.SIGKILL
    assert len([path for path in spool.directory.iterdir() if path.name.endswith(f".{WAITING}")]) == seen


def test_twenty_processes_that_keep_requests_at_once_lose_none(spool: Spool) -> None:
    code = (
        "import sys, uuid\nfrom pathlib import Path\nfrom bookcli.core.adapters.spool import Spool\n"
        "for n in range(10): Spool(Path(sys.argv[1])).add(uuid.uuid4(), {'process': sys.argv[2], 'n': n})"
    )
    command = [sys.executable, "-c", code, str(spool.directory)]
    running = [subprocess.Popen([*command, str(n)], cwd=REPOSITORY) for n in range(20)]
    assert [one.wait(60) for one in running] == [0] * 20
    kept = [spool.read(name) for name in spool.names(WAITING)]
    assert len(kept) == 200
    for process in range(20):
        assert [one["n"] for one in kept if one["process"] == str(process)] == list(range(10))


def test_one_at_a_time_is_alone_and_a_killed_one_is_alone_no_more(spool: Spool) -> None:
    spool.add(uuid.uuid4(), REQUEST)
    code = (
        "import sys\nfrom pathlib import Path\nfrom bookcli.core.adapters.spool import Spool\n"
        "with Spool(Path(sys.argv[1])).alone() as alone:\n    print(alone, flush=True)\n    sys.stdin.readline()"
    )
    command = [sys.executable, "-c", code, str(spool.directory)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None and other.stdout.readline() == b"True\n"
        with spool.alone() as alone:
            assert not alone
        other.kill()
    with spool.alone() as alone:
        assert alone


def test_what_is_not_a_request_is_not_taken_for_one(spool: Spool) -> None:
    spool.add(uuid.uuid4(), REQUEST)
    for file in ("notes.txt", "1-x.waiting", f"1-{uuid.uuid4()}.waiting", f"0000000001-{uuid.uuid4()}.else"):
        (spool.directory / file).write_text("{}")
    assert len(spool.names(WAITING, ENDED, TOLD)) == 1


def test_a_damaged_file_is_no_request(spool: Spool) -> None:
    name = spool.add(uuid.uuid4(), REQUEST)
    (spool.directory / name.file).write_bytes(b'{"patient": "P')
    with pytest.raises(ValueError):
        spool.read(name)
    with pytest.raises(ValueError):
        spool.read(Name(99, uuid.uuid4(), WAITING))


def _run(code: str, spool: Spool) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, "-c", code, str(spool.directory)], cwd=REPOSITORY, timeout=60, check=False)


def _steps(monkeypatch: pytest.MonkeyPatch, noted_in: list[str] | None = None) -> list[str]:
    """What happens to the disk, in order, from now on; each step is noted before it is taken."""
    steps: list[str] = [] if noted_in is None else noted_in

    def noted(step: Callable[..., str], function: Any) -> Any:
        def call(*values: Any, **more: Any) -> Any:
            steps.append(step(*values))
            return function(*values, **more)

        return call

    def kind(descriptor: int) -> str:
        return "fsync directory" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "fsync file"  # noqa: PTH112

    monkeypatch.setattr(spools.os, "fsync", noted(kind, os.fsync))
    monkeypatch.setattr(spools.os, "rename", noted(lambda *_: "rename", os.rename))
    return steps


@contextmanager
def _room_for(size: int) -> Iterator[None]:
    """No file can grow beyond so many bytes."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)
        signal.signal(signal.SIGXFSZ, ignored)


def test_what_is_written_is_what_is_read(spool: Spool) -> None:
    content = {"note": "früh, 日本\nzwei", "n": [1, 2], "none": None}
    assert json.loads(json.dumps(content)) == spool.read(spool.add(uuid.uuid4(), content))
