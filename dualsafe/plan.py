"""What one dual call is to do: the weight of each sample, the guidance to apply, and a look half-way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from .config import MethodSettings


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
        guidance: as the pipeline applies it.
        keep_original: whether the original branch must be right to the last step.
        words: (branch, N, T) bool, the tokens in which each sample's two prompts differ, if their attention counts.
        mask: (N, 1, H, W) in [0, 1], where the caller lets each sample change, instead of a mask that is found.
    """

    weights: list[float]
    settings: MethodSettings
    guidance: Guidance
    keep_original: bool = False
    words: Tensor | None = None
    mask: Tensor | None = None

    @property
    def dual(self) -> list[int]:
        """The samples that have a safe branch."""
        return [i for i, weight in enumerate(self.weights) if weight > 0]


@dataclass
class Preview:
    """A look at what samples are about to become, once, half-way.

    Attributes:
        at: progress in [0, 1] of the look.
        samples: which ones.
        look: is given their predicted clean latents, (samples, C, h, w).
        done: whether it has looked; a call of few steps may end before.
    """

    at: float
    samples: list[int]
    look: Callable[[Tensor], None]
    done: bool = False
