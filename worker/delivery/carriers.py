"""Finds for each message the one who carries it: by e-mail, as a text message, to a webhook.

What must stay true: a way that nothing goes by is neither imported nor connected.
"""

from __future__ import annotations

from typing import Protocol

from bookcli.core.context import Context
from bookcli.core.model.messages import Letter
from bookcli.core.services import notifications


class Carrier(Protocol):
    """One way out of the house."""

    def send(self, letter: Letter) -> None:
        """Hands a message over. Raises NotSent, ServerAway, InvalidInput for a setting."""

    def rest(self) -> None:
        """Ends a connection that has not been used for a while."""

    def close(self) -> None:
        """Ends the connection, if there is one."""


class Carriers:
    """All ways, each made ready by its first message."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._ready: dict[str, Carrier] = {}

    def prepare(self) -> None:
        """Looks at the settings of every way that is set up, and imports what it needs. Raises InvalidInput."""
        for channel in notifications.ways(self._context.settings):
            self._ready[channel] = _carrier(self._context, channel)

    def send(self, letter: Letter) -> None:
        """Hands a message over by its own way. Raises NotSent, ServerAway, InvalidInput for a setting."""
        if letter.channel not in self._ready:
            self._ready[letter.channel] = _carrier(self._context, letter.channel)
        self._ready[letter.channel].send(letter)

    def rest(self) -> None:
        """Between two batches: ends what has not been used for a while."""
        for carrier in self._ready.values():
            carrier.rest()

    def close(self) -> None:
        """Ends every connection."""
        for carrier in self._ready.values():
            carrier.close()
        self._ready = {}


def _carrier(context: Context, channel: str) -> Carrier:
    settings = context.settings
    if channel == "sms":
        from . import sms  # noqa: PLC0415 - an extra that not everybody has installed

        return sms.Texter(settings.sms_url)
    if channel == "webhook":
        from . import webhook  # noqa: PLC0415 - only where there is one

        return webhook.Webhook(settings.webhook_url, notifications.webhook_key(context))
    from . import email  # noqa: PLC0415 - likewise

    return email.Mailer(settings.smtp_url, settings.smtp_patience)
