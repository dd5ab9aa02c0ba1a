"""Where no patient of the clinic may be, whatever a test did: a Redis, a desk's own files, the arguments of processes.

What must stay true: what was deleted again is found too, packed or not, and looking costs a test milliseconds.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import sys
import unicodedata
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.clinic import NAMES

_STARTED = ("subprocess.Popen", "os.posix_spawn", "os.exec", "os.spawn", "os.system")
_BASE64 = re.compile(rb"[A-Za-z0-9+/]{24,}={0,2}")
_ZLIB = re.compile(rb"\x78[\x01\x5e\x9c\xda]")
_MOST_UNPACKED = 1_000_000
_SHORTEST_WITHOUT_ACCENTS = 8


def _spellings(name: str) -> Iterator[bytes]:
    """As it is, as JSON may have it, and as a search has it."""
    yield name.encode()
    yield json.dumps(name)[1:-1].encode()
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").lower()
    if len(plain) >= _SHORTEST_WITHOUT_ACCENTS:
        yield plain


_OF = {spelling: name for name in NAMES for spelling in _spellings(name)}
_ANY = re.compile(b"|".join(re.escape(spelling) for spelling in _OF))


def names_in(text: bytes) -> set[str]:
    """The patients that are named in it, or in what is packed or coded in it, as RQ does with its jobs."""
    return {_OF[found] for layer in _layers(text) for found in _ANY.findall(layer)}


def _layers(text: bytes) -> Iterator[bytes]:
    yield text
    for start in _ZLIB.finditer(text):
        unpacked = _unpacked(text[start.start() :])
        if unpacked:
            yield unpacked
    for coded in _BASE64.findall(text):
        plain = _decoded(coded)
        if plain:
            yield plain
            yield _unpacked(plain)


def _unpacked(packed: bytes) -> bytes:
    try:
        return zlib.decompressobj().decompress(packed, _MOST_UNPACKED)
    except zlib.error:
        return b""


def _decoded(coded: bytes) -> bytes:
    try:
        return base64.b64decode(coded + b"=" * (-len(coded) % 4))
    except binascii.Error:
        return b""


def names_in_files(directory: Path) -> dict[str, set[str]]:
    """The files below a directory that name patients; the files of a database are where patients belong."""
    found = {}
    for place, directories, files in os.walk(directory):
        if "PG_VERSION" in files:
            directories.clear()
            continue
        for name in files:
            path = Path(place, name)
            if path.is_file() and (named := names_in(path.read_bytes())):
                found[str(path.relative_to(directory))] = named
    return found


class Started:
    """With which arguments and environments this process has started others since it was asked last."""

    def __init__(self) -> None:
        self._said: list[bytes] = []
        sys.addaudithook(self._note)

    def names(self) -> set[str]:
        """The patients that were named there."""
        said, self._said = self._said, []
        return names_in(b"\0".join(said))

    def _note(self, event: str, details: tuple[Any, ...]) -> None:
        if event in _STARTED:
            self._said.extend(_words(details))


def _words(said: Iterable[Any]) -> Iterator[bytes]:
    for one in said:
        if isinstance(one, str | bytes | os.PathLike):
            yield os.fsencode(one)
        elif isinstance(one, Mapping):
            yield from _words(one.values())
        elif isinstance(one, Iterable):
            yield from _words(one)


STARTED = Started()
"""What the tests of this process start."""
