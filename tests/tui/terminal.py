"""The desk as a process in a terminal of its own: keys go in as bytes, and what a terminal would show is text.

What must stay true: whatever the process writes is read at once, by a thread, so that no other terminal's wait holds it
up; only what Textual writes is understood, which is to go somewhere and to write characters.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
from rich.cells import get_character_cell_size

BOOKCLI = str(Path(sys.executable).with_name("bookcli"))
PATIENCE = 60.0
KEYS = {
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "enter": "\r",
    "escape": "\x1b",
    "tab": "\t",
    "shift+tab": "\x1b[Z",
    "end": "\x1b[F",
    "ctrl+s": "\x13",
    "ctrl+u": "\x15",
}
_PIECE = re.compile(
    r"\x1b\[(?P<values>[0-9;:?<>=!]*)[ -/]*(?P<what>[@-~])"
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[P_^X][^\x1b]*\x1b\\|\x1b[()][0-9A-Z]|\x1b[=>78cDEMH]"
    r"|(?P<control>[\x00-\x1a\x1c-\x1f])|(?P<words>[^\x00-\x1f]+)"
)


class Picture:
    """What a terminal shows of what was written to it; `painted` are the lines that were written to."""

    def __init__(self, columns: int, rows: int) -> None:
        self._columns, self._rows = columns, rows
        self._cells = [[" "] * columns for _ in range(rows)]
        self._x = self._y = 0
        self._rest = ""
        self.painted: set[int] = set()

    def __str__(self) -> str:
        return "\n".join("".join(line) for line in self._cells)

    def write(self, written: str) -> None:
        """Takes more of it; what ends in the middle of a sequence waits for the rest of it."""
        written, at = self._rest + written, 0
        while piece := _PIECE.match(written, at):
            at = piece.end()
            if piece["words"]:
                self._put(piece["words"])
            elif piece["control"]:
                self._x, self._y = 0 if piece["control"] in "\r\n" else self._x, self._y + (piece["control"] == "\n")
            elif piece["what"]:
                self._do(piece["what"], piece["values"])
        self._rest = written[at:]

    def _do(self, what: str, values: str) -> None:
        if what == "H":
            line, column = ([int(value or 1) for value in values.split(";")] + [1, 1])[:2]
            self._x, self._y = column - 1, line - 1
        elif what == "J" and values in ("2", "3"):
            self._cells = [[" "] * self._columns for _ in range(self._rows)]

    def _put(self, words: str) -> None:
        if not 0 <= self._y < self._rows:
            return
        line = self._cells[self._y]
        self.painted.add(self._y)
        for character in words:
            width = get_character_cell_size(character)
            if width == 0 and self._x:
                line[min(self._x, self._columns) - 1] += character
            for n in range(self._x, min(self._x + width, self._columns)):
                line[n] = character if n == self._x else ""
            self._x += width


class Terminal:
    """One `bookcli` in a terminal; end it by `close`, or use `opened`."""

    def __init__(self, words: list[str], size: tuple[int, int], environment: dict[str, str]) -> None:
        columns, rows = size
        env = {**os.environ, "TERM": "xterm-256color", **environment}
        self._process = pexpect.spawn(BOOKCLI, words, dimensions=(rows, columns), env=env)
        self._process.delaybeforesend = None
        self._picture = Picture(columns, rows)
        self._news = threading.Condition()
        self._ended = False
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        with contextlib.suppress(OSError):
            while written := os.read(self._process.child_fd, 65536):
                with self._news:
                    self._picture.write(decoder.decode(written))
                    self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def press(self, *keys: str) -> None:
        """Presses keys; `text:…` types."""
        for key in keys:
            self._process.send(key.removeprefix("text:") if key.startswith("text:") else KEYS.get(key, key))

    def text(self) -> str:
        """What is on the screen."""
        with self._news:
            return str(self._picture)

    def rests(self, seconds: float = 0.05) -> None:
        """Returns when nothing was written for so long; lines count as painted from then on."""
        with self._news:
            while self._news.wait(seconds):
                assert not self._ended, f"it has ended\n{self._picture}"
            self._picture.painted.clear()

    def waits(self, until: Callable[[str, set[int]], bool], what: str) -> None:
        """Returns when `until(text, lines painted)` holds; fails with what is on the screen when it never does."""
        ends = time.monotonic() + PATIENCE
        with self._news:
            while not until(str(self._picture), self._picture.painted):
                assert not self._ended and time.monotonic() < ends, f"never: {what}\n{self._picture}"
                self._news.wait(1.0)

    def sees(self, *words: str) -> None:
        """Returns when all the words are on the screen."""
        self.waits(lambda text, _: all(word in text for word in words), f"on the screen: {words}")

    def misses(self, *words: str) -> None:
        """Returns when none of the words is on the screen."""
        self.waits(lambda text, _: not any(word in text for word in words), f"not on the screen: {words}")

    def close(self) -> None:
        """Ends the process, whatever it does."""
        self._process.close(force=True)


@contextlib.contextmanager
def opened(*words: str, size: tuple[int, int] = (80, 24), **environment: str) -> Iterator[Terminal]:
    """`bookcli` with these words in a terminal of that size and with more of an environment; ended afterwards."""
    terminal = Terminal(list(words), size, environment)
    try:
        yield terminal
    finally:
        terminal.close()
