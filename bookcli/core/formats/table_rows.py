"""Rows of any table a user names: chooses the reader, opens the file, and says in one sentence why it could not."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import BookcliError, InvalidInput, NotFound
from .rows import Row
from .text_lines import check_head

KINDS = ("csv", "jsonl", "xlsx")
_KIND_OF_SUFFIX = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl",
    ".xlsx": "xlsx", ".xlsm": "xlsx", ".xlsb": "xlsx", ".xls": "xlsx", ".ods": "xlsx",
}  # fmt: skip
_HEAD = 4096


def read_rows(
    path_or_dash: str | Path,
    *,
    kind: str | None = None,
    encoding: str = "utf-8",
    delimiter: str | None = None,
    sheet: str | None = None,
) -> Iterator[Row]:
    """The rows of a CSV, JSON Lines or XLSX file, `-` being stdin; the kind is told by suffix, else by first bytes.

    What is wrong with the file or its header is raised before this returns, what is wrong further down when it is
    reached. Raises NotFound `file-not-found`; InvalidInput `file-unreadable`, `kind-unknown` and what readers raise.
    """
    if kind is not None and kind not in KINDS:
        raise InvalidInput("The kind of file is not known.", hint=", ".join(KINDS), code="kind-unknown")
    stream = _open(path_or_dash)
    try:
        return _rows(stream, kind or _KIND_OF_SUFFIX.get(Path(path_or_dash).suffix.lower()), encoding, delimiter, sheet)
    except BookcliError:
        stream.close()
        raise
    except OSError as problem:
        stream.close()
        raise _unreadable(path_or_dash, problem) from None


def _rows(
    stream: io.BufferedReader, kind: str | None, encoding: str, delimiter: str | None, sheet: str | None
) -> Iterator[Row]:
    # Each reader is imported for the file that needs it: csv, json and calamine cost start-up time.
    head = stream.peek(_HEAD)[:_HEAD]
    kind = kind or _kind_of(head)
    if kind == "xlsx":
        from .xlsx_rows import read_xlsx  # noqa: PLC0415 - start-up time

        with _seekable(stream) as workbook:
            return read_xlsx(workbook, sheet=sheet)
    check_head(head, encoding)
    if kind == "jsonl":
        from .json_rows import read_jsonl  # noqa: PLC0415 - start-up time

        return read_jsonl(stream, encoding=encoding)
    from .csv_rows import read_csv  # noqa: PLC0415 - start-up time

    return read_csv(stream, encoding=encoding, delimiter=delimiter)


def _kind_of(head: bytes) -> str:
    if head.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        return "xlsx"
    return "jsonl" if head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith((b"{", b"[")) else "csv"


def _open(path_or_dash: str | Path) -> io.BufferedReader:
    try:
        # A reader of stdin of its own: closing it must not close stdin.
        return open(0, "rb", closefd=False) if str(path_or_dash) == "-" else Path(path_or_dash).open("rb")
    except FileNotFoundError:
        raise NotFound(f"There is no file {path_or_dash}.", code="file-not-found") from None
    except (OSError, ValueError) as problem:
        raise _unreadable(path_or_dash, problem) from None


def _unreadable(path: str | Path, problem: Exception) -> InvalidInput:
    if isinstance(problem, IsADirectoryError):
        return InvalidInput(f"{path} is a directory, not a file.", hint="name a file in it", code="file-unreadable")
    if isinstance(problem, PermissionError):
        return InvalidInput(
            f"You may not read the file {path}.", hint="ask its owner for the permission", code="file-unreadable"
        )
    return InvalidInput(f"The file {path} cannot be read.", hint="check its name and disk", code="file-unreadable")


def _seekable(stream: io.BufferedReader) -> BinaryIO:
    """The stream itself, or what it held in a file of its own."""
    if stream.seekable():
        return stream
    import tempfile  # noqa: PLC0415 - only for a spreadsheet from a pipe
    from shutil import copyfileobj  # noqa: PLC0415 - only for a spreadsheet from a pipe

    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    copyfileobj(stream, copy)
    copy.seek(0)
    return copy
