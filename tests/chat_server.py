"""A local server that speaks OpenAI's chat, for judges and captioners behind an address."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any


@dataclass
class Chat:
    """A running server.

    Attributes:
        port: on 127.0.0.1.
        asked: the requests so far.
        keys: their Authorization headers.
    """

    port: int = 0
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str | None] = field(default_factory=list)

    def address(self, kind: str) -> str:
        """Where answers are of that kind."""
        return f"http://127.0.0.1:{self.port}/{kind}/v1"


@contextmanager
def chat(answers: Mapping[str, str | None], otherwise: str = "") -> Iterator[Chat]:
    """Serves what `answers` has for the first part of the path; slow, silent, refusing and broken are what they say."""
    running = Chat()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            running.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            running.keys.append(self.headers["Authorization"])
            kind = self.path.split("/")[1]
            if kind == "slow":
                time.sleep(1)
            message = {"role": "assistant", "content": answers.get(kind, otherwise)}
            if kind == "refusing":
                message |= {"content": None, "refusal": "I can't look at that."}
            choices = [] if kind == "silent" else [{"index": 0, "finish_reason": "stop", "message": message}]
            body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": choices}
            self.send_response(500 if kind == "broken" else 200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.port = server.server_port
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield running
    finally:
        server.shutdown()
        server.server_close()
