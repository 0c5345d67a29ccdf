"""The service: OpenAI's images API before a pipeline, concurrent requests drawn together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .settings import ServeSettings

__all__ = ["ServeSettings"]


def __getattr__(name: str) -> object:
    """Imported when first used, so that a command's help needs none of it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .settings import ServeSettings

    return ServeSettings
