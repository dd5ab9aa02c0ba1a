"""The key that signs what the clinic's other systems are told."""

from __future__ import annotations

import base64
from pathlib import Path

from . import secret_file

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
_KIND = secret_file.Kind(
    "webhooks",
    "(umask 077; echo whsec_$(openssl rand -base64 32) > '{file}'), and give it to your system.",
    "webhook-secret",
)


def read(file: Path) -> bytes:
    """The key in a file, in the form of the Standard Webhooks: `whsec_` and 24 to 64 bytes in base64.

    Raises InvalidInput when it is not that, or others can read it.
    """
    return secret_file.read(file, _KIND, _decoded, range(SHORTEST, LONGEST + 1))


def _decoded(text: str) -> bytes:
    return base64.b64decode(text.removeprefix(PREFIX), validate=True)
