"""The service: OpenAI's images API before a pipeline, concurrent requests drawn together."""

from __future__ import annotations

from .settings import ServeSettings

__all__ = ["ServeSettings"]
