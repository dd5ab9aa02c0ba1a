"""Tells another system of the clinic of a message, signed (HMAC-SHA256, as the Standard Webhooks have it).

What must stay true: the signature covers id, time and body; nobody is told over a network in the clear; a redirection
is not followed, because it would lead to somebody whom nobody has named.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import ssl
from urllib.parse import SplitResult, urlsplit

from bookcli.core import clock
from bookcli.core.errors import InvalidInput
from bookcli.core.model.messages import Letter

from . import patience
from .email import trust
from .problems import LOCAL, ServerAway, refusal

SECONDS = 10
"""For the whole answer, after as many for the connection."""
MOST_ANSWER = 65536


class Webhook:
    """One address, which takes each message with a POST of its own and answers 2xx when it has it."""

    def __init__(self, url: str, key: bytes) -> None:
        self._where = _checked(url)
        self._key = key

    def send(self, letter: Letter) -> None:
        """Tells it. Raises NotSent, ServerAway."""
        body = letter.text.encode()
        path = (self._where.path or "/") + (f"?{self._where.query}" if self._where.query else "")
        headers = {"Content-Type": "application/json", "User-Agent": "bookcli", **self._signed(letter.message_id, body)}
        connection = self._connected()
        try:
            with patience.within(SECONDS, connection.sock):
                connection.request("POST", path, body, headers)
                answer = connection.getresponse()
                answer.read(MOST_ANSWER)
        except (OSError, http.client.HTTPException) as problem:
            raise ServerAway(_why(problem), tried=True) from None
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            raise refusal("webhook", answer.status)

    def rest(self) -> None:
        """Nothing stays open."""

    def close(self) -> None:
        """Nothing stays open."""

    def _signed(self, message_id: str, body: bytes) -> dict[str, str]:
        now = str(int(clock.now().timestamp()))
        signed = hmac.new(self._key, f"{message_id}.{now}.".encode() + body, hashlib.sha256).digest()
        signature = f"v1,{base64.b64encode(signed).decode()}"
        return {"Webhook-Id": message_id, "Webhook-Timestamp": now, "Webhook-Signature": signature}

    def _connected(self) -> http.client.HTTPConnection:
        host, port = self._where.hostname or "", self._where.port
        connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
        if self._where.scheme == "https":
            connection = http.client.HTTPSConnection(host, port, timeout=SECONDS, context=trust())
        try:
            connection.connect()
        except OSError as problem:
            connection.close()
            raise ServerAway(_why(problem)) from None
        return connection


def _checked(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL)
        plain = url.isascii() and url.isprintable() and " " not in url and parts.username is None
        fits = bool(parts.hostname) and safe and plain and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise InvalidInput(
            "The setting webhook_url is no https address.",
            hint="For example BOOKCLI_WEBHOOK_URL=https://systems.clinic.example/bookcli",
            code="config-invalid",
        )
    return parts


def _why(problem: Exception) -> str:
    match problem:
        case ssl.SSLError():
            return "webhook-untrusted"
        case TimeoutError():
            return "webhook-time-out"
        case ConnectionRefusedError():
            return "webhook-refused"
        case _:
            return "webhook-away"
