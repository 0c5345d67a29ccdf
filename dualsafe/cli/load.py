"""Loading a checkpoint for a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..bundled import PICTO

if TYPE_CHECKING:
    from ..pipelines import DualLatentPipeline


def is_picto(model: str | None) -> bool:
    """Whether the bundled checkpoint is meant."""
    return model in (None, "picto", "dualsafe/picto", PICTO)


def device_of(asked: str | None) -> str:
    """The torch device that is asked for, else the GPU if there is one."""
    import torch

    return asked or ("cuda" if torch.cuda.is_available() else "cpu")


def load_pipeline(model: str | None, device: str | None) -> DualLatentPipeline:
    """The checkpoint's pipeline, or picto's; on a GPU in the half precision that suits its family.

    Raises:
        ValueError: a device that isn't there.
        CheckpointError: a checkpoint that can't be loaded.
    """
    import torch
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for logging in (diffusers_logging, transformers_logging):
        logging.set_verbosity_error()
    from .. import AutoDualLatentPipeline

    device = device_of(device)
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"--device {device}: {str(error).splitlines()[0]}") from error
    checkpoint = PICTO if model is None or is_picto(model) else model
    family = AutoDualLatentPipeline.family_of(checkpoint)
    dtype = torch.float32 if device == "cpu" else family.pattern.half
    pipe: Any = family.from_pretrained(checkpoint, dtype=dtype)
    return pipe.to(device)
