"""A desk that books once and stops before every step until it is told to go on; run with -m, to be killed.

Arguments: the address, the patient, the test, the slot, the key.
"""

from __future__ import annotations

import sys
import uuid

from bookcli.core.config import Settings
from bookcli.core.context import Context
from bookcli.core.model.requests import BookingRequest, Place
from bookcli.core.services import appointments


def _before(step: str) -> None:
    print(step, flush=True)
    sys.stdin.readline()


def main(dsn: str, patient: str, test: str, slot: str, key: str) -> None:
    """Stops before `connect`, `ask` and `print`, and prints the outcome last."""
    with Context(Settings(database_url=dsn)) as context:
        _before("connect")
        context.connection()
        _before("ask")
        outcome = appointments.book(context, BookingRequest(patient, test, Place(slot=int(slot)), uuid.UUID(key)))
        _before("print")
        print(outcome.outcome, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
