"""Loading with clear refusals, instead of tracebacks from inside: what is missing, truncated, pickled or another's."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from diffusers import DiffusionPipeline
from diffusers.loaders.single_file_utils import SingleFileComponentError, infer_diffusers_model_type
from safetensors import SafetensorError, safe_open

from ..bundled import found
from ..errors import CheckpointError

T = TypeVar("T")

HUB = ("cache_dir", "force_download", "local_files_only", "proxies", "revision", "subfolder", "token")
"""Arguments that say where and how a checkpoint is fetched."""
_PICKLED = (".bin", ".ckpt", ".pt", ".pth")
_GGUF = "; a .gguf holds a denoiser: load that with its model's from_single_file and pass it as transformer= or unet="
_SD_UNET = "model.diffusion_model.input_blocks.0.0.weight"
"""A tensor of every Stable Diffusion in the layout in which it was published."""


def load(loader: Callable[..., T], path: str | os.PathLike, **kwargs: Any) -> T:
    """Calls `loader(path, **kwargs)` for a checkpoint in safetensors.

    Raises:
        CheckpointError: `path` is no checkpoint, one of its files is truncated, or its weights are pickled.
    """
    if kwargs.setdefault("use_safetensors", True) is not True:
        raise CheckpointError(
            f"use_safetensors={kwargs['use_safetensors']!r}: pickled weights can run code; convert them"
        )
    path = found(path)
    folder = Path(path)
    if folder.suffix == ".safetensors" and not folder.is_dir():
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
        CheckpointError: it is not there, truncated, not in safetensors, or without a component that the pipeline needs.
    """
    check_file(path)
    try:
        return _called(loader, path, kwargs)
    except SingleFileComponentError as error:
        raise CheckpointError(
            f"{path} has not all of the pipeline's components: {_first_line(error)} Load what is missing and pass it "
            "by its name (text_encoder=..., vae=...), or the file's own with the component's from_single_file"
        ) from error


def is_file(path: str | os.PathLike) -> bool:
    """Whether a checkpoint is named that is one file, here or at an address."""
    return Path(str(path).split("?")[0]).suffix in (".safetensors", ".gguf", *_PICKLED)


def kind_of_file(path: str | os.PathLike) -> str:
    """What diffusers takes the weights in a file for ("v1", "xl_base", "flux-dev", ...), from their names and shapes.

    Raises:
        CheckpointError: the file cannot be read, or is no whole model (a LoRA, say).
    """
    check_file(path)
    if "://" in str(path):
        raise CheckpointError(f"{path} is an address, whose family shows once it is here: use a family's own class")
    with safe_open(path, framework="pt") as file:
        names = file.keys()
        shapes = {name: torch.empty(file.get_slice(name).get_shape(), device="meta") for name in names}
    kind = infer_diffusers_model_type(shapes)
    if kind == "v1" and _SD_UNET not in shapes:  # what diffusers says where it knows nothing better
        raise CheckpointError(
            f"{path} is no checkpoint that diffusers knows (its first tensor is {min(shapes, default='none')!r}): a "
            "LoRA or a single component is loaded onto a pipeline, not as one"
        )
    return kind


def check_file(path: str | os.PathLike) -> None:
    """
    Raises:
        CheckpointError: it is not there, truncated, or not in safetensors.
    """
    file = Path(str(path).split("?")[0])
    if file.suffix != ".safetensors":
        not_read = f"{path} is not a .safetensors file, which alone is read{_GGUF if file.suffix == '.gguf' else ''}"
        raise CheckpointError(_is_pickled(file) if file.suffix in _PICKLED else not_read)
    if "://" not in str(path):
        if not file.is_file():
            raise CheckpointError(f"{path} is not a file")
        _check_header(file)


def load_config(path: str | os.PathLike, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """A checkpoint's `model_index.json`, from where `kwargs` of a load say.

    Raises:
        CheckpointError: it cannot be had.
    """
    names = (*HUB, "use_safetensors")
    return load(DiffusionPipeline.load_config, path, **{name: kwargs[name] for name in names if name in kwargs})


def left_out(config: Mapping[str, Any]) -> dict[str, None]:
    """The further text encoders that a checkpoint says it goes without, as Stable Diffusion 3 may without T5: to be
    handed to diffusers, which otherwise asks for them."""
    return {name: None for name, value in config.items() if name.endswith(("_2", "_3")) and value == [None, None]}


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
        raise CheckpointError(f"{path} cannot be loaded: {_first_line(error)}") from error


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
