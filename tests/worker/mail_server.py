"""A real mail server on loopback that can be told to misbehave, for tests of what sends.

What must stay true: whatever it has accepted up to the final dot is remembered, also when it then says nothing.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Callable
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


class MailServer:
    """`accepted` are the messages that came in whole, in order. `answers` are its replies to RCPT, by address.

    `after_dot` is called with each message before it is answered: what it returns is the answer; "drop" cuts the
    connection, "hang" never answers, "drip" never stops answering, as among `answers`. `before` is called with each
    address before that is answered. `security` are arguments of aiosmtpd's server: certificates, and who may send.
    """

    def __init__(self, **security: Any) -> None:
        self.accepted: list[EmailMessage] = []
        self.answers: dict[str, str] = {}
        self.after_dot: Callable[[EmailMessage], str] = lambda _: "250 taken"
        self.before: Callable[[str], None] = lambda _: None
        self.connections = 0
        self.changed = threading.Condition()
        self.port = _free_port()
        self._security = security
        self._controller = self._made()

    def _made(self) -> Controller:
        return Controller(self, hostname="127.0.0.1", port=self.port, **self._security)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._controller.start()

    def stop(self) -> None:
        if not self._controller.loop.is_closed():
            self._controller.stop()

    def restart(self) -> None:
        """Ends all connections and listens again."""
        self.stop()
        self._controller = self._made()
        self.start()

    def await_messages(self, count: int, seconds: float = 60) -> None:
        """Until so many have come in."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.accepted) >= count, seconds), len(self.accepted)

    @property
    def ids(self) -> Counter[str]:
        """How often each Message-ID came in."""
        return Counter(str(message["Message-ID"]) for message in self.accepted)

    async def handle_EHLO(
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        self.connections += 1
        return responses

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        await asyncio.get_running_loop().run_in_executor(None, self.before, address)
        answer = self.answers.get(address, "250 OK")
        if answer == "drip":
            await _drip(server)
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = message_from_bytes(envelope.content, policy=policy.default)
        with self.changed:
            self.accepted.append(message)
            self.changed.notify_all()
        answer = await asyncio.get_running_loop().run_in_executor(None, self.after_dot, message)
        if answer == "drop":
            server.transport.abort()
        elif answer == "hang":
            await asyncio.sleep(3600)
        elif answer == "drip":
            await _drip(server)
        return answer


async def _drip(server: Any) -> None:
    """Byte by byte, until nobody listens any more."""
    while not server.transport.is_closing():
        server.transport.write(b"2")
        await asyncio.sleep(0.1)
