"""A socket between a client and PostgreSQL that loses a message on purpose, or is as slow as a bad line.

What must stay true: `Proxy` loses exactly what was asked for, as often as was asked for; what passes is unchanged.
"""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import psycopg

Loss = Literal["question", "answer"]


class Proxy:
    """Listens in `directory`; the first message that holds `mark`, or the answer to it, is lost with its connection.

    So are the next ones, up to `times`; `last_words` come in the place of an answer. While `silent` is set nothing
    passes and nothing is told: bytes are swallowed.
    """

    last_words = b""

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
                with contextlib.suppress(OSError):
                    client.sendall(self.last_words)
                break
            client.sendall(message)
        _cut(client, server)


class SlowNetwork(Proxy):
    """Listens in `directory`; until `calm` is set every message is late, some as by lost packets, and some are lost.

    What is lost takes its connection with it; `lost` and `late` count.
    """

    def __init__(self, dsn: str, directory: Path, seed: int) -> None:
        self.calm, self.late = threading.Event(), 0
        self._chance = random.Random(seed)
        super().__init__(dsn, directory, "question", times=0)

    def _questions(self, client: socket.socket, server: socket.socket, asked: threading.Event) -> None:
        self._carry(client, server)

    def _answers(self, client: socket.socket, server: socket.socket, asked: threading.Event) -> None:
        self._carry(server, client)

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        for message in _received(source):
            if not self.calm.is_set():
                luck = self._chance.random()
                if luck < 0.01:
                    self.lost += 1
                    break
                self.late += luck < 0.04
                # As TCP sends a lost packet again: after 0.2 s, and after twice as long each further time.
                again = self._chance.choice((0.2, 0.6, 1.4, 3.0)) if luck < 0.04 else 0.0
                time.sleep(self._chance.uniform(0.005, 0.06) + again)
            with contextlib.suppress(OSError):
                target.sendall(message)
        _cut(source, target)


def _received(end: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        while message := end.recv(65536):
            yield message


def _cut(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
