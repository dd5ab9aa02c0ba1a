"""Serves the numbers to watch over HTTP, in a process of its own.

What must stay true: nobody who asks keeps the database busy or waits for it: what was found some seconds ago is said
again, and when nothing new is found in time, that is what is said.
"""

from __future__ import annotations

import logging
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from bookcli.core.context import Context
from bookcli.core.errors import BookcliError, InvalidInput
from bookcli.core.services.metrics import Measure

from . import metrics
from .stopping import Stopping

FRESH_SECONDS = 5.0
PATIENCE = 4.0
"""Less than the ten seconds after which Prometheus gives up."""
log = logging.getLogger("bookcli.worker")


class Board:
    """The text that was found last. One thread finds, any number ask."""

    def __init__(self, find: Callable[[], str]) -> None:
        self._find = find
        self._changed = threading.Condition()
        self._asked = False
        self._text, self._until = "", 0.0

    @property
    def _is_fresh(self) -> bool:
        return time.monotonic() < self._until

    def read(self) -> str:
        """What was found in the last seconds, or else is found in the next; then, that nothing was."""
        with self._changed:
            if not self._is_fresh:
                self._asked = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._is_fresh, PATIENCE)
            return self._text if self._is_fresh else nothing()

    def tend(self, stopping: Stopping) -> None:
        """Finds whenever somebody asks, until told to stop."""
        while not stopping:
            with self._changed:
                if not self._changed.wait_for(lambda: self._asked, 0.5):
                    continue
            text = self._find()
            with self._changed:
                self._text, self._until, self._asked = text, time.monotonic() + FRESH_SECONDS, False
                self._changed.notify_all()


def nothing() -> str:
    """What is said when the database does not answer in time."""
    return metrics.written([Measure("up", {"server": "database"}, 0.0)])


class Port(socketserver.ThreadingTCPServer):
    """The port, bound at once, so that one that is taken is noticed before anything runs."""

    allow_reuse_address = True
    daemon_threads = True
    board: Board

    def __init__(self, address: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        try:
            super().__init__((address, port), _Answer)
        except OSError as problem:
            raise InvalidInput(
                f"Numbers cannot be served at port {port} of {address}.",
                hint=problem.strerror or "Choose another port.",
                code="metrics-port",
            ) from None

    def handle_error(self, request: object, client_address: object) -> None:
        """Whoever asks may hang up."""


class _Answer(BaseHTTPRequestHandler):
    timeout = 5
    server: Port

    def do_GET(self) -> None:
        if self.path.partition("?")[0] not in ("/", "/metrics"):
            self.send_error(404)
            return
        text = self.server.board.read().encode()
        self.send_response(200)
        self.send_header("Content-Type", metrics.CONTENT_TYPE)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Who asks how often is nobody's business."""


def serve(context: Context, port: Port, stopping: Stopping) -> None:
    """Answers until it is told to stop."""

    def find() -> str:
        try:
            return metrics.text(context)
        except BookcliError as problem:
            log.warning("numbers cannot be found: %(code)s", {"event": "no-metrics", "code": problem.code})
            if problem.code == "session-expired":
                raise  # whoever forked this process has a newer one, with which it is started again
            return nothing()

    port.board = Board(find)
    threading.Thread(target=port.serve_forever, daemon=True).start()
    with context:
        port.board.tend(stopping)
