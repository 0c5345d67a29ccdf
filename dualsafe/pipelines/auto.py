"""The dual pipeline that fits a checkpoint."""

from __future__ import annotations

import os
from typing import Any

from diffusers import DiffusionPipeline

from ..errors import CheckpointError
from .checkpoint import load
from .dual import DualLatentMixin
from .flux import DualLatentFluxPipeline
from .sd import DualLatentImg2ImgPipeline, DualLatentInpaintPipeline, DualLatentPipeline
from .sd3 import DualLatentSD3Pipeline
from .sdxl import DualLatentXLImg2ImgPipeline, DualLatentXLInpaintPipeline, DualLatentXLPipeline

FAMILIES: tuple[type[DualLatentMixin], ...] = (
    DualLatentPipeline,
    DualLatentImg2ImgPipeline,
    DualLatentInpaintPipeline,
    DualLatentXLPipeline,
    DualLatentXLImg2ImgPipeline,
    DualLatentXLInpaintPipeline,
    DualLatentSD3Pipeline,
    DualLatentFluxPipeline,
)
"""Every dual pipeline of the library."""


class AutoDualLatentPipeline:
    """Picks the dual pipeline by a checkpoint's `model_index.json`, or by a pipeline's class."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> DualLatentMixin:
        """Loads a checkpoint of any family with the class that fits it; arguments as `DualLatentPipeline`'s.

        Raises:
            CheckpointError: missing, truncated, pickled, or of a family that isn't supported.
        """
        config = load(DiffusionPipeline.load_config, pretrained_model_name_or_path)
        family = _family_of(config["_class_name"], pretrained_model_name_or_path)
        return family.from_pretrained(pretrained_model_name_or_path, **kwargs)

    @classmethod
    def from_pipe(cls, pipeline: DiffusionPipeline, **kwargs: Any) -> DualLatentMixin:
        """The dual pipeline on a loaded pipeline's components.

        Raises:
            CheckpointError: a family that isn't supported.
        """
        return _family_of(type(pipeline).__name__, type(pipeline).__name__).from_pipe(pipeline, **kwargs)


def _family_of(class_name: str, source: str | os.PathLike) -> type[DualLatentMixin]:
    for family in FAMILIES:
        if class_name in (family.__name__, _stock(family).__name__):
            return family
    known = ", ".join(_stock(family).__name__ for family in FAMILIES)
    raise CheckpointError(f"{source} is a {class_name}, which is not one of {known}")


def _stock(family: type[DualLatentMixin]) -> type[DiffusionPipeline]:
    return next(base for base in family.__mro__ if issubclass(base, DiffusionPipeline) and base is not family)
