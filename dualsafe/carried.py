"""A branch between the steps that compute it: its clean latents, carried on in a straight line over progress."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass
class Carried:
    """The latest clean latents (N, C, h, w) of a branch, with the line through them and those before.

    Latents themselves can't be skipped: every solver steps from them. Clean latents change slowly, so that a step
    towards an older estimate of them, moved on as it moved last, comes close to the branch's own.
    """

    _seen: list[tuple[float, Tensor]] = field(default_factory=list)

    def see(self, progress: float, x0: Tensor) -> None:
        """Takes in clean latents that were computed at `progress` in [0, 1], another than the latest."""
        self._seen = [*self._seen[-1:], (progress, x0)]

    def at(self, progress: float) -> Tensor:
        """The clean latents (N, C, h, w) to be expected at `progress`."""
        latest, x0 = self._seen[-1]
        if len(self._seen) == 1:
            return x0
        before, older = self._seen[0]
        return x0 + (progress - latest) / (latest - before) * (x0 - older)
