"""Loading a checkpoint for a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..bundled import PICTO, found

if TYPE_CHECKING:
    from ..pipelines import DualLatentPipeline


def is_picto(model: str | None) -> bool:
    """Whether the bundled checkpoint is meant."""
    return model is None or found(model) == PICTO


def device_of(asked: str | None) -> str:
    """The torch device that is asked for, else the GPU if there is one.

    Raises:
        ValueError: a device that is not there.
    """
    import torch

    device = asked or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        there = torch.zeros(1, device=device).item() == 0  # "meta" has no numbers
    except (RuntimeError, AssertionError, NotImplementedError):
        there = False
    if not there:
        known = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise ValueError(f"--device {device} is not here: there are {', '.join(known)}")
    return device


def load_pipeline(model: str | None, device: str | None) -> DualLatentPipeline:
    """The checkpoint's pipeline, or picto's; on a GPU in the half precision that suits its family.

    Raises:
        ValueError: a device that is not there.
        CheckpointError: a checkpoint that cannot be loaded.
    """
    import torch
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    from .. import AutoDualLatentPipeline
    from ..pipelines.checkpoint import is_file

    device = device_of(device)
    checkpoint = PICTO if model is None or is_picto(model) else model
    family = AutoDualLatentPipeline.family_of(checkpoint)
    dtype = torch.float32 if device == "cpu" else family.pattern.half
    load: Any = family.from_single_file if is_file(checkpoint) else family.from_pretrained
    pipe = load(checkpoint, dtype=dtype)
    return pipe.to(device)
