"""A socket between a client and PostgreSQL that loses a message on purpose.

What must stay true: exactly what was asked for is lost, as often as was asked for; everything else passes unchanged.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import psycopg

Loss = Literal["question", "answer"]


class Proxy:
    """Listens in `directory`; the first message that holds `mark`, or the answer to it, is lost with its connection.

    So are the next ones, up to `times`. While `silent` is set nothing passes and nothing is told: bytes are swallowed.
    """

    def __init__(self, dsn: str, directory: Path, loss: Loss, mark: bytes = b"app.book(", times: int = 1) -> None:
        where = psycopg.conninfo.conninfo_to_dict(dsn)
        name = f".s.PGSQL.{where['port']}"
        self._server = str(Path(str(where["host"])) / name)
        self.dsn = psycopg.conninfo.make_conninfo(dsn, host=str(directory))
        self._loss, self._mark = loss, mark
        self.lost, self._times = 0, times
        self.silent = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / name))
        self._listener.listen(8)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self._server)
                asked = threading.Event()
                for pump in (self._questions, self._answers):
                    threading.Thread(target=pump, args=(client, server, asked), daemon=True).start()

    def _questions(self, client: socket.socket, server: socket.socket, asked: threading.Event) -> None:
        for message in _received(client):
            if self.silent.is_set():
                continue
            if self._mark in message and self.lost < self._times:
                if self._loss == "question":
                    self.lost += 1
                    break
                asked.set()
            server.sendall(message)
        _cut(client, server)

    def _answers(self, client: socket.socket, server: socket.socket, asked: threading.Event) -> None:
        for message in _received(server):
            if self.silent.is_set():
                continue
            if asked.is_set() and self.lost < self._times:
                self.lost += 1
                break
            client.sendall(message)
        _cut(client, server)


def _received(end: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        while message := end.recv(65536):
            yield message


def _cut(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
