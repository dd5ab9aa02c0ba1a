"""Bytes → numbered lines of text, one at a time; a line that is not in the encoding is refused by its number."""

from __future__ import annotations

import codecs
import io
import re
from collections.abc import Iterator
from typing import BinaryIO

from ..errors import InvalidInput
from .rows import not_a_table

LONGEST_LINE = 4 * 1024 * 1024  # characters; a file without line ends must not fill the memory
_ESCAPED = re.compile("[\udc80-\udcff]")


class TextLines:
    """The lines of a stream with their line ends, and in `number` how many have been read; closed after the last."""

    def __init__(self, stream: BinaryIO, encoding: str) -> None:
        self.number = 0
        codec = _codec_name(encoding)
        self._is_utf8 = codec == "utf-8-sig"
        self._encoding = encoding
        # Bytes that are not UTF-8 come through as lone surrogates, so that the line they stand on is known exactly.
        errors = "surrogateescape" if self._is_utf8 else "strict"
        self._text = io.TextIOWrapper(stream, encoding=codec, errors=errors, newline="")

    def __iter__(self) -> Iterator[str]:
        while line := self._next_line():
            self.number += 1
            if "\0" in line:
                raise not_a_table(
                    f"Line {self.number} contains a NUL character, which no table does.",
                    "if the file is UTF-16, say --encoding utf-16; otherwise export it again",
                )
            if len(line) >= LONGEST_LINE:
                raise not_a_table(f"Line {self.number} is too long to be a row.", "check that the file has line ends")
            if self._is_utf8 and not line.isascii() and _ESCAPED.search(line):
                raise self._not_in_encoding(self.number)
            yield line
        self._text.close()

    def _next_line(self) -> str:
        try:
            return self._text.readline(LONGEST_LINE)
        except UnicodeError:
            raise self._not_in_encoding(self.number + 1) from None

    def _not_in_encoding(self, line: int) -> InvalidInput:
        if self._is_utf8:
            return InvalidInput(
                f"Line {line} is not UTF-8.", hint="--encoding latin-1", code="not-utf8", details={"line": line}
            )
        return InvalidInput(
            f"The file is not in the encoding {self._encoding} from about line {line} on.",
            hint="try --encoding utf-8 or --encoding latin-1",
            code="not-in-encoding",
            details={"line": line},
        )


def check_head(head: bytes, encoding: str) -> None:
    """Refuse what the first bytes of a file already show to be no text. Raises InvalidInput `not-utf8`, `not-a-table`.

    A table in UTF-16 is recognised and its option named.
    """
    if _codec_name(encoding).startswith(("utf-16", "utf-32")):
        return
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidInput("The file is UTF-16, not UTF-8.", hint="--encoding utf-16", code="not-utf8")
    if head.startswith(b"PK\x03\x04"):
        raise not_a_table("The file is a spreadsheet or another ZIP archive, not text.", "--kind xlsx")
    if head.startswith((b"%PDF-", b"\xd0\xcf\x11\xe0")) or re.search(rb"[\x00-\x08\x0e-\x1f]", head):
        raise not_a_table(
            "The file is not a table of text.", "give a CSV, JSON Lines or XLSX file; for UTF-16 say --encoding utf-16"
        )


def _codec_name(encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
        "".encode(name)  # refuses codecs that are not for text, such as hex
    except (LookupError, ValueError):
        raise InvalidInput(
            "The encoding is not known.", hint="utf-8, latin-1, cp1252 or utf-16", code="encoding-unknown"
        ) from None
    return "utf-8-sig" if name == "utf-8" else name
