"""Which step of a run a denoiser call belongs to."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..method import NoiseLevel
from ..noise_level import Schedule


class Steps:
    """Counts the steps of a run, from 0: calls at one noise level are one step, as a solver's second evaluation is.

    Equal timesteps are not: schedules that crowd together at the end are rounded to the same.

    Args:
        scheduler: the pipeline's.
        timestep_scale: factor from what the denoiser is told to the scheduler's timesteps.

    Attributes:
        level: alpha and sigma of the latest call.
        prediction_type: one of `method.PREDICTION_TYPES`.
    """

    level: NoiseLevel

    def __init__(self, scheduler: Any, timestep_scale: float = 1.0):
        self._schedule = Schedule.of(scheduler, timestep_scale)
        self.prediction_type = self._schedule.prediction_type
        self._step, self._latest = -1, (-1.0, -1.0)

    def at(self, timestep: Tensor | float) -> int:
        """The step of a denoiser call that is told `timestep`."""
        self.level = self._schedule.at(timestep).level
        alpha, sigma = self.level
        if (latest := (float(alpha), float(sigma))) != self._latest:
            self._step, self._latest = self._step + 1, latest
        return self._step
