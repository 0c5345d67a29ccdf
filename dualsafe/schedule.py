"""What the method needs to know of a diffusers scheduler: prediction type, progress and noise levels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from . import method
from .timesteps import Timesteps


@dataclass(frozen=True)
class Schedule:
    """What of the scheduler the method needs.

    Attributes:
        prediction_type: one of `method.PREDICTION_TYPES`.
        num_train_timesteps: T; progress is 1 - timestep / T.
        alphas_cumprod: the training schedule, shape (T,); None for a rectified flow.
        timestep_scale: factor from what the denoiser is given to the scheduler's timesteps.
        timesteps: reads a call's timestep.
    """

    prediction_type: str
    num_train_timesteps: int
    alphas_cumprod: Tensor | None
    timestep_scale: float = 1.0
    timesteps: Timesteps = field(default_factory=lambda: Timesteps(None))

    @classmethod
    def of(cls, scheduler: Any, timestep_scale: float = 1.0) -> Schedule:
        """Reads a diffusers scheduler.

        Raises:
            ValueError: its prediction type or its noise levels aren't what the method covers.
        """
        name, steps = type(scheduler).__name__, scheduler.config.num_train_timesteps
        kind = scheduler.config.get("prediction_type", "epsilon")
        if name.startswith("FlowMatch") or kind == "flow_prediction":
            return cls("flow", steps, None, timestep_scale, Timesteps(scheduler))
        if kind not in method.PREDICTION_TYPES:
            raise ValueError(f"prediction_type={kind!r} of the scheduler is not one of {method.PREDICTION_TYPES}")
        if not hasattr(scheduler, "alphas_cumprod"):
            raise ValueError(f"scheduler {name} has no alphas_cumprod: use one whose timesteps are those of training")
        return cls(kind, steps, scheduler.alphas_cumprod.cpu(), timestep_scale, Timesteps(scheduler))

    def timestep(self, told: Tensor | float) -> float:
        """The scheduler's timestep of a denoiser call, from a number or a batch of equal ones."""
        return self.timesteps.read(told) * self.timestep_scale

    def progress(self, timestep: float) -> float:
        return 1 - timestep / self.num_train_timesteps

    def level(self, timestep: float) -> method.NoiseLevel:
        """On the host: as numbers without dimensions they go with tensors of any device, and need no copy to it."""
        if self.alphas_cumprod is None:
            return method.flow_level(timestep, self.num_train_timesteps)
        return method.noise_level(self.alphas_cumprod, timestep)
