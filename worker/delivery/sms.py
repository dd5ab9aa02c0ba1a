"""Hands text messages to a gateway through Apprise, which knows some hundred of them by their URLs.

What must stay true: what Apprise says of a failure (its log, which repeats numbers) is read here for its kind and goes
nowhere; a number that the gateway's plugin leaves out is never taken for one that was told.
"""

from __future__ import annotations

import logging
import re
import socket
from typing import Any
from urllib.parse import quote

from bookcli.core.errors import InvalidInput
from bookcli.core.model.messages import Letter

from . import patience
from .problems import LOCAL, NotSent, ServerAway, refusal

NUMBER = "{phone}"
CONNECT_SECONDS, ANSWER_SECONDS = 5, 15
_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_STATUS = re.compile(r"error=(\d{3})\b|\"status\": ?(\d{3})\b")
"""An HTTP status; some plugins tell a code of their gateway's own instead, and then the answer that has both."""
_NOT_REACHED = re.compile(r"NewConnectionError|ConnectTimeout|NameResolutionError|CERTIFICATE_VERIFY_FAILED")


class Texter:
    """One gateway: an Apprise URL with `{phone}` in it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._apprise = _apprise()
        self._log = _Listener()
        plugin = self._plugin("+4930901820") if NUMBER in url else None
        if plugin is None:
            raise InvalidInput(
                "The setting sms_url is no Apprise URL with {phone} in it.",
                hint="For example BOOKCLI_SMS_URL='twilio://SID:TOKEN@FROM/{phone}'",
                code="config-invalid",
            )
        if not _is_encrypted(plugin, url):
            raise InvalidInput(
                "The gateway of sms_url is reached without encryption.",
                hint="Use the form of its URL with TLS, such as jsons:// for json://.",
                code="config-invalid",
            )

    def send(self, letter: Letter) -> None:
        """Hands a message over. Raises NotSent, ServerAway."""
        if not _E164.fullmatch(letter.recipient):
            raise NotSent("bad-number", permanent=True)
        plugin = self._plugin(letter.recipient)
        if plugin is None or self._log.heard("Dropped"):
            raise NotSent("bad-number", permanent=True)
        plugin.socket_connect_timeout, plugin.socket_read_timeout = CONNECT_SECONDS, ANSWER_SECONDS
        try:
            with patience.within(CONNECT_SECONDS + ANSWER_SECONDS):
                taken = plugin.notify(body=letter.text, title="", body_format=self._apprise.NotifyFormat.TEXT)
        except TimeoutError:
            raise ServerAway("sms-time-out", tried=True) from None
        if not taken or self._log.heard("Dropped"):
            raise self._log.reason()

    def rest(self) -> None:
        """Nothing stays open."""

    def close(self) -> None:
        """Nothing stays open."""

    def _plugin(self, number: str) -> Any:
        """The gateway for one number; None when the URL is none that Apprise understands."""
        self._log.forget()
        memory = self._apprise.PersistentStoreMode.MEMORY
        # What answers with a redirection has taken nothing, and where it leads nobody has said.
        asset = self._apprise.AppriseAsset(
            app_id="bookcli", storage_mode=memory, secure_logging=True, http_redirects=False
        )
        return self._apprise.Apprise.instantiate(self._url.replace(NUMBER, quote(number, safe="")), asset=asset)


class _Covered:
    """What urllib3 connects with, which nobody hands out: who answers byte by byte, a proxy too, is not waited for."""

    def _new_conn(self) -> socket.socket:
        made: socket.socket = super()._new_conn()  # type: ignore[misc]
        patience.cover(made)
        return made


class _Listener(logging.Handler):
    """Takes all that Apprise logs, and keeps it until the next message at most."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._said: list[str] = []
        logger = logging.getLogger("apprise")
        logger.handlers, logger.propagate = [self], False
        logger.setLevel(logging.DEBUG)
        logging.getLogger("urllib3").propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage()[:2000])

    def forget(self) -> None:
        self._said = []

    def heard(self, word: str) -> bool:
        return any(line.startswith(word) for line in self._said)

    def reason(self) -> NotSent | ServerAway:
        """Why the message was not taken."""
        text = "\n".join(self._said)
        if found := _STATUS.search(text):
            return refusal("sms", int(found[1] or found[2]))
        if _NOT_REACHED.search(text):
            return ServerAway("sms-away")
        if "Connection error" in text:
            return ServerAway("sms-cut-off", tried=True)
        return NotSent("sms-not-taken", permanent=False)


def _is_encrypted(plugin: Any, url: str) -> bool:
    secure = plugin.secure_protocol or ()
    schemes = (secure,) if isinstance(secure, str) else tuple(secure)
    return url.partition("://")[0].lower() in schemes or plugin.host in LOCAL


def _apprise() -> Any:
    try:
        import apprise  # noqa: PLC0415 - an extra that not everybody has installed
    except ImportError:
        raise InvalidInput(
            "Text messages need Apprise, which is not installed.",
            hint="pip install 'bookcli[channels]'",
            code="apprise-missing",
        ) from None
    from urllib3 import connectionpool  # noqa: PLC0415 - comes with Apprise

    for pool in (connectionpool.HTTPConnectionPool, connectionpool.HTTPSConnectionPool):
        if not issubclass(pool.ConnectionCls, _Covered):
            pool.ConnectionCls = type("Covered", (_Covered, pool.ConnectionCls), {})
    return apprise
