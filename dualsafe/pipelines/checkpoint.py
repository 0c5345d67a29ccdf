"""Loading with clear refusals: what is missing, truncated or pickled never becomes a traceback from deep inside."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError, safe_open

from ..errors import CheckpointError

T = TypeVar("T")


def load(loader: Callable[..., T], path: str | os.PathLike, **kwargs: Any) -> T:
    """Calls `loader(path, **kwargs)` for a checkpoint in safetensors.

    Raises:
        CheckpointError: `path` is no checkpoint, one of its files is truncated, or its weights are pickled.
    """
    if kwargs.setdefault("use_safetensors", True) is not True:
        raise CheckpointError(
            f"use_safetensors={kwargs['use_safetensors']!r}: pickled weights can run code; convert them"
        )
    folder = Path(path)
    if folder.is_dir():
        _check_folder(folder)
    elif folder.is_absolute() or str(path).startswith(".") or len(folder.parts) > 2:
        raise CheckpointError(f"{path} is not a folder: give a checkpoint in the diffusers layout")
    try:
        return loader(path, **kwargs)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} can't be loaded: {_first_line(error)}") from error


def _check_folder(folder: Path) -> None:
    if not (folder / "model_index.json").is_file():
        raise CheckpointError(f"{folder} has no model_index.json: give a checkpoint in the diffusers layout")
    for component in sorted(p for p in folder.iterdir() if p.is_dir()):
        weights = list(component.glob("*.safetensors"))
        pickled = [*component.glob("*.bin"), *component.glob("*.ckpt"), *component.glob("*.pt")]
        if pickled and not weights:
            raise CheckpointError(f"{pickled[0]} is pickled, which can run code when opened: convert it to safetensors")
        for file in weights:
            _check_header(file)


def _check_header(file: Path) -> None:
    try:
        with safe_open(file, framework="pt"):
            pass
    except SafetensorError as error:
        raise CheckpointError(f"{file} is truncated or not a safetensors file: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
