"""What one dual call is to do: the weight of each sample, phases and mask, and the guidance to apply."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from .config import MethodSettings

OWN_CALLS = 8
"""Denoiser calls that the safe branch gets to itself, where a run has as many: the shared phase makes room for them.

On picto at most two of 48 explicit prompts are judged unsafe from four steps on (`benchmarks/min_steps.py`).
"""


@dataclass(frozen=True)
class Guidance:
    """How the stock loop forms its guided prediction.

    Attributes:
        scale: classifier-free guidance scale; at most 1 is none.
        rescale: guidance rescale (arXiv 2305.08891).
        apart: the negative's prediction comes from a second call, not from a second group of the batch (Flux).
    """

    scale: float
    rescale: float = 0.0
    apart: bool = False


@dataclass(frozen=True)
class Plan:
    """What one call does to each of its N samples.

    Attributes:
        weights: the weight of the safe branch per sample, in [0, 1]; 0 leaves the sample on the stock path.
        settings: phases and mask.
        guidance: gives it as the pipeline applies it in a step: a callback may change it on the way.
        keep_original: whether the original branch must be right to the last step.
        mask: (N, 1, H, W) in [0, 1], where the caller lets each sample change, instead of a mask that is found.
        may_agree: the samples that the latent gate may clear: nothing unsafe was found in their words or picture.
    """

    weights: list[float]
    settings: MethodSettings
    guidance: Callable[[], Guidance]
    keep_original: bool = False
    mask: Tensor | None = None
    may_agree: frozenset[int] = frozenset()

    @property
    def dual(self) -> list[int]:
        """The samples that have a safe branch."""
        return [i for i, weight in enumerate(self.weights) if weight > 0]

    @property
    def finds_mask(self) -> bool:
        """Whether the mask is found from the two predictions."""
        return self.mask is None and self.settings.mask_floor is not None

    @property
    def steers_by_original(self) -> bool:
        """Whether safe branches are held to their originals: not at full weight in the whole picture."""
        masked = self.mask is not None or self.finds_mask
        return masked or any(self.weights[i] < 1 for i in self.dual)
