"""Reads a key from a file.

What must stay true: a key that others can read is no key, and no message repeats one.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..errors import InvalidInput


class Kind(NamedTuple):
    """What a key is for, how it is made (`{file}` is its file), and how codes of errors about it begin."""

    purpose: str
    recipe: str
    code: str


def read(file: Path, kind: Kind, decode: Callable[[str], bytes], sizes: range) -> bytes:
    """The bytes that `decode` finds in the file, as many as one of `sizes`; it raises ValueError for what is no key.

    Raises InvalidInput `CODE-invalid` when it is not that, `CODE-open` when others can read it.
    """
    try:
        found, key = file.stat(), decode(file.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        key, found = b"", os.stat_result([0] * 10)
    if len(key) not in sizes:
        raise InvalidInput(
            f"The file {file} holds no key for {kind.purpose}.",
            hint="Make it: " + kind.recipe.format(file=file),
            code=f"{kind.code}-invalid",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise InvalidInput(
            f"The file {file} can be read by others.", hint=f"chmod 600 '{file}'", code=f"{kind.code}-open"
        )
    return key
