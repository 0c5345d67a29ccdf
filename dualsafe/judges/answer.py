"""Reading the JSON answer of a model that was asked in words."""

from __future__ import annotations

import json
from typing import Any

from .judge import Verdict


def read_object(text: str) -> dict[str, Any] | None:
    """The one JSON object in a text, whatever stands around it; None where there is none, or more, or a key twice."""
    try:
        answer, end = _DECODER.raw_decode(text, text.index("{"))
    except (ValueError, RecursionError):
        return None
    return None if "{" in text[end:] else answer


def unreadable(text: str | None) -> Verdict:
    """The verdict where a model refused, or its answer can't be read: never safe; keeps what it said."""
    return Verdict(True, refused=True, rationale=text or None)


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice")
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_without_doubles)
