"""uvicorn's server, as an operator needs it: clients have their time, and whoever asked is answered when it stops."""

from __future__ import annotations

import asyncio
import gc
import logging
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any, NoReturn

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from .access import MAX_HEAD
from .errors import CLOSE, ApiError, as_answer
from .settings import ServeSettings

ANSWERING = 0.8
"""Seconds after the drain for what was aborted to be answered."""
LATEST = 1.2
"""Seconds after the drain at which the process ends, whatever is left to do: to go takes it half a second."""
LEAVING = 1.0
"""Seconds for whoever is refused to read why: a connection that is closed with bytes unread is reset."""
logger = logging.getLogger("uvicorn.error")


class Connection(H11Protocol):
    """uvicorn's own connection, with the time limits that uvicorn has none for, and errors in the API's form.

    A client has `read_timeout` seconds for a request's head, and as many to take something of its answer. A body's time
    is the application's.
    """

    read_timeout = 10.0
    max_connections = 512
    _reading: asyncio.TimerHandle | None = None
    _writing: asyncio.TimerHandle | None = None
    _leaving: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > 2 * self.max_connections:
            transport.abort()
        elif len(self.connections) > self.max_connections:
            self.app = _too_many
        self._time_the_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("_reading")
        self._end("_writing")
        self._end("_leaving")
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._leaving is not None:
            return
        super().data_received(data)
        self._time_the_head()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._time_the_head()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._end("_writing")
        self._writing = self.loop.call_later(self.read_timeout, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._end("_writing")

    def send_400_response(self, msg: str) -> None:
        self._refuse(ApiError(400, msg, "invalid_http"))

    def _time_the_head(self) -> None:
        """A head that has begun, or a first one that has not, is waited for so long; between requests uvicorn does."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._end("_reading")
        elif self._reading is None and (self.cycle is None or self.timeout_keep_alive_task is None):
            self._reading = self.loop.call_later(self.read_timeout, self._too_slow)

    def _too_slow(self) -> None:
        self._refuse(ApiError(408, f"the head did not come within {self.read_timeout:g} s", "request_timeout"))

    def _refuse(self, error: ApiError) -> None:
        """Answers what is no whole request, and closes; what else comes meanwhile is thrown away."""
        answer = as_answer(error)
        if self.transport.is_closing() or self._leaving is not None:
            return
        with suppress(h11.LocalProtocolError):
            head = [*answer.raw_headers, (b"connection", b"close")]
            phrase = HTTPStatus(error.status_code).phrase.encode()
            begin = h11.Response(status_code=error.status_code, headers=head, reason=phrase)
            for event in (begin, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
            if self.cycle is None or self.cycle.response_complete:
                self.transport.write_eof()
                self._leaving = self.loop.call_later(LEAVING, self.transport.close)
                return
        self.transport.close()

    def _end(self, timer: str) -> None:
        if (running := getattr(self, timer)) is not None:
            running.cancel()
            setattr(self, timer, None)


async def _too_many(scope: Any, receive: Any, send: Any) -> None:
    error = ApiError(503, "too many connections", "too_many_connections", headers={"Retry-After": "5", **CLOSE})
    await as_answer(error)(scope, receive, send)


class Server(uvicorn.Server):
    """Serves until it is told to stop. Then it still answers, what is new with 503, until what it has begun is drawn.

    At a second signal, or when `settings.drain` is over, what is not drawn is answered 503 too, and the pipeline ends
    with its next step.

    Args:
        app: of `create_app`.
    """

    def __init__(self, app: FastAPI, settings: ServeSettings, **options: Any):
        limits = {"read_timeout": settings.read_timeout, "max_connections": settings.max_connections}
        super().__init__(
            uvicorn.Config(
                app,
                http=type("Connection", (Connection,), limits),
                ws="none",
                access_log=False,
                h11_max_incomplete_event_size=MAX_HEAD,
                **options,
            )
        )
        self._state, self._drain = app.state, settings.drain
        self._told, self._end, self._limited = 0, math.inf, False

    def run_to_the_end(self, listening: socket.socket) -> None:
        """Serves in the main thread, and ends the process: with 0, or 130 after a second signal.

        It is gone within `settings.drain` and two seconds, whatever hangs: no thread is waited for, as Python's own end
        and asyncio's do, and a timer ends it where the event loop comes too late.
        """
        self._limited = True
        gc.freeze()  # what is loaded stays; to look through it again takes a second, in which nothing else runs
        self.run([listening])

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        await super().serve(sockets)
        if self._limited:
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            self._leave()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is threading.main_thread():
            for each in (signal.SIGINT, signal.SIGTERM):  # they stay: what is late must not break the end
                signal.signal(each, self.handle_exit)
        yield

    def handle_exit(self, sig: int, frame: Any) -> None:
        self._told += 1
        self.should_exit = True
        now = time.monotonic()
        self._end = min(self._end, now + (self._drain if self._told == 1 else 0))
        if self._limited:
            late = threading.Timer(max(self._end + LATEST - now, 0.0), self._leave_late)
            late.daemon = True
            late.start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        batcher = self._state.batcher
        self._end = min(self._end, time.monotonic() + self._drain)
        logger.info("Stopping: %d pictures wait; another signal ends it at once", batcher.waiting)
        batcher.stop()
        while not batcher.is_idle and time.monotonic() < self._end:
            await asyncio.sleep(0.02)
        batcher.abort()
        await self._stop_listening(sockets or [])
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections and time.monotonic() < self._end + ANSWERING:
            for reading in self._state.reading:
                reading.cancel()
            await asyncio.sleep(0.01)
        for connection in list(self.server_state.connections):
            connection.transport.abort()  # nobody reads there
        await self.lifespan.shutdown()

    async def _stop_listening(self, sockets: list[socket.socket]) -> None:
        for each in sockets:
            each.listen(0)  # who is in the queue is still let in; closing would cut them off
        await asyncio.sleep(0.05)
        for server in self.servers:
            server.close()
        await asyncio.sleep(0.15)  # what they ask is still on its way

    def _leave_late(self) -> None:
        with suppress(OSError):
            os.set_blocking(2, False)  # nobody may be reading there
            os.write(2, b"dualsafe: it took too long to stop, and some may have no answer\n")
        self._leave()

    def _leave(self) -> NoReturn:
        os._exit(128 + signal.SIGINT if self._told > 1 else int(not (self._told or self.started)))
