"""Who may ask, and how much: ASGI middleware that answers before anything of a body is parsed."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any

from pydantic import SecretStr

from .batching import Closed
from .errors import CLIENT_GONE, CLOSE, ApiError, as_answer, shown

Receive = Callable[[], Awaitable[Any]]
OPEN = frozenset({"/health", "/docs", "/openapi.json"})
"""Paths that need no key."""
MAX_HEAD = 16_384
"""Bytes of a request's head."""
DISCARDED = 32_000_000
"""Bytes of a body that is too large which are read and thrown away, so that its sender reads the answer."""


class Refusing:
    """Middleware that may answer with an error in the place of the application.

    Args:
        app: the application.
    """

    def __init__(self, app: Any):
        self._app = app

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        try:
            passed_on = await self.check(scope, receive)
        except (ApiError, Closed) as error:
            return await as_answer(error)(scope, receive, send)
        await self._app(scope, passed_on, send)

    async def check(self, scope: Any, receive: Receive) -> Receive:
        """What the application is to receive from.

        Raises:
            ApiError: the request is refused.
        """
        raise NotImplementedError


class HeadLimit(Refusing):
    """Refuses heads of over `MAX_HEAD` bytes: uvicorn's own limit lets those through that come in one piece."""

    async def check(self, scope: Any, receive: Receive) -> Receive:
        size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if size + sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > MAX_HEAD:
            raise ApiError(431, f"the head has over {MAX_HEAD} bytes", "head_too_large", headers=CLOSE)
        return receive


class HostCheck(Refusing):
    """Refuses requests for a host that isn't this service, as a page with a rebound DNS name makes them.

    Args:
        hosts: accepted names; empty: IP addresses and names without a dot.
        any_host: whether nothing is refused.
    """

    def __init__(self, app: Any, hosts: tuple[str, ...] = (), any_host: bool = False):
        super().__init__(app)
        self._hosts, self._any_host = hosts, any_host

    async def check(self, scope: Any, receive: Receive) -> Receive:
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if not self._any_host and not (len(given) == 1 and self._is_ours(given[0])):
            accepted = ", ".join(self._hosts) or "IP addresses and names without a dot; `--allowed-host` adds others"
            message = f"Host={shown(', '.join(given))}: accepted here are {accepted}"
            raise ApiError(400, message, "host_not_allowed", headers=CLOSE)
        return receive

    def _is_ours(self, host: str) -> bool:
        name = _without_port(host.lower())
        if self._hosts:
            return name in self._hosts
        if "." not in name and ":" not in name:
            return bool(name)
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return name.endswith(".localhost")
        return True


class KeyCheck(Refusing):
    """Lets in who sends one of `keys`; everybody, where there are none, and to the paths that are open."""

    def __init__(self, app: Any, keys: tuple[SecretStr, ...]):
        super().__init__(app)
        self._accepted = [key.get_secret_value().encode() for key in keys]

    async def check(self, scope: Any, receive: Receive) -> Receive:
        if not self._accepted or scope["path"] in OPEN:
            return receive
        sent = [value for name, value in scope["headers"] if name == b"authorization"]
        kind, _, given = (sent[0] if len(sent) == 1 else b"").partition(b" ")
        fits = [hmac.compare_digest(given.strip(), key) for key in self._accepted]  # all are compared, whichever fits
        if kind.lower() != b"bearer" or not any(fits):
            raise ApiError(
                401,
                "Authorization must be 'Bearer KEY' with a key of this service",
                "invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return receive


class Closing:
    """Tells those who wait for a body that nobody does any more."""

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: set[asyncio.Future[None]] = set()

    def set(self) -> None:
        self._is_set = True
        for each in [*self._waiting]:
            if not each.done():  # who has just left is taken out with the loop's next turn
                each.set_result(None)

    def wait(self) -> asyncio.Future[None]:
        """Done once it is set; of the loop that asks."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._is_set:
            future.set_result(None)
        else:
            self._waiting.add(future)
            future.add_done_callback(self._waiting.discard)
        return future


class BodyLimit(Refusing):
    """Reads a body whole before the application sees it.

    Args:
        limit: bytes of a body.
        limits: path -> bytes, where another limit holds.
        timeout: seconds for a body.
        closing: set once no body is waited for any more.
        is_serving: whether what is asked may be drawn; else a body is read, and refused before it costs anything more.
    """

    def __init__(
        self,
        app: Any,
        limit: int,
        limits: dict[str, int],
        timeout: float,
        closing: Closing,
        is_serving: Callable[[], bool],
    ):
        super().__init__(app)
        self._limit, self._limits, self._timeout, self._closing = limit, limits, timeout, closing
        self._is_serving = is_serving

    async def check(self, scope: Any, receive: Receive) -> Receive:
        names = {name for name, _ in scope["headers"]}
        if {b"content-length", b"transfer-encoding"} <= names:
            message = "Content-Length and Transfer-Encoding exclude each other: send one of the two"
            raise ApiError(400, message, "invalid_body", headers=CLOSE)
        limit = self._limits.get(scope["path"], self._limit)
        body = await self._in_time(asyncio.ensure_future(_read(receive, limit)))
        if body is None:
            raise ApiError(
                413, f"the body has over {limit} bytes, the most that is read", "body_too_large", headers=CLOSE
            )
        if scope["method"] == "POST" and not self._is_serving():
            raise Closed
        read = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Any:
            return read.pop() if read else await receive()

        return again

    async def _in_time(self, reading: asyncio.Future) -> Any:
        closing = self._closing.wait()
        try:
            await asyncio.wait((reading, closing), timeout=self._timeout, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                return reading.result()
            if closing.done():
                raise Closed
            raise ApiError(408, f"the body didn't come within {self._timeout:g} s", "request_timeout", headers=CLOSE)
        finally:
            closing.cancel()
            reading.cancel()


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
