"""Sends one message at once, to see whether a way is set up right.

What must stay true: nothing of it is in the database; the answer is the one a worker would get.
"""

from __future__ import annotations

import contextlib

from bookcli.core.context import Context
from bookcli.core.errors import Refused, Unavailable
from bookcli.core.model.messages import Letter

from .delivery.carriers import Carriers
from .delivery.problems import NotSent, ServerAway


def send(context: Context, letter: Letter) -> None:
    """Hands it over. Raises Refused, Unavailable with the code that a message would get; InvalidInput."""
    with contextlib.closing(Carriers(context)) as carriers:
        try:
            carriers.send(letter)
        except NotSent as problem:
            raise Refused(f"It was not taken: {problem.code}.", code=problem.code) from None
        except ServerAway as away:
            raise Unavailable(f"Nothing can be sent that way now: {away.code}.", code=away.code) from None
