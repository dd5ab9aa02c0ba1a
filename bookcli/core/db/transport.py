"""What to say when the server at the database's address could not show who it is; nothing was sent to it then.

What must stay true: no word of the driver leaves this module.
"""

from __future__ import annotations

import psycopg

from ..errors import Unavailable

_UNTRUSTED = {
    "does not support SSL": "The database's server offers no encrypted connection, and the settings ask for one.",
    "does not match host name": "The database's certificate is for another host than the one in the settings.",
    "certificate verify failed": "The database's certificate has expired, or the settings do not trust its authority.",
    "root certificate file": "The file of trusted authorities that the settings name cannot be read.",
}
"""What libpq says, and what is said instead."""


def untrusted(problem: psycopg.Error) -> Unavailable | None:
    """The error for a server that could not show who it is; nothing was sent to it. None: that was not the trouble."""
    said = str(problem)
    for words, sentence in _UNTRUSTED.items():
        if words in said:
            return Unavailable(
                sentence,
                hint="Nothing was sent. Correct sslrootcert or the host in BOOKCLI_DATABASE_URL, or ask its owner.",
                code="database-untrusted",
            )
    return None
