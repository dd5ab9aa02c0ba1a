"""What to say when the server at the database's address could not show who it is, or does not let this machine in.

What must stay true: no word of the driver leaves this module.
"""

from __future__ import annotations

import psycopg

from ..errors import NotAllowed, Unavailable

_UNTRUSTED = {
    "does not support SSL": "The database's server offers no encrypted connection, and the settings ask for one.",
    "does not match host name": "The database's certificate is for another host than the one in the settings.",
    "certificate verify failed": "The database's certificate has expired, or the settings do not trust its authority.",
    "root certificate file": "The file of trusted authorities that the settings name cannot be read.",
}
"""What libpq says, and what is said instead."""

_TURNED_AWAY = (
    *("password authentication failed", "no password supplied", "permission denied for database"),
    *("no pg_hba.conf entry", "is not permitted to log in", "pg_hba.conf rejects", "authentication failed"),
    *("does not exist", "no such database", "no such user"),
)
"""What servers and pools say to a machine that they do not let in, or that asks for a role or a database there is not.

libpq tells no SQLSTATE of a connection that failed. A server that speaks another language is not understood, and is
then told as one that does not answer."""


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


def turned_away(problem: psycopg.Error) -> NotAllowed | None:
    """The error for a machine that may not come in, which waiting does not change. None: that was not the trouble."""
    if not any(words in str(problem) for words in _TURNED_AWAY):
        return None
    return NotAllowed(
        "The database does not let this machine in.",
        hint="Check the role, the password and the database's name in BOOKCLI_DATABASE_URL, or ask its owner.",
        code="database-refuses",
    )
