"""What the baselines' stand-ins for a denoiser share."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor


class StandIn:
    """Takes `model`'s place for one call; every other attribute is the model's."""

    def __init__(self, model: Any):
        self.model = model
        self._step, self._timestep = -1, math.nan

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def _step_at(self, timestep: Tensor | float) -> int:
        """The scheduler's step, from 0, also where a solver calls several times a step."""
        if (t := float(timestep)) != self._timestep:
            self._step, self._timestep = self._step + 1, t
        return self._step
