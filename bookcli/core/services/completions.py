"""What a shell offers while a command is being typed; it never starts a server and never complains."""

from __future__ import annotations

import contextlib

from ..context import Context
from ..db import engine, kernel
from ..errors import BookcliError


def beginning(kind: str, begun: str) -> list[str]:
    """Sites, tests or references that begin so; nothing when the database does not answer at once."""
    with contextlib.suppress(BookcliError), Context() as context:
        connection = engine.connect(context.dsn)
        connection.token = context.token
        with contextlib.closing(connection):
            if kind == "reference":
                return kernel.references(connection, begun)
            return [code for code in kernel.codes(connection, kind) if code.startswith(begun)]
    return []
