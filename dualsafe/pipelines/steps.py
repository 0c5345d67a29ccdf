"""How many denoising steps a scheduler has noise levels for."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from ..errors import ArgumentError


def check_steps(scheduler: Any, steps: int, name: str = "num_inference_steps") -> None:
    """
    Args:
        scheduler: diffusers'; it stays as it is.
        name: what an error calls the argument.

    Raises:
        ArgumentError: two steps would be at one noise level, by the distance of which solvers divide, or one past the
            end of the table.
    """
    if not hasattr(scheduler, "alphas_cumprod") or _has_levels(scheduler, steps):
        return  # a flow's sigmas are as many as one likes
    longest = min(steps - 1, len(scheduler.alphas_cumprod))
    most = next((n for n in range(longest, 0, -1) if _has_levels(scheduler, n)), 0)
    raise ArgumentError(name, f"{steps}: this {type(scheduler).__name__} has noise levels for {most} steps at most")


def _has_levels(scheduler: Any, steps: int) -> bool:
    trial = deepcopy(scheduler)
    try:
        trial.set_timesteps(steps)
    except ValueError:
        return False
    if hasattr(trial, "sigmas"):
        return len(trial.sigmas[:-1].unique()) >= steps
    return len(trial.timesteps.unique()) >= steps and int(trial.timesteps.max()) < len(trial.alphas_cumprod)
