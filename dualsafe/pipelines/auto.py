"""The dual pipeline that fits a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from diffusers import DiffusionPipeline

from ..bundled import found as bundled
from ..errors import CheckpointError
from .checkpoint import is_file, kind_of_file, load_config
from .dual import DualLatentMixin
from .families import LEFT_OUT


class AutoDualLatentPipeline:
    """Picks the dual pipeline by a checkpoint's `model_index.json`, or by a pipeline's class."""

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> DualLatentMixin:
        """Loads a checkpoint of any family with the class that fits it; arguments as `DualLatentPipeline`'s.

        Raises:
            CheckpointError: missing, truncated, pickled, or of a family that is not supported.
        """
        family = _family_in_folder(bundled(pretrained_model_name_or_path), kwargs)
        return family.from_pretrained(pretrained_model_name_or_path, **kwargs)

    @classmethod
    def from_single_file(cls, pretrained_model_link_or_path: str | os.PathLike, **kwargs: Any) -> DualLatentMixin:
        """Loads a checkpoint in one file with the class that fits its weights; arguments as `DualLatentPipeline`'s.

        Raises:
            CheckpointError: missing, truncated, pickled, or of a family that is not supported.
        """
        return cls.family_of(pretrained_model_link_or_path).from_single_file(pretrained_model_link_or_path, **kwargs)

    @classmethod
    def family_of(cls, pretrained_model_name_or_path: str | os.PathLike, **kwargs: Any) -> type[DualLatentMixin]:
        """The class for a checkpoint, in a folder, on the hub or in one file; `kwargs` as for loading it.

        Raises:
            CheckpointError: missing, or of a family that is not supported.
        """
        if is_file(pretrained_model_name_or_path):
            kind = kind_of_file(pretrained_model_name_or_path)
            found = DualLatentMixin.by_kind(kind)
            if found is None:
                known = ", ".join(kind for family in DualLatentMixin.families for kind in family.pattern.single_files)
                raise CheckpointError(f"{pretrained_model_name_or_path} holds weights of {kind!r}, not of {known}")
            return found
        return _family_in_folder(bundled(pretrained_model_name_or_path), kwargs)

    @classmethod
    def from_pipe(cls, pipeline: DiffusionPipeline, **kwargs: Any) -> DualLatentMixin:
        """The dual pipeline on a loaded pipeline's components.

        Raises:
            CheckpointError: a family that is not supported.
        """
        return _family(type(pipeline).__name__, type(pipeline).__name__).from_pipe(pipeline, **kwargs)


def _family_in_folder(source: str | os.PathLike, kwargs: Mapping[str, Any]) -> type[DualLatentMixin]:
    return _family(load_config(source, kwargs)["_class_name"], source)


def _family(class_name: str, source: str | os.PathLike) -> type[DualLatentMixin]:
    found = DualLatentMixin.by_name(class_name)
    if found is None:
        known = ", ".join(family.stock_class().__name__ for family in DualLatentMixin.families)
        why = f": {LEFT_OUT[class_name]}" if class_name in LEFT_OUT else ""
        raise CheckpointError(f"{source} is a {class_name}, which is not one of {known}{why}")
    return found
