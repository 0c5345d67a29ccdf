"""Safe branches that are computed in part, the rest being the original's."""

from __future__ import annotations

from typing import Any

from diffusers import SD3Transformer2DModel, UNet2DConditionModel

from .features import DeepFeatures
from .partial import Partial
from .tokens import Tokens

__all__ = ["Partial", "partial_of"]

_KINDS: dict[type, type[Partial]] = {SD3Transformer2DModel: Tokens, UNet2DConditionModel: DeepFeatures}


def partial_of(model: Any) -> Partial:
    """How the safe branch of a denoiser is computed in part.

    Raises:
        TypeError: there is no such way for this kind of denoiser, or for how it was set up.
    """
    for kind, partial in _KINDS.items():
        if isinstance(model, kind):
            return partial(model)
    known = ", ".join(kind.__name__ for kind in _KINDS)
    raise TypeError(f"sparse=True is for {known}, not for {type(model).__name__}: set sparse=False")
