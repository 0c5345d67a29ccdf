"""Who may ask, and how much: ASGI middleware that answers before anything of a body is parsed."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from starlette.datastructures import Headers

from .batching import Closed
from .errors import CLIENT_GONE, CLOSE, ApiError, as_answer, shown
from .schema import EDITS
from .settings import ServeSettings

Receive = Callable[[], Awaitable[Any]]
OPEN = frozenset({"/health", "/docs", "/openapi.json"})
"""Paths that need no key."""
MAX_HEAD = 16_384
"""Bytes of a request's head."""
HEAD_ROOM = 16_384
"""Bytes of a body beside the prompt, of which JSON may write a character in 12."""
DISCARDED = 32_000_000
"""Bytes of a body that is too large which are read and thrown away, so that its sender reads the answer."""


class Access:
    """ASGI middleware that checks a request's head, its Host and its key, and then reads its body whole.

    Args:
        app: the application.
        settings: the operator's.
        is_serving: whether what is asked may be drawn; else a body is read, and refused before it costs anything more.
        reading: holds a task for each body that is waited for; to cancel one answers that the service stops.
    """

    def __init__(
        self, app: Any, settings: ServeSettings, is_serving: Callable[[], bool], reading: set[asyncio.Task[Any]]
    ):
        self._app, self._settings, self._is_serving, self._reading = app, settings, is_serving, reading
        self._keys = [key.encode() for key in settings.api_keys]

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        if scope["type"] == "http":
            try:
                _check_head(scope)
                self._check_host(scope)
                self._check_key(scope)
                receive = await self._with_body(scope, receive)
            except (ApiError, Closed) as error:
                return await as_answer(error)(scope, receive, send)
        await self._app(scope, receive, send)

    def _check_host(self, scope: Any) -> None:
        """Refuses what asks for a host that is not this service, as a page with a rebound DNS name does."""
        hosts = self._settings.allowed_hosts
        if self._keys and not hosts:
            return
        given = [host.lower() for host in Headers(scope=scope).getlist("host")]
        if len(given) != 1 or not (_without_port(given[0]) in hosts if hosts else is_local(given[0])):
            accepted = ", ".join(hosts) or "IP addresses and names without a dot; `--allowed-host` adds others"
            message = f"Host={shown(', '.join(given))}: accepted here are {accepted}"
            raise ApiError(400, message, "host_not_allowed", headers=CLOSE)

    def _check_key(self, scope: Any) -> None:
        if not self._keys or scope["path"] in OPEN:
            return
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        kind, _, given = (sent[0] if len(sent) == 1 else b"").partition(b" ")
        fits = [hmac.compare_digest(given.strip(), key) for key in self._keys]  # all are compared, whichever fits
        if kind.lower() != b"bearer" or not any(fits):
            message = "Authorization must be 'Bearer KEY' with a key of this service"
            raise ApiError(401, message, "invalid_api_key", headers={"WWW-Authenticate": "Bearer"})

    async def _with_body(self, scope: Any, receive: Receive) -> Receive:
        """What the application is to receive from: the whole body, and then whether the client is still there."""
        if {"content-length", "transfer-encoding"} <= set(Headers(scope=scope)):
            message = "Content-Length and Transfer-Encoding exclude each other: send one of the two"
            raise ApiError(400, message, "invalid_body", headers=CLOSE)
        settings = self._settings
        limit = settings.max_upload if scope["path"] == EDITS else HEAD_ROOM + 12 * settings.max_prompt
        body = await self._in_time(_read(receive, limit))
        if body is None:
            message = f"the body has over {limit} bytes, the most that is read"
            raise ApiError(413, message, "body_too_large", headers=CLOSE)
        if scope["method"] == "POST" and not self._is_serving():
            raise Closed
        read = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Any:
            return read.pop() if read else await receive()

        return again

    async def _in_time(self, body: Coroutine[Any, Any, bytes | None]) -> bytes | None:
        timeout, reading = self._settings.read_timeout, asyncio.ensure_future(body)
        self._reading.add(reading)
        try:
            await asyncio.wait([reading], timeout=timeout)
            if reading.cancelled():
                raise Closed
            if reading.done():
                return reading.result()
            raise ApiError(408, f"the body did not come within {timeout:g} s", "request_timeout", headers=CLOSE)
        finally:
            self._reading.discard(reading)
            reading.cancel()


def is_local(host: str) -> bool:
    """Whether a Host header names an IP address, or a name without a dot: none that DNS could lead elsewhere."""
    name = _without_port(host)
    if "." not in name and ":" not in name:
        return bool(name)
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return name.endswith(".localhost")
    return True


def _check_head(scope: Any) -> None:
    """Refuses over `MAX_HEAD` bytes: uvicorn's own limit lets those through that come in one piece."""
    size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    if size + sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > MAX_HEAD:
        raise ApiError(431, f"the head has over {MAX_HEAD} bytes", "head_too_large", headers=CLOSE)


async def _read(receive: Receive, limit: int) -> bytes | None:
    """The body; None if it is over `limit` bytes.

    Raises:
        ApiError: the client left before its end.
    """
    parts: list[bytes] = []
    size, more = 0, True
    while more and size <= max(limit, DISCARDED):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ApiError(CLIENT_GONE, "the client has left", "client_gone")
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
        if size <= limit:
            parts.append(message.get("body", b""))
        else:
            parts.clear()
    return b"".join(parts) if size <= limit else None


def _without_port(host: str) -> str:
    """`host` of a Host header, "[::1]:8000" say, without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() and not (":" in name and not name.endswith("]")) else host
