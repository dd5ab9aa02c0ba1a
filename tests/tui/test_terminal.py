"""The desk as a process in a real terminal: how it is started, and what it leaves behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from tests.clinic import Clinic

BOOKCLI = str(Path(sys.executable).with_name("bookcli"))


@pytest.mark.parametrize("words", [[], ["tui", "--theme", "ansi-light"]], ids=["bookcli", "bookcli tui"])
def test_the_desk_opens_in_a_terminal_and_is_left_by_q(
    clinic: Clinic, words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("TEXTUAL_LOG", str(tmp_path / "textual.log"))
    desk = pexpect.spawn(BOOKCLI, words, dimensions=(24, 80), timeout=60)
    desk.expect_exact("\x1b]0;bookcli\x07")
    desk.expect_exact("No slots")
    desk.send("q")
    desk.expect_exact("\x1b[?1049l")
    desk.expect(pexpect.EOF)
    desk.close()
    assert (desk.exitstatus, desk.signalstatus) == (0, None)
    assert not (tmp_path / "textual.log").exists()


def test_without_a_terminal_bookcli_prints_its_help_and_the_desk_refuses(clinic: Clinic) -> None:
    alone = subprocess.run([BOOKCLI], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert (alone.returncode, alone.stdout[:6]) == (0, "Usage:")
    desk = subprocess.run([BOOKCLI, "tui"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert desk.returncode == 2
    assert "The desk needs a terminal." in desk.stderr


def test_a_wrong_table_of_keys_is_said_and_the_desk_does_not_open(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    clinic.context.paths.config_file.parent.mkdir(parents=True)
    clinic.context.paths.config_file.write_text('[keys]\nqiut = "x"\n')
    desk = pexpect.spawn(BOOKCLI, ["tui"], dimensions=(24, 80), timeout=60)
    desk.expect_exact("Did you mean quit")
    desk.expect(pexpect.EOF)
    desk.close()
    assert desk.exitstatus == 2
