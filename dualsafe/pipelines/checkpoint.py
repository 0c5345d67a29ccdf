"""Loading with clear refusals, instead of tracebacks from inside: what is missing, truncated, pickled or another's."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from diffusers import DiffusionPipeline
from safetensors import SafetensorError, safe_open

from ..errors import CheckpointError

T = TypeVar("T")

HUB = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")
"""Arguments that say where and how a checkpoint is fetched."""
_PICKLED = (".bin", ".ckpt", ".pt", ".pth")


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
    if folder.suffix == ".safetensors":
        raise CheckpointError(f"{path} is one file: load it with from_single_file")
    if folder.suffix in _PICKLED:
        raise CheckpointError(_is_pickled(folder))
    if folder.is_dir():
        _check_folder(folder)
    elif folder.is_absolute() or str(path).startswith(".") or len(folder.parts) > 2:
        raise CheckpointError(f"{path} is not a folder: give a checkpoint in the diffusers layout")
    return _called(loader, path, kwargs)


def load_file(loader: Callable[..., T], path: str | os.PathLike, **kwargs: Any) -> T:
    """Calls `loader(path, **kwargs)` for a checkpoint in one file, here or at an address.

    Raises:
        CheckpointError: it isn't there, truncated, or not in safetensors.
    """
    file = Path(str(path).split("?")[0])
    if file.suffix != ".safetensors":
        raise CheckpointError(
            _is_pickled(file) if file.suffix in _PICKLED else f"{path} is not a .safetensors file, which alone is read"
        )
    if "://" not in str(path):
        if not file.is_file():
            raise CheckpointError(f"{path} is not a file")
        _check_header(file)
    return _called(loader, path, kwargs)


def load_config(path: str | os.PathLike, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's `model_index.json`, from where `kwargs` of a load say.

    Raises:
        CheckpointError: it can't be had.
    """
    names = (*HUB, "use_safetensors")
    return load(DiffusionPipeline.load_config, path, **{name: kwargs[name] for name in names if name in kwargs})


def check_components(config: Mapping[str, Any], pipeline: type[DiffusionPipeline], source: Any, given: Any) -> None:
    """
    Args:
        config: of the checkpoint `source`.
        given: names of the components that the caller brings along.

    Raises:
        CheckpointError: a pipeline with other components than the checkpoint's.
    """
    listed = {name: value for name, value in config.items() if not name.startswith("_")}
    parts = {name for name, value in listed.items() if isinstance(value, (list, tuple)) and value and value[0]}
    made = f"{source} is a {config['_class_name']}"
    signature = inspect.signature(pipeline.__init__).parameters
    optional = {name for name, p in signature.items() if p.default is not p.empty} | {*pipeline._optional_components}
    missing = signature.keys() - {"self"} - optional - parts - {*given}
    for name in sorted(parts - signature.keys()):
        raise CheckpointError(f"{made} with a {name}, for which {pipeline.__name__} has no place")
    for name in sorted(missing):
        raise CheckpointError(f"{made} without the {name} that {pipeline.__name__} needs")


def _called(loader: Callable[..., T], path: str | os.PathLike, kwargs: dict[str, Any]) -> T:
    try:
        return loader(path, **kwargs)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path} can't be loaded: {_first_line(error)}") from error


def _check_folder(folder: Path) -> None:
    if not (folder / "model_index.json").is_file():
        raise CheckpointError(f"{folder} has no model_index.json: give a checkpoint in the diffusers layout")
    for component in sorted(p for p in folder.iterdir() if p.is_dir()):
        weights = list(component.glob("*.safetensors"))
        pickled = sorted(p for p in component.iterdir() if p.suffix in _PICKLED)
        if pickled and not weights:
            raise CheckpointError(_is_pickled(pickled[0]))
        for file in weights:
            _check_header(file)


def _is_pickled(file: Path) -> str:
    return f"{file} is pickled, which can run code when opened: convert it to safetensors"


def _check_header(file: Path) -> None:
    try:
        with safe_open(file, framework="pt"):
            pass
    except SafetensorError as error:
        raise CheckpointError(f"{file} is truncated or not a safetensors file: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
