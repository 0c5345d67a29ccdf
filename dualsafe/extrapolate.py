"""The original branch between the steps that compute it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from .branches import OnDevice
from .noise_level import Step
from .plan import Plan


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

    An original that is not returned serves only to steer its safe branch by, so that it need not be exact. A line
    begins where a safe branch parts, for what is predicted before changes too fast: what the watch parts has its own.
    """

    def __init__(self, plan: Plan, on: OnDevice):
        self._plan, self._on = plan, on
        self._interval: dict[bool, int] = {}  # of those that the watch parts, and of the others
        self._due_at: dict[bool, int] = {}
        # Of a step's call, and of a negative's own call.
        self._carried = {(again, watched): Carried() for again in (False, True) for watched in (False, True)}

    def carried(self, step: Step, safe: list[int], parted: set[int]) -> list[int]:
        """Those of the samples `safe` whose original is not computed at this step.

        Args:
            safe: the samples whose safe branch is computed.
            parted: those that have parted from their original; the others must follow it to the bit.
        """
        if self._plan.keep_original or self._plan.settings.composite:
            return []
        kept = {watched for watched in (False, True) if self._skips(step, watched) and self._is_known(step, watched)}
        followed = [i for i in safe if (i in self._plan.watched) in kept]
        return [i for i in followed if i in parted or not self._plan.finds_mask]

    def are_between(self, step: Step, safe: list[int]) -> bool:
        """Whether this step is between those that compute originals which nobody asked for, for all of `safe`."""
        return all(self._skips(step, watched) for watched in {i in self._plan.watched for i in safe})

    def see(self, step: Step, safe: list[int], x0: Tensor) -> None:
        """Takes in the originals' clean latents (N, C, h, w), at the steps that are to compute them, and at first."""
        for watched in {i in self._plan.watched for i in safe}:
            carried = self._carried[step.again, watched]
            if not self._skips(step, watched) or carried.is_empty:
                carried.see(step.progress, x0)

    def expected(self, step: Step) -> Tensor:
        """The originals' clean latents (N, C, h, w) to be expected at a step that does not compute them."""
        lines = {w: self._carried[step.again, w] for w in (False, True)}
        known = [line.at(step.progress) for line in lines.values() if not line.is_empty]
        if len(known) == 1:
            return known[0]
        watched = [i in self._plan.watched for i in range(len(self._plan.weights))]
        return torch.where(self._on(known[0].device, watched, torch.bool).view(-1, 1, 1, 1), known[1], known[0])

    def _is_known(self, step: Step, watched: bool) -> bool:
        return not (self._plan.steers_by_original and self._carried[step.again, watched].is_empty)

    def _skips(self, step: Step, watched: bool) -> bool:
        """Whether this step is between those that compute originals: the first of each interval of progress."""
        if not self._plan.steers_by_original:
            return True
        settings = self._plan.settings
        if settings.original_interval is None:
            return False
        if not step.again:  # a negative's own call does as the call before it
            number = math.floor((step.progress - settings.parts_at(watched)) / settings.original_interval)
            if number != self._interval.get(watched):
                self._interval[watched], self._due_at[watched] = number, step.index
        return self._due_at.get(watched) != step.index
