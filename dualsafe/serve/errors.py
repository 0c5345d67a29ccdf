"""Errors as OpenAI's API words them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from fastapi import HTTPException
from fastapi.responses import JSONResponse

from ..errors import ArgumentError, NonFiniteLatentsError, PolicyViolation
from .batching import Closed, Full
from .draw import JudgeFailed

CLIENT_GONE = 499
"""Status of a request whose client has left; nobody sees it but the metrics."""
CLOSE = {"Connection": "close"}
STOPPED = {"Retry-After": "30", **CLOSE}
OF_STATUS = {400: "invalid_body", 404: "not_found", 405: "method_not_allowed", 415: "invalid_body"}
"""Codes of what the framework finds wrong."""
BAD_REQUEST, SERVER_ERROR = "invalid_request_error", "server_error"


FAULTS = (ValueError, NonFiniteLatentsError, JudgeFailed, Full, Closed)
"""What drawing can raise beside `ApiError` that has an answer of its own."""


class ApiError(HTTPException):
    """An answer that is an error.

    Args:
        status: HTTP status.
        message: a sentence; names the argument, its value and what is accepted.
        code: what a program can tell it by.
        param: the argument at fault.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        super().__init__(status, message, dict(headers or {}))
        self.code, self.param = code, param


def as_answer(error: Exception) -> JSONResponse:
    """The error body for anything that can be raised."""
    found = error if isinstance(error, ApiError) else _known(error)
    kind = {401: "authentication_error", 429: "rate_limit_error"}.get(found.status_code, BAD_REQUEST)
    body = {
        "message": found.detail,
        "type": SERVER_ERROR if found.status_code >= 500 else kind,
        "param": found.param,
        "code": found.code,
    }
    return JSONResponse({"error": body}, found.status_code, found.headers)


def _known(error: Exception) -> ApiError:
    if isinstance(error, PolicyViolation):
        return ApiError(400, f"prompt is refused: {error}", "policy_violation", "prompt")
    if isinstance(error, ArgumentError):
        return ApiError(400, str(error), "invalid_value", error.name)
    if isinstance(error, NonFiniteLatentsError):
        return ApiError(500, str(error), "non_finite_latents")
    if isinstance(error, JudgeFailed):
        return ApiError(503, str(error), "judge_failed")
    if isinstance(error, Full):
        return ApiError(429, str(error), "queue_full", headers={"Retry-After": str(error.retry_after)})
    if isinstance(error, Closed):
        return ApiError(503, str(error), "stopping", headers=STOPPED)
    if isinstance(error, ValueError):
        return ApiError(400, f"this cannot be drawn: {error}", "invalid_request")
    return ApiError(500, "the service failed; no picture is returned", "internal_error")


def not_valid(errors: Iterable[Mapping[str, Any]], known: Iterable[str]) -> ApiError:
    """What is wrong with a request's body: its first argument at fault.

    Args:
        errors: pydantic's.
        known: the arguments that there are.
    """
    errors = list(errors)
    first = errors[0]
    place = [part for part in first["loc"] if part != "body"]
    if first["type"] == "json_invalid":
        return ApiError(400, f"the body is not JSON: {first['ctx']['error']} at character {place[0]}", "invalid_json")
    if not place:
        return ApiError(400, "the body must be a JSON object, sent as application/json", "invalid_body")
    param = ascii(str(place[0]))[1:-1]
    if first["type"] == "missing":
        return ApiError(400, f"{param} is missing", "missing_parameter", param)
    if first["type"] == "extra_forbidden":
        near = get_close_matches(param, known, 1)
        hint = f": did you mean {near[0]!r}?" if near else f": known are {', '.join(known)}"
        return ApiError(400, f"{param} is an unknown parameter{hint}", "unknown_parameter", param)
    said = dict.fromkeys(e["msg"].removeprefix("Value error, ") for e in errors if e["loc"][:2] == first["loc"][:2])
    return ApiError(400, f"{param}={shown(first['input'])}: {', or '.join(said)}", "invalid_value", param)


def shown(value: Any) -> str:
    """A client's value as an error shows it: ASCII and short."""
    text = ascii(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
