"""A look at what samples are about to become, half-way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass
class Preview:
    """Shows samples' predicted clean latents once.

    Attributes:
        at: progress in [0, 1] of the look.
        samples: which ones.
        look: is given their predicted clean latents, (samples, C, h, w).
        done: whether it has looked; a call of few steps may end before.
    """

    at: float
    samples: list[int]
    look: Callable[..., None]
    done: bool = False

    def is_due(self, progress: float) -> bool:
        return not self.done and bool(self.samples) and progress >= self.at

    def show(self, x0: Tensor) -> None:
        """Looks at the clean latents (N, C, h, w) of all samples."""
        self.done = True
        self.look(x0[self.samples])
