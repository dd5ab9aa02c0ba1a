"""Hands e-mail to a server (RFC 5321) over one connection, which is made with the first message and kept for the next.

What must stay true: a message is called sent only after the server's 250 to its final dot, what cannot have been taken
is never said to have been, and a password never crosses a network in the clear.
"""

from __future__ import annotations

import base64
import contextlib
import re
import smtplib
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.header import Header
from email.utils import formatdate
from functools import lru_cache
from typing import Any
from urllib.parse import unquote, urlsplit

from bookcli.core.errors import InvalidInput
from bookcli.core.model.messages import Letter, address_of, shown_as

from . import patience
from .problems import LOCAL, NotSent, ServerAway

LONGEST_REST = 60
"""Seconds for which an unused connection is kept: servers end theirs after five minutes, and count them before."""
LONGEST_FAREWELL = 1
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")
"""An address that needs no quoting and no SMTPUTF8; nobody has another kind, and a header could not break on it."""
_END = "\r\n"


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail goes: `scheme` is smtp or smtps."""

    scheme: str
    host: str
    port: int
    user: str
    password: str

    @classmethod
    def of(cls, url: str) -> Server:
        """What a URL says. Raises InvalidInput `config-invalid`."""
        try:
            parts = urlsplit(url)
            port = parts.port or {"smtps": 465, "smtp": 587}[parts.scheme]
        except (ValueError, KeyError):
            parts, port = urlsplit(""), 0
        if not parts.hostname:
            raise InvalidInput(
                "The setting smtp_url is not set, or is no address of a mail server.",
                hint="For example BOOKCLI_SMTP_URL=smtps://USER:PASSWORD@mail.example.org:465",
                code="config-invalid",
            )
        return cls(parts.scheme, parts.hostname, port, unquote(parts.username or ""), unquote(parts.password or ""))


@lru_cache(maxsize=1)
def trust() -> ssl.SSLContext:
    """The authorities of this machine (or of SSL_CERT_FILE); reading them takes longer than sending 50 messages."""
    return ssl.create_default_context()


class _Client(smtplib.SMTP):
    """An SMTP client that waits for no answer longer than `seconds`, nor for any beyond `until` (monotonic)."""

    def __init__(self, server: Server, seconds: float, until: float, **more: Any) -> None:
        self.seconds, self.until = seconds, until
        super().__init__(server.host, server.port, timeout=self._left, **more)

    @property
    def _left(self) -> float:
        return max(0.01, min(self.seconds, self.until - time.monotonic()))

    def getreply(self) -> tuple[int, bytes]:
        """The next answer, whole. Raises TimeoutError, SMTPServerDisconnected."""
        if self.sock is None:
            return super().getreply()
        left = self._left
        self.sock.settimeout(left)
        try:
            with patience.within(left, self.sock):
                return super().getreply()
        except smtplib.SMTPServerDisconnected as problem:
            raise (TimeoutError() if isinstance(problem.__context__, TimeoutError) else problem) from None


class _TlsClient(_Client, smtplib.SMTP_SSL):
    """The same over TLS from the first byte."""


class Mailer:
    """One connection to the mail server, of one process and one thread. A message takes at most twice `seconds`."""

    def __init__(self, url: str, seconds: float = 30) -> None:
        self._url = url
        self._seconds = seconds
        self._client: _Client | None = None
        self._used = self._until = 0.0

    def send(self, letter: Letter) -> None:
        """Hands a message over. Raises NotSent, ServerAway, InvalidInput for the setting."""
        content = written(letter)
        sender = address_of(letter.sender)
        self._until = time.monotonic() + 2 * self._seconds
        is_used = self._client is not None
        try:
            client = self._addressed(sender, letter.recipient, len(content))
        except ServerAway:
            if not is_used:
                raise
            # A server ends a connection when it has rested, or carried much; that says nothing about the next one.
            client = self._addressed(sender, letter.recipient, len(content))
        self._hand_over(client, content)
        self._used = time.monotonic()

    def _addressed(self, sender: str, recipient: str, size: int) -> _Client:
        """The connection on which the server has taken both addresses. Nothing that fails here has been sent."""
        client, is_used = (self._client, True) if self._client else (self._connected(), False)
        client.until = self._until
        try:
            more = f" SIZE={size}" if client.has_extn("size") else ""
            code, _ = client.docmd("MAIL", f"FROM:<{sender}>{more}")
            if code != 250:
                # That is about the clinic's own address: somebody will put it right.
                raise self._refusal(code, permanent=False)
            code, _ = client.docmd("RCPT", f"TO:<{recipient}>")
            if code not in (250, 251):
                raise self._refusal(code, permanent=code >= 500)
        except (smtplib.SMTPException, OSError) as problem:
            self._drop()
            # Who greets and then says nothing more about a message may answer the next one.
            raise ServerAway(_why(problem), stuck=isinstance(problem, TimeoutError) and not is_used) from None
        return client

    def _hand_over(self, client: _Client, content: bytes) -> None:
        try:
            code, _ = client.data(content)
        except smtplib.SMTPDataError as refused:  # the word DATA, before a byte of it
            code = refused.smtp_code
        except (smtplib.SMTPException, OSError) as problem:
            self._drop()
            raise ServerAway(_why(problem), tried=True) from None
        if code != 250:
            raise self._refusal(code, permanent=code >= 500)

    def _refusal(self, code: int, *, permanent: bool) -> NotSent | ServerAway:
        """What a refusal means; the connection is ready for the next message, or closed."""
        client = self._client
        if code in (421, -1) or client is None:  # the server is closing the connection, or makes no sense
            self._drop()
            return ServerAway(f"smtp-{max(code, 0)}")
        try:
            client.rset()
        except (smtplib.SMTPException, OSError):
            self._drop()
        return NotSent(f"smtp-{code}", permanent=permanent)

    def _connected(self) -> _Client:
        server = Server.of(self._url)
        client: _Client | None = None
        try:
            if server.scheme == "smtps":
                client = _TlsClient(server, self._seconds, self._until, context=trust())
            else:
                client = _Client(server, self._seconds, self._until)
            client.ehlo_or_helo_if_needed()
            if server.scheme == "smtp" and (server.host not in LOCAL or client.has_extn("starttls")):
                client.starttls(context=trust())
                client.ehlo()
            if server.user:
                client.login(server.user, server.password)
        except (smtplib.SMTPException, OSError) as problem:
            if client is not None:
                client.close()
            raise ServerAway(_why(problem)) from None
        self._client = client
        return client

    def rest(self) -> None:
        """Ends a connection that has not been used for a while."""
        if self._client is not None and time.monotonic() - self._used > LONGEST_REST:
            self.close()

    def close(self) -> None:
        """Ends the connection, politely if the server listens."""
        if self._client is not None:
            self._client.until = time.monotonic() + LONGEST_FAREWELL
            with contextlib.suppress(smtplib.SMTPException, OSError):
                self._client.quit()
        self._drop()

    def _drop(self) -> None:
        """Hangs up: whatever state the conversation is in, the next message begins another."""
        client, self._client = self._client, None
        if client is not None:
            client.close()


def written(letter: Letter) -> bytes:
    """The message as it goes out, the same every time but for its date.

    Raises NotSent for an address that no header can hold. The classes of `email` write the same, and take as long for
    it as all the rest of sending: they read again every header that they have written.
    """
    if not _ADDRESS.fullmatch(letter.recipient):
        raise NotSent("bad-address", permanent=True)
    headers = {
        "From": shown_as(letter.sender),
        "To": letter.recipient,
        "Subject": letter.subject if letter.subject.isascii() else Header(letter.subject, "utf-8").encode(linesep=_END),
        "Message-ID": letter.message_id,
        "Date": formatdate(),
        "Auto-Submitted": "auto-generated",
        "MIME-Version": "1.0",
    }
    parts = [_body(letter)]
    for one in letter.attachments:
        kind = f"text/calendar; charset=utf-8; method={one.method}"
        parts.append(_part(kind, one.content, f'Content-Disposition: attachment; filename="{one.name}"'))
    lines = [f"{name}: {value}" for name, value in headers.items()]
    return (_END.join(lines) + _END + _together(parts, letter.message_id)).encode("ascii")


def _part(kind: str, content: str, *headers: str) -> str:
    """A part of a message (RFC 2045): its headers, and its content in base64, which survives every server."""
    encoded = base64.encodebytes(content.encode()).decode().replace("\n", _END)
    return _END.join([f"Content-Type: {kind}", "Content-Transfer-Encoding: base64", *headers, "", encoded])


def _body(letter: Letter) -> str:
    """The text, and the same in HTML for whoever shows that (RFC 2046, 5.1.4: the better one last)."""
    text = _part("text/plain; charset=utf-8", letter.text)
    if not letter.html:
        return text
    return _together([text, _part("text/html; charset=utf-8", letter.html)], letter.message_id, "alternative")


def _together(parts: Sequence[str], message_id: str, how: str = "mixed") -> str:
    """The parts between lines that no base64 can hold (RFC 2046, 5.1)."""
    boundary = f"=_{how}_" + message_id.strip("<>").partition("@")[0]
    separated = "".join(f"--{boundary}{_END}{part}{_END}" for part in parts)
    return f'Content-Type: multipart/{how}; boundary="{boundary}"{_END}{_END}{separated}--{boundary}--{_END}'


def _why(problem: Exception) -> str:
    """A code for what went wrong; never the server's words, which may repeat an address."""
    match problem:
        case smtplib.SMTPAuthenticationError():
            return "smtp-login"
        case smtplib.SMTPNotSupportedError():
            return "smtp-no-tls"
        case smtplib.SMTPServerDisconnected():
            return "smtp-cut-off"
        case smtplib.SMTPResponseException():
            return f"smtp-{problem.smtp_code}"
        case ssl.SSLError():
            return "smtp-untrusted"
        case TimeoutError():
            return "smtp-time-out"
        case ConnectionRefusedError():
            return "smtp-refused"
        case _:
            return "smtp-away"
