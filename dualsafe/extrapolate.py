"""The original branch where it is not computed: between steps that do, and where an earlier pass has."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from torch import Tensor

from .noise_level import Step
from .plan import Plan

Trajectory = dict[tuple[int, bool], Tensor]
"""Clean latents (N, C, h, w) of the originals of a pass by call: a step's index, and whether it was called again."""


@dataclass
class Carried:
    """The latest clean latents (N, C, h, w) of a branch, with the line through them and those before.

    Latents themselves cannot be skipped: every solver steps from them. Clean latents change slowly, so that a step
    towards an older estimate of them, moved on as it moved last, comes close to the branch's own.
    """

    _seen: list[tuple[float, Tensor]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not self._seen

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


class Originals:
    """Which originals a step computes, and the clean latents of those that it does not.

    An original that is not returned serves only to steer its safe branch by, so that it need not be exact. The line
    begins where safe branches part, for what is predicted before changes too fast.

    Args:
        known: what an earlier pass has computed, and this one need not.
    """

    def __init__(self, plan: Plan, known: Trajectory | None = None):
        self._plan, self._known = plan, known or {}
        self._interval: int | None = None
        self._due_at: int | None = None
        self._carried = {again: Carried() for again in (False, True)}  # of a step's call, and of a negative's own call

    def are_known(self, step: Step) -> bool:
        """Whether an earlier pass has computed them at this step."""
        return (step.index, step.again) in self._known

    def carried(self, step: Step, safe: list[int], parted: set[int]) -> list[int]:
        """The samples whose original is not computed at this step: all that are known, else some of `safe`.

        Args:
            safe: the samples whose safe branch is computed.
            parted: those that have parted from their original; the others must follow it to the bit.
        """
        if self.are_known(step):
            return list(range(len(self._plan.weights)))
        if self._plan.keep_original or self._plan.settings.composite or not self.are_between(step):
            return []
        if self._plan.steers_by_original and self._carried[step.again].is_empty:
            return []
        return [i for i in safe if i in parted or not self._plan.finds_mask]

    def are_between(self, step: Step) -> bool:
        """Whether this step is between those that compute originals: the first of each interval of progress."""
        if not self._plan.steers_by_original:
            return True
        settings = self._plan.settings
        if settings.original_interval is None:
            return False
        if not step.again:  # a negative's own call does as the call before it
            number = math.floor((step.progress - settings.tau) / settings.original_interval)
            if number != self._interval:
                self._interval, self._due_at = number, step.index
        return self._due_at != step.index

    def see(self, step: Step, x0: Tensor) -> None:
        """Takes in the originals' clean latents (N, C, h, w), at the steps that are to compute them, and at first."""
        carried = self._carried[step.again]
        if not self.are_between(step) or carried.is_empty:
            carried.see(step.progress, x0)

    def expected(self, step: Step) -> Tensor:
        """The originals' clean latents (N, C, h, w) to be expected at a step that does not compute them."""
        if self.are_known(step):
            return self._known[step.index, step.again]
        return self._carried[step.again].at(step.progress)
