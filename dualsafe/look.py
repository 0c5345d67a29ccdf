"""A look at what samples are about to become, half-way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

EARLY = 0.12
"""Progress until which the early step is chosen, to which a look may go back: the last one, or the first of a run that
begins later. There the things of a picture are still open; chosen by `benchmarks/watch.py`."""

NOT_FIRST = 0.2
"""Progress until which it is the second step rather than the first, which is given noise alone. In runs so short that
there is none, far more benign pictures are taken for unsafe ones (`benchmarks/min_steps.py`)."""

Early = Callable[[list[int], dict[str, Tensor]], Tensor]
"""Samples, and embeddings (texts, ...) by the stock call's argument name -> the clean latents (samples, texts, C, h, w)
that are predicted under each text from the samples' latents at the early step, before guidance."""


@dataclass
class Preview:
    """Shows samples' predicted clean latents once.

    Attributes:
        at: progress in [0, 1] of the look.
        samples: which ones.
        look: is given the predicted clean latents (N, C, h, w) of all samples, whom to ask about the early step, and
            whether that one is given noise alone; says whether anything was found.
        done: whether it has looked; a call of few steps may end before.
        found: what `look` said.
    """

    at: float
    samples: list[int]
    look: Callable[[Tensor, Early, bool], bool]
    done: bool = False
    found: bool = False

    def is_due(self, progress: float) -> bool:
        return not self.done and bool(self.samples) and progress >= self.at

    def show(self, x0: Tensor, early: Early, from_noise: bool) -> None:
        """Looks at the clean latents (N, C, h, w) of all samples."""
        self.done = True
        self.found = self.look(x0, early, from_noise)

    @property
    def is_over(self) -> bool:
        """Whether what comes is of no interest: nothing was found, so that nothing is drawn again."""
        return self.done and not self.found
