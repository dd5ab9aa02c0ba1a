"""That patients are found where they may not be (tests/leaks.py): the controls of what every test is checked for."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from tests import leaks
from tests.clinic import NAMES
from tests.valkeys import Valkey

NAME = NAMES[0]


def test_a_patient_who_was_in_redis_is_found_however_packed_and_though_deleted() -> None:
    server = Valkey()
    try:
        for n, name in enumerate(NAMES[:3]):
            packed = (
                name.encode(),
                zlib.compress(json.dumps([name]).encode()),
                base64.b64encode(zlib.compress(name.encode())),
            )[n]
            server.client.hset("rq:job:1", "data", packed)
            server.client.delete("rq:job:1")
        assert leaks.names_in(server.written()) == set(NAMES[:3])
        assert leaks.names_in(server.written()) == set(), "each is told once"
        server.client.set("name", NAME)
    finally:
        with pytest.raises(AssertionError, match="patients were in Redis"):
            server.remove()


def test_a_patient_who_is_in_a_file_of_a_desk_is_found(tmp_path: Path) -> None:
    for name, text in {
        "state/log": f"Traceback: {NAME}",
        "data/spool/1": json.dumps(NAME),
        "data/pg/base": NAME,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "data/pg/PG_VERSION").touch()
    assert leaks.names_in_files(tmp_path) == {"state/log": {NAME}, "data/spool/1": {NAME}}


def test_a_patient_who_is_an_argument_or_in_the_environment_is_found() -> None:
    nothing = [sys.executable, "-S", "-c", ""]
    for arguments, environment in (([*nothing, NAME], None), (nothing, {"NAME": NAME})):
        subprocess.run(arguments, env=environment, check=True)
        assert leaks.STARTED.names() == {NAME}
    assert leaks.STARTED.names() == set()
