"""The key that signs what the clinic's other systems are told.

What must stay true: a key that others can read is no key.
"""

from __future__ import annotations

import base64
import os
import stat
from pathlib import Path

from ..errors import InvalidInput

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64


def read(file: Path) -> bytes:
    """The key in a file, in the form of the Standard Webhooks: `whsec_` and 24 to 64 bytes in base64.

    Raises InvalidInput when it is not that, or others can read it.
    """
    try:
        found, text = file.stat(), file.read_text(encoding="ascii").strip()
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (OSError, ValueError):
        key, found = b"", os.stat_result([0] * 10)
    if not SHORTEST <= len(key) <= LONGEST:
        raise InvalidInput(
            f"The file {file} holds no key for webhooks.",
            hint=f"Make it: (umask 077; echo whsec_$(openssl rand -base64 32) > '{file}'), and give it to your system.",
            code="webhook-secret-invalid",
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise InvalidInput(
            f"The file {file} can be read by others.", hint=f"chmod 600 '{file}'", code="webhook-secret-open"
        )
    return key
