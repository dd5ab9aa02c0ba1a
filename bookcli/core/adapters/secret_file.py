"""Reads a key from a file, or from where a link leads: secrets are mounted as links into containers.

What must stay true: a key that others can read or could have placed is no key, and no message repeats one.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from ..errors import InvalidInput
from . import own_file

LONGEST = 4096
_ROOT = 0
"""Whose files hold keys too: nobody else can place one there."""


class Kind(NamedTuple):
    """What a key is for, how it is made (`{file}` is its file), and how codes of errors about it begin."""

    purpose: str
    recipe: str
    code: str


def read(file: Path, kind: Kind, decode: Callable[[str], bytes], sizes: range) -> bytes:
    """The bytes that `decode` finds in the file, as many as one of `sizes`; it raises ValueError for what is no key.

    Raises InvalidInput `CODE-invalid` when it is not that, `CODE-open` when others can read or place it.
    """
    try:
        text, found = own_file.read(file, LONGEST, through_links=True)
        key = decode(text.decode("ascii").strip())
    except (OSError, ValueError):
        raise _no_key(file, kind) from None
    if len(key) not in sizes:
        raise _no_key(file, kind)
    wrong, can_be_mended = own_file.flaw(found, owners=[_ROOT])
    if wrong:
        advice = f"chmod 600 '{file}'" if can_be_mended else "It may belong to whoever reads it, or to root."
        raise InvalidInput(f"The file {file} {wrong}.", hint=advice, code=f"{kind.code}-open")
    return key


def _no_key(file: Path, kind: Kind) -> InvalidInput:
    return InvalidInput(
        f"The file {file} holds no key for {kind.purpose}.",
        hint="Make it: " + kind.recipe.format(file=file),
        code=f"{kind.code}-invalid",
    )
