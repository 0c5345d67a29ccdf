"""The dual pipeline that fits a checkpoint."""

from __future__ import annotations

import os
from typing import Any

from diffusers import DiffusionPipeline

from ..errors import CheckpointError
from .checkpoint import load_config
from .dual import DualLatentMixin


class AutoDualLatentPipeline:
    """Picks the dual pipeline by a checkpoint's `model_index.json`, or by a pipeline's class."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> DualLatentMixin:
        """Loads a checkpoint of any family with the class that fits it; arguments as `DualLatentPipeline`'s.

        Raises:
            CheckpointError: missing, truncated, pickled, or of a family that isn't supported.
        """
        family = cls.family_of(pretrained_model_name_or_path, **kwargs)
        return family.from_pretrained(pretrained_model_name_or_path, **kwargs)

    @classmethod
    def family_of(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> type[DualLatentMixin]:
        """The class for a checkpoint; `kwargs` as for loading it.

        Raises:
            CheckpointError: missing, or of a family that isn't supported.
        """
        config = load_config(pretrained_model_name_or_path, kwargs)
        return _family(config["_class_name"], pretrained_model_name_or_path)

    @classmethod
    def from_pipe(cls, pipeline: DiffusionPipeline, **kwargs: Any) -> DualLatentMixin:
        """The dual pipeline on a loaded pipeline's components.

        Raises:
            CheckpointError: a family that isn't supported.
        """
        return _family(type(pipeline).__name__, type(pipeline).__name__).from_pipe(pipeline, **kwargs)


def _family(class_name: str, source: str | os.PathLike) -> type[DualLatentMixin]:
    found = DualLatentMixin.by_name(class_name)
    if found is None:
        known = ", ".join(family.stock_class().__name__ for family in DualLatentMixin.families)
        raise CheckpointError(f"{source} is a {class_name}, which is not one of {known}")
    return found
