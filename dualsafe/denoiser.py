"""The one place that touches a model's forward: a stand-in for the denoiser during one dual call.

The pipeline's own loop hands it the stacked batch `[guidance group][original, safe][sample]`. It runs the stock forward
on the rows that each sample's phase needs, applies `dualsafe.method` and hands back a full batch. The module itself is
never patched, so other pipelines that share it see nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import DiffusionPipeline
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg
from einops import rearrange
from torch import Tensor

from . import method
from .config import MethodSettings


@dataclass(frozen=True)
class Schedule:
    """What of the scheduler the method needs.

    Attributes:
        prediction_type: one of `method.PREDICTION_TYPES`.
        num_train_timesteps: T; progress is 1 - timestep / T.
        alphas_cumprod: the training schedule, shape (T,).
    """

    prediction_type: str
    num_train_timesteps: int
    alphas_cumprod: Tensor

    @classmethod
    def of(cls, scheduler: Any) -> Schedule:
        """Reads a diffusers scheduler.

        Raises:
            ValueError: its prediction type isn't one that the method covers.
        """
        kind = getattr(scheduler.config, "prediction_type", "epsilon")
        if kind not in method.PREDICTION_TYPES:
            raise ValueError(f"prediction_type={kind!r} of the scheduler is not one of {method.PREDICTION_TYPES}")
        return cls(kind, scheduler.config.num_train_timesteps, scheduler.alphas_cumprod.cpu())

    def progress(self, timestep: float) -> float:
        return 1 - timestep / self.num_train_timesteps

    def level(self, timestep: float, like: Tensor) -> method.NoiseLevel:
        alpha, sigma = method.noise_level(self.alphas_cumprod, timestep)
        return alpha.to(like.device), sigma.to(like.device)


@dataclass(frozen=True)
class Plan:
    """What one call does to each of its N samples.

    Attributes:
        levels: the weight of the safe branch per sample, in [0, 1]; 0 leaves the sample on the stock path.
        settings: phases and mask.
        guidance_scale, guidance_rescale: as the pipeline applies them.
        keep_original: whether the original branch must be right to the last step.
    """

    levels: list[float]
    settings: MethodSettings
    guidance_scale: float
    guidance_rescale: float = 0.0
    keep_original: bool = False

    @property
    def dual(self) -> list[int]:
        """The samples that have a safe branch."""
        return [i for i, level in enumerate(self.levels) if level > 0]


@dataclass
class DualDenoiser:
    """Stands in for `model` in a pipeline's loop; every other attribute is the model's.

    Attributes:
        rows: denoiser rows spent on each sample so far.
        mask: (N, 1, h, w) in [0, 1], where each safe branch may differ; None where no mask holds it back.
        left_shared_phase: whether any step was run for the safe branch itself.
    """

    model: Any
    plan: Plan
    schedule: Schedule
    rows: list[int] = field(init=False)
    mask: Tensor | None = field(init=False, default=None)
    left_shared_phase: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.rows = [0] * len(self.plan.levels)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __call__(self, sample: Tensor, timestep: Tensor | float, *args: Any, **kwargs: Any) -> tuple[Tensor]:
        n, dual = len(self.plan.levels), self.plan.dual
        if not dual:
            self._count(range(n), len(sample) // n)
            return (self._forward(sample, timestep, args, kwargs),)

        t = float(timestep)
        progress = self.schedule.progress(t)
        index_u, index_s = rearrange(torch.arange(len(sample), device=sample.device), "(g b n) -> b g n", b=2, n=n)
        groups = len(index_u)
        if progress < self.plan.settings.tau:
            (original,) = self._predict(sample, timestep, args, kwargs, index_u)
            self._count(range(n), groups)
            return (_stack(original, original),)
        self.left_shared_phase = True
        if self._released(progress):
            self.mask = None  # from here on every place may change
            (safe,) = self._predict(sample, timestep, args, kwargs, index_s)
            self._count(range(n), groups)
            return (_stack(safe, safe),)

        original, safe = self._predict(sample, timestep, args, kwargs, index_u, index_s[:, dual])
        self._count([*range(n), *dual], groups)
        z_u, z_s = sample[index_u[0, dual]], sample[index_s[0, dual]]
        mixed = original.clone()
        mixed[:, dual] = self._mix(z_u, z_s, original[:, dual], safe, t, progress)
        return (_stack(original, mixed),)

    def _released(self, progress: float) -> bool:
        """Whether the original branch is no longer needed; a benign sample in the batch needs it to the end."""
        settings, everyone_dual = self.plan.settings, len(self.plan.dual) == len(self.plan.levels)
        if settings.release is None or settings.composite or self.plan.keep_original or not everyone_dual:
            return False
        return progress >= settings.release

    def _predict(self, sample: Tensor, timestep: Any, args: tuple, kwargs: dict, *branches: Tensor) -> list[Tensor]:
        """The model's output for rows (group, sample) of each branch: a list of (group, sample, C, h, w).

        One call a branch keeps the original's batch the stock pipeline's batch, so its result is the same to the bit.
        """
        if self.plan.settings.stacked and len(branches) > 1:
            (together,) = self._predict(sample, timestep, args, kwargs, torch.cat(branches, 1))
            return list(together.split([branch.shape[1] for branch in branches], 1))
        outputs = []
        for branch in branches:
            part = _take((sample, args, kwargs), branch.flatten(), len(sample))
            outputs.append(
                rearrange(self._forward(part[0], timestep, *part[1:]), "(g n) ... -> g n ...", g=len(branch))
            )
        return outputs

    def _forward(self, sample: Tensor, timestep: Any, args: tuple, kwargs: dict) -> Tensor:
        return self.model(sample, timestep, *args, **{**kwargs, "return_dict": False})[0]

    def _mix(self, z_u: Tensor, z_s: Tensor, original: Tensor, safe: Tensor, t: float, progress: float) -> Tensor:
        """The safe branch's prediction: guide both branches, see where each would end, find the mask, blend."""
        settings, kind = self.plan.settings, self.schedule.prediction_type
        level = self.schedule.level(t, z_u)
        g_u, g_s = self._guided(original), self._guided(safe)
        x0_u = method.clean_latents(z_u.float(), g_u.float(), level, kind)
        x0_s = method.clean_latents(z_s.float(), g_s.float(), level, kind)
        weight = torch.tensor([self.plan.levels[i] for i in self.plan.dual], device=z_u.device).view(-1, 1, 1, 1)
        if settings.mask_floor is not None:
            if self.mask is None or progress < settings.mask_freeze:
                found = method.difference_mask(method.difference(x0_s, x0_u), settings.mask_floor)
                self.mask = found.new_zeros(len(self.plan.levels), *found.shape[1:])
                self.mask[self.plan.dual] = found
            weight = weight * self.mask[self.plan.dual]
        mixed = method.blend(g_s.float(), x0_s, x0_u, weight, level, kind).to(safe.dtype)
        # Where nothing may change and nothing has, rounding must not part the branches either.
        return torch.where((weight == 0) & (z_s == z_u), g_u, mixed)

    def _guided(self, prediction: Tensor) -> Tensor:
        """The guided prediction (sample, C, h, w) of (group, sample, C, h, w), as the pipeline would form it."""
        if len(prediction) == 1:
            return prediction[0]
        guided = method.guide(prediction[0], prediction[1], self.plan.guidance_scale)
        if self.plan.guidance_rescale > 0:
            guided = rescale_noise_cfg(guided, prediction[1], guidance_rescale=self.plan.guidance_rescale)
        return guided

    def _count(self, samples: Iterable[int], groups: int) -> None:
        for i in samples:
            self.rows[i] += groups


def _stack(original: Tensor, safe: Tensor) -> Tensor:
    """(group, sample, ...) of both branches to the pipeline's batch."""
    return rearrange([original, safe], "b g n ... -> (g b n) ...")


def _take(value: Any, rows: Tensor, total: int) -> Any:
    """`rows` of every tensor whose first dimension is the whole batch, in nested containers too."""
    if isinstance(value, Tensor):
        return value[rows] if value.ndim and len(value) == total else value
    if isinstance(value, dict):
        return {key: _take(item, rows, total) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_take(item, rows, total) for item in value)
    return value


@contextmanager
def denoising_with(pipe: DiffusionPipeline, component: str, stand_in: DualDenoiser) -> Iterator[DualDenoiser]:
    """Puts `stand_in` in the place of the pipeline instance's `component` ("unet", "transformer") for a while.

    Written into the instance's `__dict__`, past diffusers' setter, so that its config stays as it is.
    """
    model = pipe.__dict__[component]
    pipe.__dict__[component] = stand_in
    try:
        yield stand_in
    finally:
        pipe.__dict__[component] = model
