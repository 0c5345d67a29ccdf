"""Packages that only some installations have."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def needed(module: str, extra: str) -> Any:
    """A module of a package that dualsafe's extra `extra` brings.

    Raises:
        ImportError: it is not installed; names the extra.
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise ImportError(f"{package} is not installed: pip install 'dualsafe[{extra}]'") from error
