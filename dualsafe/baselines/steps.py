"""Which step of a run a denoiser call belongs to."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..noise_level import Schedule


class Steps:
    """Counts the steps of a run, from 0: calls at one noise level are one step, as a solver's second evaluation is.

    Equal timesteps aren't: schedules that crowd together at the end are rounded to the same.

    Args:
        scheduler: the pipeline's.
    """

    def __init__(self, scheduler: Any):
        self._schedule = Schedule.of(scheduler)
        self._step, self._level = -1, (-1.0, -1.0)

    def at(self, timestep: Tensor | float) -> int:
        """The step of a denoiser call that is told `timestep`."""
        alpha, sigma = self._schedule.at(timestep).level
        if (level := (float(alpha), float(sigma))) != self._level:
            self._step, self._level = self._step + 1, level
        return self._step
