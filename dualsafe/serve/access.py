"""Who may ask, and how much."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr

from .errors import ApiError

_bearer = HTTPBearer(auto_error=False, description="One of the operator's API keys, where there are any.")


def key_check(keys: tuple[SecretStr, ...]) -> Callable:
    """A dependency that lets in who sends one of `keys`; everybody, where there are none."""
    accepted = [key.get_secret_value().encode() for key in keys]

    def check(sent: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]) -> None:
        if not accepted:
            return
        given = sent.credentials.encode() if sent else b""
        if not any([hmac.compare_digest(given, key) for key in accepted]):  # noqa: C419  all are compared, whichever fits
            raise ApiError(
                401,
                "Authorization must be 'Bearer KEY' with a key of this service",
                "invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )

    return check


class BodyLimit:
    """ASGI middleware that refuses bodies of over `limit` bytes."""

    def __init__(self, app: Any, limit: int):
        self._app, self._limit = app, limit

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        seen = 0

        async def counted() -> Any:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise ApiError(413, f"the body has over {self._limit} bytes, the most that is read", "body_too_large")
            return message

        await self._app(scope, counted, send)
