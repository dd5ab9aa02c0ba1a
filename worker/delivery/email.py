"""Hands e-mail to a server (RFC 5321) over one connection, which is made with the first message.

What must stay true: a message is called sent only after the server's 250 to its final dot, and a password never
crosses a network in the clear.
"""

from __future__ import annotations

import re
import smtplib
import ssl
from dataclasses import dataclass
from email.header import Header
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from email.policy import SMTP
from email.utils import formataddr, formatdate, parseaddr
from functools import lru_cache
from urllib.parse import unquote, urlsplit

from bookcli.core.errors import InvalidInput
from bookcli.core.model.messages import Letter

from .problems import LOCAL, NotSent, ServerAway

SECONDS = 10
_ADDRESS = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}")
"""An address that needs no quoting and no SMTPUTF8; nobody has another kind, and a header could not break on it."""
_AS_IT_IS = SMTP.clone(refold_source="none")


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


class Mailer:
    """One connection to the mail server."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: smtplib.SMTP | None = None

    def send(self, letter: Letter) -> None:
        """Hands a message over. Raises NotSent, ServerAway, InvalidInput for the setting."""
        content = written(letter)
        client = self._client or self._connected()
        try:
            client.sendmail(parseaddr(letter.sender)[1], [letter.recipient], content)
        except smtplib.SMTPRecipientsRefused as refused:
            code, _ = next(iter(refused.recipients.values()))
            raise self._refusal(code, permanent=code >= 500) from None
        except smtplib.SMTPSenderRefused as refused:
            # That is about the clinic's own address: somebody will put it right.
            raise self._refusal(refused.smtp_code, permanent=False) from None
        except smtplib.SMTPDataError as refused:
            raise self._refusal(refused.smtp_code, permanent=refused.smtp_code >= 500) from None
        except (smtplib.SMTPException, OSError) as problem:
            self.close()
            raise ServerAway(_why(problem), tried=True) from None

    def _refusal(self, code: int, *, permanent: bool) -> NotSent | ServerAway:
        if code == 421:  # the server is closing the connection
            self.close()
            return ServerAway("smtp-421")
        return NotSent(f"smtp-{code}", permanent=permanent)

    def _connected(self) -> smtplib.SMTP:
        server = Server.of(self._url)
        client: smtplib.SMTP | None = None
        try:
            if server.scheme == "smtps":
                client = smtplib.SMTP_SSL(server.host, server.port, timeout=SECONDS, context=trust())
            else:
                client = smtplib.SMTP(server.host, server.port, timeout=SECONDS)
            client.ehlo_or_helo_if_needed()
            if server.scheme == "smtp" and (server.host not in LOCAL or client.has_extn("starttls")):
                client.starttls(context=trust())
            if server.user:
                client.login(server.user, server.password)
        except (smtplib.SMTPException, OSError) as problem:
            if client is not None:
                client.close()
            raise ServerAway(_why(problem)) from None
        self._client = client
        return client

    def close(self) -> None:
        """Ends the connection, politely if the server listens."""
        client, self._client = self._client, None
        if client is not None:
            try:
                client.quit()
            except (smtplib.SMTPException, OSError):
                client.close()


def written(letter: Letter) -> bytes:
    """The message as it goes out. Raises NotSent for an address that no header can hold.

    The old classes of `email`: the new ones read every header they write, which costs more than sending it.
    """
    if not _ADDRESS.fullmatch(letter.recipient):
        raise NotSent("bad-address", permanent=True)
    message = MIMEMultipart()
    headers = {
        "From": formataddr(parseaddr(letter.sender)),
        "To": letter.recipient,
        "Subject": letter.subject if letter.subject.isascii() else Header(letter.subject, "utf-8").encode(),
        "Message-ID": letter.message_id,
        "Date": formatdate(),
        "Auto-Submitted": "auto-generated",
    }
    for name, value in headers.items():
        message[name] = value
    message.attach(_body(letter))
    for one in letter.attachments:
        part = MIMEText(one.content, "calendar", "utf-8")
        part.set_param("method", one.method)
        part.add_header("Content-Disposition", "attachment", filename=one.name)
        message.attach(part)
    return message.as_bytes(policy=_AS_IT_IS)


def _body(letter: Letter) -> MIMEText | MIMEMultipart:
    """The text, and the same in HTML for whoever shows that (RFC 2046, 5.1.4: the better one last)."""
    text = MIMEText(letter.text, "plain", "utf-8")
    if not letter.html:
        return text
    both = MIMEMultipart("alternative")
    both.attach(text)
    both.attach(MIMEText(letter.html, "html", "utf-8"))
    return both


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
