"""A real HTTP server on loopback that takes what gateways and webhooks are sent, and can be told to misbehave.

What must stay true: whatever came in whole is remembered, also when the answer is an error or none.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

DRIP = -1


@dataclass(frozen=True)
class Post:
    """One request: its path with the percent signs resolved, its headers and its body."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class WebServer:
    """`answer` is called with each request and gives the status; 0 cuts the connection without an answer.

    DRIP answers byte by byte and never comes to an end.

    `body` is what it says with the status.
    """

    def __init__(self) -> None:
        self.posts: list[Post] = []
        self.answer: Callable[[Post], int] = lambda _: 200
        self.body = b""
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                web.posts.append(Post(unquote(self.path), headers, body))
                if (status := web.answer(web.posts[-1])) == DRIP:
                    self._drip()
                elif status:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(web.body)))
                    self.send_header("Location", "/elsewhere")
                    self.end_headers()
                    self.wfile.write(web.body)
                self.close_connection = True

            def _drip(self) -> None:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nServer: ")
                with contextlib.suppress(OSError):
                    while True:
                        self.wfile.write(b"s")
                        time.sleep(0.1)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        """From now on connections are refused."""
        self._server.shutdown()
        self._server.server_close()
