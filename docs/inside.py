"""A dual call seen from inside: both branches' predictions, and the mask, at every step. For docs/stages.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from dualsafe import DualLatentPipeline, MethodSettings, method
from dualsafe.noise_level import Schedule
from dualsafe.stand_in import StandIn, standing_in

SAMPLING = {"num_inference_steps": 25, "guidance_scale": 5.0}
DEFAULT = MethodSettings()
FLOOR = DEFAULT.mask_floor or 1.0


@dataclass(frozen=True)
class Step:
    """One denoiser step of one sample.

    Attributes:
        progress: 0 is pure noise, 1 the finished picture.
        original, safe: predicted clean latents of the two branches, (1, C, h, w); one and the same in the shared phase.
        mask: where the safe branch may differ, (1, 1, h, w) in [0, 1]; None in the shared phase.
    """

    progress: float
    original: Tensor
    safe: Tensor
    mask: Tensor | None

    def summed(self, weight: float) -> Tensor:
        """W x0_safe + (1 - W) x0_original, W being `weight` inside the mask and 0 outside."""
        w = torch.zeros(()) if self.mask is None else weight * self.mask
        return w * self.safe + (1 - w) * self.original


class Watched:
    """Called in a denoiser's place; keeps what it was asked and what it answered, by timestep."""

    def __init__(self, model: Any):
        self.model = model
        self.calls: dict[float, list[tuple[Tensor, Tensor]]] = {}

    def __call__(self, sample: Tensor, timestep: Tensor, **kwargs: Any) -> tuple[Tensor]:
        output = self.model(sample, timestep, **kwargs)
        self.calls.setdefault(float(timestep), []).append((sample, output[0]))
        return output


def drawn(pipe: DualLatentPipeline, prompt: str, seed: int, **options: Any) -> Any:
    return pipe(prompt, generator=torch.Generator().manual_seed(seed), **SAMPLING | options)


def computed(pipe: DualLatentPipeline, prompt: str, seed: int, **options: Any) -> list[tuple[float, bool, bool]]:
    """(progress, whether the original branch was computed, whether the safe one was) of each step of a call."""
    watched, settings = Watched(pipe.unet), options.get("settings") or DEFAULT
    with standing_in(pipe, {"unet": StandIn(pipe.unet, watched)}):
        drawn(pipe, prompt, seed, **options)
    schedule, found = Schedule.of(pipe.scheduler), []
    for (
        t,
        calls,
    ) in watched.calls.items():  # a call alone is the original's at first, then the safe branch's
        progress = schedule.at(t).progress
        shared = progress < settings.tau
        found.append((progress, shared or len(calls) > 1, not shared))
    return found


def trace(pipe: DualLatentPipeline, prompt: str, seed: int, **options: Any) -> tuple[list[Step], Any]:
    """The steps of a dual call at level 1 under the default settings, and the call's output."""
    watched = Watched(pipe.unet)
    with standing_in(pipe, {"unet": StandIn(pipe.unet, watched)}):
        output = drawn(pipe, prompt, seed, return_pair=True, **options)
    schedule, scale = Schedule.of(pipe.scheduler), (SAMPLING | options)["guidance_scale"]
    steps: list[Step] = []
    for t, calls in watched.calls.items():  # one call a branch, the original's first
        at, kind = schedule.at(t), schedule.prediction_type
        original, safe = (clean(at.level, kind, *call, scale) for call in (calls[0], calls[-1]))
        found = method.difference_mask(method.difference(safe, original), FLOOR, FLOOR / 2) if len(calls) > 1 else None
        steps.append(Step(at.progress, original, safe, found))
    return steps, output


def clean(level: method.NoiseLevel, kind: str, z: Tensor, prediction: Tensor, scale: float) -> Tensor:
    """Predicted clean latents of one branch from its two guidance rows."""
    guided = method.guide(prediction[:1], prediction[1:], scale)
    return method.clean_latents(z[:1], guided, level, kind)


def at(steps: list[Step], progress: float) -> Step:
    """The first step from `progress` on."""
    return next(step for step in steps if step.progress >= progress)
